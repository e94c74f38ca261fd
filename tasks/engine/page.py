"""The page that a run ends with, written and logged. What stands on it is gathered by `edgewright.report.gather`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from edgewright.artifacts import ArtifactRef
from edgewright.files import write_atomically
from tasks.engine.entries import tracked_dataset
from tasks.engine.links import mlflow_run, prefect_run
from tasks.engine.session import Session
from tasks.engine.tracking import TrackedDataset

_MLFLOW = "MLflow run"


def write_report(session: Session) -> Path:
    """Write the report of what has run so far, note its path and figures in the journal, and log it to MLflow."""
    from edgewright.report.gather import Gathered  # half a second, which a dry run need not pay
    from edgewright.report.page import render

    client, parent = session.tracker.client, session.link.mlflow_parent
    refs = {name: ArtifactRef.from_json(ref) for name, ref in session.journal.state["refs"].items()}
    gathered = Gathered(session.store, session.journal.state, refs, links=_links(session))
    path = session.journal.path.parent / "report.html"
    tiers = {one.tier: asdict(one) for one in gathered.tiers()}
    session.journal.update(models=gathered.models_json(), tiers=tiers, report=str(path))
    write_atomically(path, render(gathered.data()).encode())
    client.log_artifact(parent, str(path))
    session.tracker.log_datasets(parent, _datasets(session, refs))
    digests = {"dataset.digest": refs["ingest"].sha256} if "ingest" in refs else {}
    ways = " · ".join(f"[{name}]({url})" for name, url in _links(session) if name != _MLFLOW)
    session.tracker.tag(
        parent, {"mlflow.note.content": "\n\n".join(filter(None, [gathered.headline(), ways])), **digests}
    )
    session.tracker.log(
        parent,
        {
            f"{precision}/{name}": value
            for precision, figures in gathered.models_json().items()
            for name, value in figures.items()
            if value is not None
        }
        | {
            f"{tier}/{name}": float(value)
            for tier, figures in tiers.items()
            for name, value in figures.items()
            if isinstance(value, int | float)
        },
    )
    return path


def _links(session: Session) -> list[tuple[str, str]]:
    """They open while `edgewright ui` serves this home; where the settings name servers, those are meant."""
    settings, parent = session.settings, session.link.mlflow_parent
    experiment = session.tracker.experiment_of(parent)
    links = [(_MLFLOW, mlflow_run(experiment, parent, server=settings.shown_mlflow))]
    flow_run = session.journal.state["prefect_flow_run_id"]
    return [*links, ("Prefect run", prefect_run(flow_run, api_url=settings.shown_prefect))] if flow_run else links


def _datasets(session: Session, refs: Mapping[str, ArtifactRef]) -> list[TrackedDataset]:
    """What the run began with, and what its detector was trained on."""
    of_run = {"photographs": "ingest", "training": "gate_data"}
    return [
        tracked_dataset(session.store, refs[stage], project=session.link.project, context=context)
        for context, stage in of_run.items()
        if stage in refs
    ]
