"""The review of a run, on a real store: pictures out, answers back as a new data set on the same pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewright.artifacts import ArtifactRef, Content, LocalStore, Record
from edgewright.data.dataset import Dataset, DatasetWriter, encode_png
from edgewright.data.rows import Label, Row
from edgewright.errors import ArtifactMissing, InputError
from edgewright.label.train import train_labeler
from edgewright.recipe import LabelConfig, TrainLabelerConfig
from edgewright.settings import read_settings
from tasks.review import export_review_of_run, import_review_of_run
from tasks.sweep import plan_sweep, sweep
from tasks.tracking import Tracker

Run = tuple[LocalStore, dict[str, ArtifactRef]]
SIDE_PX = 48
CONFIG = LabelConfig(pseudo_min_found=1, pseudo_ignore_score=0.01)


def photograph(number: int) -> tuple[Row, bytes]:
    """A red square on gray; every third one is unlabeled."""
    random = np.random.default_rng(number)
    image = random.normal(120, 5, (SIDE_PX, SIDE_PX, 3)).clip(0, 255).astype(np.uint8)
    x, y = (int(value) for value in random.integers(4, 24, 2))
    image[y : y + 16, x : x + 16] = (220, 60, 60)
    row = Row(id=f"{number}.png", sha256="", width=SIDE_PX, height=SIDE_PX, split="train", state="human")
    labels = (Label(0, 0, (float(x), float(y), x + 16.0, y + 16.0)),)
    return (replace(row, state="unlabeled") if number % 3 == 0 else replace(row, labels=labels)), encode_png(image)


def publish_photographs(store: LocalStore, *, numbers: Sequence[int]) -> ArtifactRef:
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=("square",))
        for number in numbers:
            writer.add(*photograph(number))
        writer.finish()
        (work / "origin.json").write_text('{"simulated": true}')
        return store.publish(work, Content(kind="dataset_real", stage="ingest"), Record())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A store with the first stages of a run."""
    store = LocalStore(tmp_path_factory.mktemp("store"))
    real = publish_photographs(store, numbers=range(15))
    config = TrainLabelerConfig(image_px=48, steps=20, batch=4, width=8, folds=2, suspect_score=0.0)
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


def test_photographs_go_out_and_come_back_reviewed(run: Run, tmp_path: Path) -> None:
    store, refs = run
    exported = export_review_of_run(store, refs, to=tmp_path / "out", format="coco", limit=100, config=CONFIG)
    assert exported.images >= 5  # the unlabeled ones, and the suspects
    path = tmp_path / "out" / "annotations.json"
    ref, report = import_review_of_run(store, refs, path, person="ann", config=CONFIG)
    assert (report.reviewed, report.added, report.removed) == (exported.images, 0, 0)
    before, after = Dataset.open(store, refs["ingest"]), Dataset.open(store, ref)
    assert [row.sha256 for row in after.rows] == [row.sha256 for row in before.rows]
    assert [row.split for row in after.rows] == [row.split for row in before.rows]
    assert sum(row.state == "reviewed" for row in after.rows) == exported.images
    manifest = store.manifest(ref.sha256)
    assert not [name for name in manifest.content.files if name.startswith("shards/")]
    assert manifest.record.facts["persons"] == ["ann"]
    proposed = [label for row in after.rows if row.id == "0.png" for label in row.labels]
    assert {label.model for label in proposed} <= {refs["train_labeler"].sha256}


def test_the_same_answers_give_the_same_data_set(run: Run, tmp_path: Path) -> None:
    store, refs = run
    export_review_of_run(store, refs, to=tmp_path / "out", format="coco", limit=3, config=CONFIG)
    path = tmp_path / "out" / "annotations.json"
    one, other = (import_review_of_run(store, refs, path, person="ann", config=CONFIG)[0] for _ in range(2))
    assert one == other
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "annotations": []}))
    assert import_review_of_run(store, refs, path, person="ann", config=CONFIG)[0] != one


def test_a_run_that_has_not_come_so_far(run: Run, tmp_path: Path) -> None:
    store, refs = run
    with pytest.raises(ArtifactMissing, match="no result of label"):
        export_review_of_run(store, refs, part="synthetic", to=tmp_path / "out", format="coco", limit=1)
    with pytest.raises(ArtifactMissing, match="no result of train_labeler"):
        export_review_of_run(store, {"ingest": refs["ingest"]}, to=tmp_path / "out", format="coco", limit=1)
    with pytest.raises(InputError, match="no such part"):
        export_review_of_run(store, refs, part="other", to=tmp_path / "out", format="coco", limit=1)


def test_a_persons_answers_survive_the_sweep_and_what_was_proposed_does_not(tmp_path: Path) -> None:
    settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path)})
    store = LocalStore(tmp_path / "store")
    real = publish_photographs(store, numbers=range(3))
    answers = {"dataset": real.sha256, "answers": "0" * 64}
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=("square",))
        for row in Dataset.open(store, real).rows:
            writer.link(row, Dataset.open(store, real))
        writer.finish()
        reviewed = store.publish(work, Content(kind="dataset_real", stage="review", inputs=answers), Record())
    with store.workspace() as work:
        (work / "proposals").write_text("the labeler can say it again")
        inputs = {"dataset": real.sha256, "labeler": "1" * 64}
        proposed = store.publish(work, Content(kind="dataset_labeled", stage="review", inputs=inputs), Record())
    tracker = Tracker(settings.mlflow_tracking_uri, artifacts=settings.home / "mlflow" / "artifacts")
    plan = plan_sweep(store, settings, tracker, keep=0)
    assert plan.artifacts == (proposed.sha256,)
    sweep(store, settings, plan)
    dataset = Dataset.open(store, reviewed)
    assert dataset.image(dataset.rows[0]).shape == (SIDE_PX, SIDE_PX, 3)
