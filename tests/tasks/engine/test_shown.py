"""Prefect's pages hold what a run has to show, on keys that stay, and a long stage says how far it is."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.engine import shown
from tasks.engine.shown import StageProgress

KEYS = {"dataset-card", "image-grid", "gate-report", "model-card", "release"}


def test_a_run_leaves_its_cards(toy_run: Any) -> None:
    with sqlite3.connect(toy_run.home / "prefect" / "prefect.db") as database:
        found = dict(database.execute("SELECT key, data FROM artifact"))
    assert set(found) >= KEYS
    assert f"/runs/{toy_run.printed['mlflow_run_id']}" in found["model-card"]
    assert "data:image/jpeg;base64," in found["image-grid"]


def test_a_long_stage_says_how_far_it_is(prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "LONG_S", 0.0)

    @flow(name="long", persist_result=False)
    def long() -> None:
        progress = StageProgress("train_it")
        for done in (1, 2):
            progress.report(done, 4, f"step {done}")

    with temporary_settings({PREFECT_API_URL: prefect_api}):
        long()
        APILogWorker.drain_all(timeout=10)  # while there is somebody to tell
        with get_client(sync_client=True) as client:
            named = ArtifactFilter(key=ArtifactFilterKey(any_=["progress-train-it"]))
            made = client.read_artifacts(artifact_filter=named)
    assert [(one.type, one.data, one.description) for one in made] == [("progress", 50.0, "step 2")]


def test_a_short_stage_and_one_that_nobody_watches_say_nothing() -> None:
    progress = StageProgress("quick")
    progress.report(1, 4, "step")
    assert progress._made is None
