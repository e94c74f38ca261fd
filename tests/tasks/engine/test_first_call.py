"""A run's first call to MLflow: soon and in a sentence; the client's own patience is as it was afterwards."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT

from edgewright.errors import StoreUnavailable
from tasks.engine.tracking import Tracker
from tests.listeners import answering, closed_port


def patience() -> tuple[object, ...]:
    return tuple((v.get(), v.is_set()) for v in (MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT))


def test_a_server_that_is_gone(tmp_path: Path) -> None:
    before, began = patience(), time.monotonic()
    with pytest.raises(
        StoreUnavailable, match=r"MLflow does not take this run \(got connection refused, in http://127"
    ):
        Tracker(f"http://me:secret@127.0.0.1:{closed_port()}", tmp_path).start_parent("p", run_id="r")
    assert time.monotonic() - began < 20
    assert patience() == before


def test_a_server_that_lets_nobody_in(tmp_path: Path) -> None:
    with answering(403, b"no") as server, pytest.raises(StoreUnavailable, match=r"does not take this run \(got .*403"):
        Tracker(server.url, tmp_path).start_parent("p", run_id="r")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="does not take this run"):
        Tracker(f"sqlite:///{tmp_path}/file/mlflow.db", tmp_path).start_parent("p", run_id="r")


def test_what_the_user_says_of_patience_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreUnavailable):
        Tracker(f"http://127.0.0.1:{closed_port()}", tmp_path).start_parent("p", run_id="r")
    assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 0
