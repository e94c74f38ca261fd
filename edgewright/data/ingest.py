"""Ingest: a source of photographs becomes a dataset with splits, and everything left out is listed by name.

Decides the order: read, check, hash, group, split, write. One pass over the pictures, one of them in memory at a time.
Refuses a set that is too small to train on.

    report = ingest(Path("photos"), IngestConfig(), workspace=work, scratch=scratch, seed=0)
    sorted(path.name for path in work.iterdir())
    # ['dataset.json', 'index', 'ingest.json', 'shards', 'splits.json']
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.data.checks import CheckedBoxes, CheckedPicture, check_boxes, check_picture
from edgewright.data.dataset import DatasetWriter
from edgewright.data.formats import Annotation, Labels, detect_layout, layout_named
from edgewright.data.groups import base_groups, merge_groups
from edgewright.data.ingest_report import IngestReport, count_splits
from edgewright.data.phash import Duplicates, find_duplicates
from edgewright.data.picture_notes import PictureNotes
from edgewright.data.rows import LabelState, Row
from edgewright.data.scores import read_scores, require_known, scored
from edgewright.data.sources import Source, Unusable, open_source, suffix_of
from edgewright.data.splits import LEDGER_FILE, Assignment, SplitLedger, assign_splits
from edgewright.errors import SourceError
from edgewright.progress import OnProgress, silent
from edgewright.recipe.data import IngestConfig

REPORT_FILE = "ingest.json"
ORIGIN_FILE = "origin.json"
"""Whether the photographs were simulated; written by who knows it."""
MAX_PICTURE_BYTES = 256_000_000
_PROGRESS_STEPS = 50
MergedGroups = Mapping[str, tuple[str, ...]]


def ingest(
    source: Path,
    config: IngestConfig,
    *,
    workspace: Path,
    scratch: Path,
    seed: int,
    ledger: SplitLedger | None = None,
    on_progress: OnProgress = silent,
) -> IngestReport:
    """Write a dataset, `splits.json` and `ingest.json` into `workspace`.

    Law: the same bytes, config, seed and ledger give the same files.

    Raises:
        SourceError: unreadable, refused, ambiguous, fewer usable images than `config.min_images`, or bad scores.
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
        layout = detect_layout(opened) if config.layout == "auto" else config.layout
        labels = layout_named(layout).read(opened, config.classes)
        writer = DatasetWriter(workspace, classes=labels.classes)
        survey = _survey(opened, labels, config, writer=writer, on_progress=on_progress)
    require_enough(len(survey.rows), survey.quarantined, config, where=str(source))
    n_classes = len(labels.classes)
    division = _divide(survey.rows, config, n_classes=n_classes, known=opened.groups, seed=seed, ledger=ledger)
    require_known(scores, {row.id for row in survey.rows} | survey.quarantined.keys(), where=config.scores)
    rows = writer.finish(revise=lambda row: scored(division.place(row), scores))
    report = IngestReport(
        layout=layout,
        classes=labels.classes,
        images=len(survey.rows),
        unlabeled=sum(row.state == LabelState.UNLABELED for row in survey.rows),
        background=sum(row.state == LabelState.BACKGROUND for row in survey.rows),
        splits=count_splits(rows, labels.classes),
        quarantined=tuple(sorted(survey.quarantined.items())),
        clipped_boxes=survey.clipped_boxes,
        passed_over=_passed_over(opened, labels),
        duplicates=division.duplicates,
        merged_images=sum(len(groups) > 1 for groups in division.merged.values()),
        unmatched_images=division.unmatched_images,
        moved=division.assignment.moved,
        ledger=division.assignment.ledger,
        label_folders=tuple(sorted({PurePosixPath(name).parent.as_posix() for name in labels.files})),
        class_source=labels.class_source,
        findings=(*opened.findings, *labels.findings, *survey.notes.findings()),
    )
    (workspace / REPORT_FILE).write_bytes(canonical_json(report.to_json()))
    (workspace / LEDGER_FILE).write_bytes(canonical_json(report.ledger.to_json()))
    return report


@dataclass
class _Survey:
    """What the one pass over the pictures collects."""

    writer: DatasetWriter
    rows: list[Row] = field(default_factory=list)
    quarantined: dict[str, str] = field(default_factory=dict)
    notes: PictureNotes = field(default_factory=PictureNotes)
    clipped_boxes: int = 0

    def keep(self, row: Row, picture: CheckedPicture, boxes: CheckedBoxes) -> None:
        self.rows.append(row)
        self.writer.add(row, picture.payload)
        self.notes.add(row.id, picture.notes)
        self.clipped_boxes += boxes.clipped
        for index, reason in boxes.refused:
            self.refuse(replace(row, id=f"{row.id}#box{index}", labels=(), state=LabelState.UNLABELED), reason)

    def refuse(self, row: Row, reason: str) -> None:
        self.quarantined[row.id] = reason
        self.writer.quarantine(replace(row, quarantine=reason))


