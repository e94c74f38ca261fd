"""The page that a run ends with, written and logged. What stands on it is gathered by `edgewright.report.gather`."""

from __future__ import annotations

from pathlib import Path

from edgewright.artifacts import ArtifactRef
from edgewright.files import write_atomically
from tasks.engine.session import Session

_MLFLOW, _PREFECT = "http://127.0.0.1:5000", "http://127.0.0.1:4200"
"""Where `edgewright ui` serves them."""


def write_report(session: Session) -> Path:
    """Write the report of what has run so far, note its path and figures in the journal, and log it to MLflow."""
    from edgewright.report.gather import Gathered  # half a second, which a dry run need not pay
    from edgewright.report.page import render

    client, parent = session.tracker.client, session.link.mlflow_parent
    refs = {name: ArtifactRef.from_json(ref) for name, ref in session.journal.state["refs"].items()}
    gathered = Gathered(session.store, session.journal.state, refs, links=_links(session))
    path = session.journal.path.parent / "report.html"
    session.journal.update(models=gathered.models_json(), report=str(path))
    write_atomically(path, render(gathered.data()).encode())
    client.log_artifact(parent, str(path))
    digests = {"dataset.digest": refs["ingest"].sha256} if "ingest" in refs else {}
    session.tracker.tag(parent, {"mlflow.note.content": gathered.headline(), **digests})
    session.tracker.log(
        parent,
        {
            f"{precision}/{name}": value
            for precision, figures in gathered.models_json().items()
            for name, value in figures.items()
            if value is not None
        },
    )
    return path


def _links(session: Session) -> list[tuple[str, str]]:
    """They open while `edgewright ui` serves this home."""
    parent = session.link.mlflow_parent
    experiment = session.tracker.client.get_run(parent).info.experiment_id
    links = [("MLflow run", f"{_MLFLOW}/#/experiments/{experiment}/runs/{parent}")]
    flow_run = session.journal.state["prefect_flow_run_id"]
    return [*links, ("Prefect run", f"{_PREFECT}/runs/flow-run/{flow_run}")] if flow_run else links
