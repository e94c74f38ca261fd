"""Ingest: a source of photographs becomes a dataset with splits, and everything left out is listed by name.

Decides the order: read, check, hash, group, split, write. One pass over the pictures, few of them in memory at a time.
Refuses a set that is too small to train on, and labels of which not one can be used.

    report = ingest(Path("photos"), IngestConfig(), workspace=work, scratch=scratch, seed=0)
    sorted(path.name for path in work.iterdir())
    # ['dataset.json', 'index', 'ingest.json', 'shards', 'splits.json']
"""

from __future__ import annotations

from pathlib import Path

from edgewright.artifacts import canonical_json
from edgewright.data.codec import require
from edgewright.data.dataset import DatasetWriter
from edgewright.data.formats import Labels
from edgewright.data.ingest_report import IngestReport
from edgewright.data.reading import read_source
from edgewright.data.scores import read_scores, require_known, scored
from edgewright.data.splits import LEDGER_FILE, SplitLedger
from edgewright.fanout.hands import Hands
from edgewright.fanout.processes import ALONE
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
    hands: Hands = ALONE,
    on_progress: OnProgress = silent,
) -> IngestReport:
    """Write a dataset, `splits.json` and `ingest.json` into `workspace`.

    Law: the same bytes, config, seed and ledger give the same files, whoever the `hands` are that decode many pictures.

    Raises:
        SourceError: unreadable, refused, ambiguous, fewer usable images than `config.min_images`, labels of which not
            one can be used, or bad scores.
        RecipeError: the group pattern is wrong.
        MissingExtra: nothing but videos, and OpenCV is not installed; a codec, and imagecodecs is not.
    """
    require(config.codec)
    scores = read_scores(config.scores)

    def write(labels: Labels) -> DatasetWriter:
        return DatasetWriter(workspace, classes=labels.classes)

    with read_source(source, config, scratch=scratch, sink=write, hands=hands, on_progress=on_progress) as reading:
        reading.require_usable(config)
    division, survey = reading.divided(config, seed=seed, ledger=ledger), reading.survey
    require_known(scores, {row.id for row in survey.rows} | survey.quarantined.keys(), where=config.scores)
    rows = reading.sink.finish(revise=lambda row: scored(division.place(row), scores))
    report = reading.report(rows, division)
    (workspace / REPORT_FILE).write_bytes(canonical_json(report.to_json()))
    (workspace / LEDGER_FILE).write_bytes(canonical_json(report.ledger.to_json()))
    return report