def _survey(
    source: Source, labels: Labels, config: IngestConfig, *, writer: DatasetWriter, on_progress: OnProgress
) -> _Survey:
    survey = _Survey(writer)
    for name, reason in {**source.refused, **labels.unpaired}.items():
        survey.refuse(Row(id=name, sha256=""), reason)  # not opened, or not a picture
    images = [name for name in source.images if name not in labels.not_photographs]
    every = max(1, len(images) // _PROGRESS_STEPS)
    for number, name in enumerate(images, 1):
        _take(survey, source, name, annotation=labels.by_image.get(name), classes=labels.classes, config=config)
        if number % every == 0 or number == len(images):
            on_progress(number, len(images), "checking pictures")
    return survey


def _take(
    survey: _Survey,
    source: Source,
    name: str,
    *,
    annotation: Annotation | None,
    classes: tuple[str, ...],
    config: IngestConfig,
) -> None:
    """One image into the writer: used, or quarantined with what is known of it."""
    row = Row(id=name, sha256="")
    try:
        payload = source.read(name, max_bytes=MAX_PICTURE_BYTES)
        row = replace(row, sha256=sha256_bytes(payload))
        picture = check_picture(payload, max_pixels=config.max_pixels)
        row = replace(row, phash=picture.phash, width=picture.wh[0], height=picture.wh[1])
        boxes = check_boxes(annotation or Annotation(), picture, classes=classes)
    except Unusable as error:
        survey.refuse(row, str(error))
        return
    state = LabelState(config.missing_label) if annotation is None else _state(boxes)
    survey.keep(replace(row, labels=boxes.labels, state=state), picture, boxes)


def _state(boxes: CheckedBoxes) -> LabelState:
    """A picture whose every box was refused is not empty: nothing is known of it."""
    if boxes.labels:
        return LabelState.HUMAN
    return LabelState.UNLABELED if boxes.refused else LabelState.BACKGROUND


@dataclass(frozen=True)
class _Division:
    """Attributes: merged: image id => the base groups that are one."""

    duplicates: Duplicates
    merged: MergedGroups
    assignment: Assignment
    unmatched_images: int

    def place(self, row: Row) -> Row:
        """The row with its group and split; a refused box goes with its image, any other refusal has none."""
        groups = self.merged.get(row.id.rpartition("#box")[0] if row.quarantine else row.id)
        if groups is None:
            return row
        return replace(row, group=groups[0], split=self.assignment.split_of[groups])


def _divide(
    rows: Sequence[Row],
    config: IngestConfig,
    *,
    n_classes: int,
    known: Mapping[str, str],
    seed: int,
    ledger: SplitLedger | None,
) -> _Division:
    base = base_groups([row.id for row in rows], config, known=known)
    duplicates = find_duplicates([(row.id, row.phash, row.sha256) for row in rows])
    merged = merge_groups(base, [(one, other) for one, other, _ in duplicates.pairs])
    shares = (config.train_share, config.val_share, 1 - config.train_share - config.val_share)
    assignment = assign_splits(_weights(rows, merged, n_classes), shares=shares, seed=seed, ledger=ledger)
    unmatched = sum(name == group for name, group in base.items()) if config.group_by == "pattern" else 0
    return _Division(duplicates, merged, assignment, unmatched)


def _weights(rows: Sequence[Row], merged: MergedGroups, n_classes: int) -> dict[tuple[str, ...], list[int]]:
    """Merged group => images, then objects of each class."""
    weights: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        total = weights.setdefault(merged[row.id], [0] * (1 + n_classes))
        total[0] += 1
        for label in row.labels:
            total[1 + label.class_id] += not label.ignore
    return weights


def require_enough(images: int, quarantined: Mapping[str, str], config: IngestConfig, *, where: str) -> None:
    """Raises SourceError below `config.min_images`; `quarantined`: id => reason."""
    if images >= config.min_images:
        return
    reasons = Counter(reason.partition(" (")[0] for reason in quarantined.values()).most_common(3)
    found = "; ".join(f"{count} × {reason}" for reason, count in reasons)
    raise SourceError(
        "too few usable images",
        expected=f"at least {config.min_images}",
        got=f"{images}" + (f", quarantined: {found}" if found else ""),
        where=where,
        next_step="add images, or lower ingest.min_images",
    )


def _passed_over(source: Source, labels: Labels) -> dict[str, int]:
    """Files that are neither used nor quarantined, by suffix: masks, read-me files, lists."""
    used = (set(source.images) - labels.not_photographs) | labels.files | set(labels.unpaired)
    others = [name for name in source.files if name not in used]
    return dict(sorted(Counter(suffix_of(name) or "no suffix" for name in others).items()))
