"""Ingest: a folder, archive, S3 prefix, video or data set becomes the real dataset, checked and split."""

from __future__ import annotations

import json
from pathlib import Path

from edgewright.artifacts import Artifact, ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.data.ingest import ORIGIN_FILE, REPORT_FILE
from edgewright.data.ingest import ingest as ingest_source
from edgewright.data.ingest_report import IngestReport
from edgewright.data.reingest import reingest
from edgewright.data.splits import LEDGER_FILE, SplitLedger
from edgewright.errors import SourceError
from edgewright.metrics import metrics_of
from edgewright.recipe.data import IngestConfig
from edgewright.report.understood import told_as_json, understood
from edgewright.simulate.source import write_source
from tasks.engine.hands import hands_of
from tasks.engine.source import find_dataset, is_dataset, is_simulated, locate_source, source_identity
from tasks.engine.stage import stage
from tasks.engine.told import Told
from tasks.engine.work import Work


def told_of(artifact: Artifact) -> Told:
    """What the ingest understood, from its own words."""
    report = artifact.json(REPORT_FILE)
    found = understood(report)
    return Told(told_as_json(report), found.lines(), found.markdown(), found.tags())


@stage(pools=("cpu",), identify={"source": source_identity}, per_project=True, tells=told_of)
def ingest(work: Work, config: IngestConfig, source: str) -> ArtifactRef:
    """Read the source, quarantine what cannot be used with its reason, and keep earlier splits."""
    with work.session.store.workspace() as out:
        if is_dataset(source):
            report, simulated = _reingested(config, source, out=out, work=work)
        else:
            report, simulated = _read(config, source, out=out, work=work), is_simulated(source)
        (out / ORIGIN_FILE).write_text(json.dumps({"simulated": simulated}))
        found = understood(report.to_json())
        work.child.tag({**found.tags(), "mlflow.note.content": found.markdown()})
        ref = work.publish(
            out, kind="dataset_real", metrics=metrics_of(report.to_json()), facts={"simulated": simulated}
        )
    work.session.store.remember(_ledger_key(work), ref)
    return ref


def _read(config: IngestConfig, source: str, *, out: Path, work: Work) -> IngestReport:
    if is_simulated(source):
        path = work.scratch / "photographs"
        write_source(path, n=config.photographs, seed=work.seed, on_progress=work.on_progress)
    else:
        path = locate_source(source, work.session, on_progress=work.on_progress)
        _check_links(config, source, trusted=work.session.trusted_source)
    with hands_of(work.session.settings) as hands:
        return ingest_source(
            path,
            config,
            workspace=out,
            scratch=work.scratch,
            seed=work.seed,
            ledger=_ledger(work),
            hands=hands,
            on_progress=work.on_progress,
        )


def _check_links(config: IngestConfig, source: str, *, trusted: bool) -> None:
    """Through a link a form or an event could read any file that the worker can."""
    if config.follow_links and not trusted:
        raise SourceError(
            "links are followed only in a source that is named at the command line",
            got=source,
            next_step="leave ingest.follow_links out, or copy the files into the folder",
        )


def _reingested(config: IngestConfig, source: str, *, out: Path, work: Work) -> tuple[IngestReport, bool]:
    """A data set of the store, and whether its photographs were simulated."""
    artifact = work.open(find_dataset(source, work.session.store))
    dataset = Dataset.open(work.session.store, artifact.ref)
    own = SplitLedger.from_json(artifact.json(LEDGER_FILE)) if LEDGER_FILE in artifact.files else None
    report = reingest(dataset, config, workspace=out, ledger=_ledger(work) or own)
    return report, ORIGIN_FILE in artifact.files and bool(artifact.json(ORIGIN_FILE)["simulated"])


def _ledger_key(work: Work) -> str:
    return f"splits-{work.project}"


def _ledger(work: Work) -> SplitLedger | None:
    """The project's latest ledger: groups that were assigned once keep their split."""
    latest = work.session.store.recall(_ledger_key(work))
    return SplitLedger.from_json(work.open(latest).json(LEDGER_FILE)) if latest else None
