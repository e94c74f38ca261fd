"""Ingest: a source of photographs becomes a dataset with splits, and everything left out is listed by name.

Decides the order: read, check, hash, group, split, write. One pass over the pictures, few of them in memory at a time.
Refuses a set that is too small to train on, and labels of which not one can be used.

    report = ingest(Path("photos"), IngestConfig(), workspace=work, scratch=scratch, seed=0)
    sorted(path.name for path in work.iterdir())
    # ['dataset.json', 'index', 'ingest.json', 'shards', 'splits.json']
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from edgewright.artifacts import canonical_json
from edgewright.data.dataset import DatasetWriter
from edgewright.data.divide import Division, divide
from edgewright.data.formats import Labels, detect_layout, layout_named
from edgewright.data.ingest_report import IngestReport, count_splits
from edgewright.data.rows import LabelState, Row
from edgewright.data.scores import read_scores, require_known, scored
from edgewright.data.source_splits import SourceSplits, read_splits
from edgewright.data.sources import Source, open_source, suffix_of
from edgewright.data.splits import LEDGER_FILE, SplitLedger
from edgewright.data.survey import Survey, survey_pictures
from edgewright.data.usable import require_enough, require_labels
from edgewright.progress import OnProgress, silent
from edgewright.recipe.data import IngestConfig

REPORT_FILE = "ingest.json"
ORIGIN_FILE = "origin.json"
"""Whether the photographs were simulated; written by who knows it."""


def ingest(
    source: Path,
    config: IngestConfig,
    *,
    workspace: Path,
    scratch: Path,
    seed: int,
    ledger: SplitLedger | None = None,
    workers: int = 1,
    on_progress: OnProgress = silent,
) -> IngestReport:
    """Write a dataset, `splits.json` and `ingest.json` into `workspace`.

    Law: the same bytes, config, seed and ledger give the same files, whatever the number of `workers`: processes that
    decode where there are many pictures.

    Raises:
        SourceError: unreadable, refused, ambiguous, fewer usable images than `config.min_images`, labels of which not
            one can be used, or bad scores.
        RecipeError: the group pattern is wrong.
        MissingExtra: nothing but videos, and OpenCV is not installed.
    """
    scores = read_scores(config.scores)
    with open_source(
        source,
        scratch=scratch,
        frame_step=config.frame_step,
        frame_group_s=config.frame_group_s,
        follow_links=config.follow_links,
    ) as opened:
        layout, labels = read_labels(opened, config)
        brought = read_splits(opened, labels)
        writer = DatasetWriter(workspace, classes=labels.classes)
        survey = survey_pictures(opened, labels, config, sink=writer, workers=workers, on_progress=on_progress)
        require_enough(len(survey.rows), survey.quarantined, config, where=str(source))
        require_labels(opened, labels, survey.rows, survey.quarantined, config)
    classes = labels.classes
    division = divide_survey(survey, config, classes=classes, source=opened, brought=brought, seed=seed, ledger=ledger)
    require_known(scores, {row.id for row in survey.rows} | survey.quarantined.keys(), where=config.scores)
    rows = writer.finish(revise=lambda row: scored(division.place(row), scores))
    report = report_of(rows, survey, division, layout=layout, labels=labels, source=opened, brought=brought)
    (workspace / REPORT_FILE).write_bytes(canonical_json(report.to_json()))
    (workspace / LEDGER_FILE).write_bytes(canonical_json(report.ledger.to_json()))
    return report


def read_labels(source: Source, config: IngestConfig) -> tuple[str, Labels]:
    """The layout, and what its reader found. Raises SourceError."""
    layout = detect_layout(source) if config.layout == "auto" else config.layout
    return layout, layout_named(layout).read(source, config.classes)


def divide_survey(
    survey: Survey,
    config: IngestConfig,
    *,
    classes: Sequence[str],
    source: Source,
    brought: SourceSplits,
    seed: int,
    ledger: SplitLedger | None,
) -> Division:
    return divide(
        survey.rows,
        config,
        n_classes=len(classes),
        known=source.groups,
        brought=brought,
        seed=seed,
        ledger=ledger,
    )


def report_of(
    rows: Sequence[Row],
    survey: Survey,
    division: Division,
    *,
    layout: str,
    labels: Labels,
    source: Source,
    brought: SourceSplits,
) -> IngestReport:
    """What a person is told. `rows`: placed ones, quarantined ones among them or not."""
    others = _passed_over(source, labels, brought)
    return IngestReport(
        layout=layout,
        classes=labels.classes,
        images=len(survey.rows),
        unlabeled=sum(row.state == LabelState.UNLABELED for row in survey.rows),
        background=sum(row.state == LabelState.BACKGROUND for row in survey.rows),
        splits=count_splits(rows, labels.classes),
        quarantined=tuple(sorted(survey.quarantined.items())),
        clipped_boxes=survey.clipped_boxes,
        passed_over=dict(sorted(Counter(map(_suffix, others)).items())),
        passed_over_examples={_suffix(name): name for name in reversed(others)},
        duplicates=division.duplicates,
        merged_images=division.merged_images,
        unmatched_images=division.unmatched_images,
        moved=division.assignment.moved,
        ledger=division.assignment.ledger,
        label_folders=tuple(sorted({PurePosixPath(name).parent.as_posix() for name in labels.files})),
        class_source=labels.class_source,
        split_source=division.origin,
        leaks=division.leaks,
        findings=(*source.findings, *labels.findings, *survey.notes.findings(), *division.findings),
    )


def _passed_over(source: Source, labels: Labels, brought: SourceSplits) -> list[str]:
    """Files that are neither used nor quarantined: masks, read-me files."""
    used = (set(source.images) - labels.not_photographs) | labels.files | set(labels.unpaired) | brought.files
    used |= set(labels.class_source.split(", "))
    return [name for name in source.files if name not in used]


def _suffix(name: str) -> str:
    return suffix_of(name) or "no suffix"
