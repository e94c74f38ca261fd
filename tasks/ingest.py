"""Ingest: a folder, archive, S3 prefix or video becomes the real dataset, checked and split."""

from __future__ import annotations

import json

from edgewright.artifacts import ArtifactRef
from edgewright.data.ingest import ingest as ingest_source
from edgewright.data.splits import SplitLedger
from edgewright.recipe import IngestConfig
from edgewright.simulate.source import write_source
from tasks.numbers import numbers_of
from tasks.source import is_simulated, locate_source, source_identity
from tasks.stage import Work, stage


@stage(pools=("cpu",), identify={"source": source_identity}, per_project=True)
def ingest(config: IngestConfig, source: str, *, work: Work) -> ArtifactRef:
    """Read the source, quarantine what cannot be used with its reason, and keep earlier splits."""
    simulated = is_simulated(source)
    if simulated:
        path = work.scratch / "photographs"
        write_source(path, n=config.photographs, seed=work.seed, on_progress=work.on_progress)
    else:
        path = locate_source(source, work.session, on_progress=work.on_progress)
    with work.session.store.workspace() as out:
        report = ingest_source(
            path,
            config,
            workspace=out,
            scratch=work.scratch,
            seed=work.seed,
            ledger=_ledger(work),
            on_progress=work.on_progress,
        )
        (out / "origin.json").write_text(json.dumps({"simulated": simulated}))
        ref = work.publish(
            out, kind="dataset_real", metrics=numbers_of(report.to_json()), facts={"simulated": simulated}
        )
    work.session.store.remember(_ledger_key(work), ref)
    return ref


def _ledger_key(work: Work) -> str:
    return f"splits-{work.project}"


def _ledger(work: Work) -> SplitLedger | None:
    """The project's latest ledger: groups that were assigned once keep their split."""
    latest = work.session.store.recall(_ledger_key(work))
    return SplitLedger.from_json(work.open(latest).json("splits.json")) if latest else None
