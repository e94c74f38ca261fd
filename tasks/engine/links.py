"""Addresses that a person opens: pages of MLflow and of Prefect.

Decides that MLflow opens on its training view: without the query it shows agents and traces, whatever an experiment's
tags say. Refuses to hand a login on: what stands before the host of a configured address is left out.

>>> mlflow_run("7", "abc", server="https://me:secret@mlflow.example")
'https://mlflow.example/#/experiments/7/runs/abc?workflowType=machine_learning'
"""

from __future__ import annotations

from urllib.parse import urlsplit

MLFLOW, PREFECT = "http://127.0.0.1:5000", "http://127.0.0.1:4200"
"""Where `edgewright ui` serves them."""
_TRAINING_VIEW = "?workflowType=machine_learning"


def mlflow_experiments(server: str = MLFLOW) -> str:
    """Every project, an experiment each."""
    return f"{_served(server, else_at=MLFLOW)}/#/experiments{_TRAINING_VIEW}"


def mlflow_run(experiment_id: str, mlflow_run_id: str, *, server: str = MLFLOW) -> str:
    """One run. `server` is a tracking URI: of a file, it is what `edgewright ui` serves."""
    return _served(server, else_at=MLFLOW) + run_path(experiment_id, mlflow_run_id)


def run_path(experiment_id: str, mlflow_run_id: str) -> str:
    """The same from within MLflow's pages, wherever they are served."""
    return f"/#/experiments/{experiment_id}/runs/{mlflow_run_id}{_TRAINING_VIEW}"


def prefect_run(flow_run_id: str, *, api_url: str = "") -> str:
    """A flow run's page; `api_url` is PREFECT_API_URL, empty where the home's own server is meant."""
    return f"{_served(api_url.rstrip('/').removesuffix('/api'), else_at=PREFECT)}/runs/flow-run/{flow_run_id}"


def _served(uri: str, *, else_at: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return else_at
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
