"""Addresses on MLflow's and Prefect's pages."""

from __future__ import annotations

import pytest

from tasks.engine.links import mlflow_experiments, mlflow_run, prefect_run

VIEW = "?workflowType=machine_learning"


@pytest.mark.parametrize(
    ("server", "base"),
    [
        ("sqlite:///mlflow/mlflow.db", "http://127.0.0.1:5000"),  # a file is what `edgewright ui` serves
        ("http://127.0.0.1:5050", "http://127.0.0.1:5050"),
        ("https://me:secret@mlflow.example:8443/tracking/", "https://mlflow.example:8443/tracking"),
    ],
)
def test_mlflow_opens_on_its_training_view(server: str, base: str) -> None:
    assert mlflow_run("7", "abc", server=server) == f"{base}/#/experiments/7/runs/abc{VIEW}"
    assert mlflow_experiments(server) == f"{base}/#/experiments{VIEW}"


@pytest.mark.parametrize(
    ("api_url", "base"),
    [("", "http://127.0.0.1:4200"), ("https://prefect.example/api/", "https://prefect.example")],
)
def test_a_flow_run_has_a_page_beside_the_api(api_url: str, base: str) -> None:
    assert prefect_run("f1", api_url=api_url) == f"{base}/runs/flow-run/f1"
