"""A run's first artifacts at toy size, made once a test session, and a session to run stages in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewright.artifacts import ArtifactRef, Content, LocalStore, Record
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Label, Row
from edgewright.label.train import train_labeler
from edgewright.recipe.label import TrainLabelerConfig
from edgewright.settings import read_settings
from tasks.engine.journal import Journal
from tasks.engine.session import Session, StageLink
from tasks.engine.tracking import Tracker

Publish = Callable[[LocalStore, Sequence[int]], ArtifactRef]
Run = tuple[LocalStore, dict[str, ArtifactRef]]
SIDE_PX = 48


def photograph(number: int) -> tuple[Row, bytes]:
    """A red square on gray; every third one is unlabeled."""
    random = np.random.default_rng(number)
    image = random.normal(120, 5, (SIDE_PX, SIDE_PX, 3)).clip(0, 255).astype(np.uint8)
    x, y = (int(value) for value in random.integers(4, 24, 2))
    image[y : y + 16, x : x + 16] = (220, 60, 60)
    name = f"{number}.png"
    row = Row(id=name, sha256="", width=SIDE_PX, height=SIDE_PX, split="train", group=name, state="human")
    labels = (Label(0, 0, (float(x), float(y), x + 16.0, y + 16.0)),)
    return (replace(row, state="unlabeled") if number % 3 == 0 else replace(row, labels=labels)), encode_png(image)


@pytest.fixture(scope="session")
def publish_photographs() -> Publish:
    """`publish_photographs(store, numbers)`: the result of an ingest."""
    return publish_numbers


def publish_numbers(store: LocalStore, numbers: Sequence[int]) -> ArtifactRef:
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=("square",))
        for number in numbers:
            writer.add(*photograph(number))
        writer.finish()
        (work / "origin.json").write_text('{"simulated": true}')
        return store.publish(work, Content(kind="dataset_real", stage="ingest"), Record())


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The store of a home, with the first stages of a run."""
    store = LocalStore(tmp_path_factory.mktemp("home") / "store")
    real = publish_numbers(store, range(15))
    config = TrainLabelerConfig(image_px=48, steps=40, batch=4, width=8, folds=2, suspect_score=0.0)
    with store.workspace() as work:
        train_labeler(
            Dataset.open(store, real),
            config,
            out=work,
            scratch=tmp_path_factory.mktemp("scratch"),
            seed=0,
            threads=1,
            on_progress=lambda *_: None,
        )
        labeler = store.publish(work, Content(kind="labeler", stage="train_labeler"), Record())
    return store, {"ingest": real, "train_labeler": labeler}


@pytest.fixture(scope="session")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path_factory.mktemp("tracked"))})
    return Tracker(settings.mlflow_tracking_uri, artifacts=settings.home / "mlflow" / "artifacts")


@pytest.fixture
def open_session(tmp_path: Path, tracker: Tracker) -> Callable[[LocalStore], Session]:
    """`open_session(store)`: what stages run in, with a home of its own."""

    def open_one(store: LocalStore) -> Session:
        settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home")})
        journal = Journal.begin(settings.runs, project="parts", source="", recipe={}, plan="")
        link = StageLink(project="parts", mlflow_parent=tracker.start_parent("parts", run_id=journal.run_id))
        return Session(settings=settings, store=store, tracker=tracker, journal=journal, link=link)

    return open_one
