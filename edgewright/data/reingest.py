"""Adopt: photographs that stand in the store already, with what people have said of them since, begin a run.

Decides that they are taken as they are: splits, groups, states, masks, regions to ignore and who reviewed what; their
pictures stay in the shards where they lie. What a model labeled is unlabeled again: a run learns from people alone, and
labels such photographs itself. A group that the project's ledger holds out further than the data set does goes there.
Refuses synthetic pictures, and a set that is too small to train on.

    report = reingest(Dataset.open(store, reviewed), IngestConfig(), workspace=work)
    report.layout                                      # 'dataset'
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgewright.artifacts import canonical_json
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.ingest import REPORT_FILE
from edgewright.data.ingest_report import IngestReport, count_splits
from edgewright.data.phash import find_duplicates
from edgewright.data.rows import LabelState, Origin, Row
from edgewright.data.scores import read_scores, require_known, scored
from edgewright.data.splits import LEDGER_FILE, Assignment, KnownPicture, SplitLedger, keep_splits
from edgewright.data.usable import require_enough
from edgewright.errors import SourceError
from edgewright.recipe.data import IngestConfig

LAYOUT = "dataset"


def reingest(
    dataset: Dataset, config: IngestConfig, *, workspace: Path, ledger: SplitLedger | None = None
) -> IngestReport:
    """Write the data set, `splits.json` and `ingest.json` into `workspace`; `config.min_images` and `.scores` count.

    Raises:
        SourceError: synthetic pictures among them, fewer usable ones than `config.min_images`, or bad scores.
    """
    usable = dataset.usable
    _refuse_synthetic(dataset)
    quarantined = {row.id: row.quarantine for row in dataset.quarantined}
    require_enough(len(usable), quarantined, config, where=dataset.ref.uri)
    scores = read_scores(config.scores)
    require_known(scores, {row.id for row in dataset.rows}, where=config.scores)
    assignment = keep_splits([(_group(row), row.split) for row in usable], ledger=ledger)
    writer = DatasetWriter(workspace, classes=dataset.classes)
    for row in dataset.quarantined:
        writer.quarantine(row)
    for row in usable:
        writer.link(scored(_taken(row, assignment), scores), dataset)
    rows = [row for row in writer.finish() if not row.quarantine]
    report = IngestReport(
        layout=LAYOUT,
        classes=dataset.classes,
        images=len(rows),
        unlabeled=sum(row.state == LabelState.UNLABELED for row in rows),
        background=sum(row.state == LabelState.BACKGROUND for row in rows),
        splits=count_splits(rows, dataset.classes),
        quarantined=tuple(sorted(quarantined.items())),
        clipped_boxes=0,
        passed_over={},
        duplicates=find_duplicates([(row.id, row.phash, row.sha256) for row in rows if row.phash]),
        merged_images=0,
        unmatched_images=0,
        moved=assignment.moved,
        ledger=assignment.ledger.remembering(KnownPicture(_group(row), row.sha256, row.phash) for row in usable),
        class_source="the data set",
        split_source="the data set" + (", earlier ingests of the project" if ledger else ""),
    )
    (workspace / REPORT_FILE).write_bytes(canonical_json(report.to_json()))
    (workspace / LEDGER_FILE).write_bytes(canonical_json(report.ledger.to_json()))
    return report


def _refuse_synthetic(dataset: Dataset) -> None:
    synthetic = dataset.select(origin=Origin.SYNTHETIC)
    if synthetic:
        raise SourceError(
            "synthetic pictures are no photographs to begin a run with",
            expected="a data set of photographs, as ingest and `review import --part real` make it",
            got=f"{len(synthetic)} synthetic pictures, {synthetic[0].id} among them",
            where=dataset.ref.uri,
        )


def _taken(row: Row, assignment: Assignment) -> Row:
    group = _group(row)
    placed = replace(row, group=group, split=assignment.split_of[(group,)])
    return replace(placed, labels=(), state=LabelState.UNLABELED) if row.state == LabelState.MODEL else placed


def _group(row: Row) -> str:
    return row.group or row.id
