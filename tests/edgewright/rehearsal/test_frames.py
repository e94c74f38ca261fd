from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewright.artifacts import ArtifactRef, Content, LocalStore, Record
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import LabelState, Split
from edgewright.data.scores import HARD_SCORE
from edgewright.fleet.frames import FleetFrame
from edgewright.rehearsal.frames import changed_frames, drawn_by_chance, truth_of, with_all, with_unlabeled
from edgewright.rehearsal.line import first_of
from edgewright.rehearsal.plan import RehearsalConfig
from edgewright.rehearsal.watched import SeenFrame
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.session import ModelSpec
from edgewright.simulate.camera import CLASSES, SimulatedCamera
from edgewright.simulate.shift import shift_named
from tests.edgewright.label.conftest import scene_row
from tests.scenes import publish_dataset

NIGHT = SimulatedCamera(1, shift=shift_named("night"))
CONFIG = RehearsalConfig(test_frames=8, full_frames=9)
SPEC = ModelSpec(classes=CLASSES, input_px=64, layout="dense", score_threshold=0.3, iou_threshold=0.5)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("store"))


def publish(store: LocalStore, out: Path, kind: str) -> Dataset:
    ref: ArtifactRef = store.publish(out, Content(kind, "photograph"), Record())
    return Dataset.open(store, ref)


@pytest.fixture(scope="module")
def changed(store: LocalStore) -> Dataset:
    with store.workspace() as out:
        assert changed_frames(NIGHT, CONFIG, writer=DatasetWriter(out, classes=CLASSES)) == 17
        return publish(store, out, "dataset_changed")


@pytest.fixture(scope="module")
def photographs(store: LocalStore) -> Dataset:
    return publish_dataset(store, [scene_row(seed) for seed in range(6)], classes=CLASSES)


def frames_by_chance(folder: Path, *, n: int = 4) -> list[FleetFrame]:
    seen = {
        f"line-{device}": [
            SeenFrame(f"{first_of(device) + number:08d}", float(number), 1, NIGHT.photograph(0).boxes, Boxes.empty())
            for number in range(10)
        ]
        for device in range(2)
    }
    return drawn_by_chance(seen, n=n, camera=NIGHT, spec=SPEC, folder=folder, seed=5)


def test_changed_frames_are_what_no_device_sees_with_their_truth(changed: Dataset) -> None:
    tests, train = changed.select(split=Split.TEST), changed.select(split=Split.TRAIN)
    assert (len(tests), len(train)) == (8, 9)
    for row in (*tests, *train):
        index = int(row.id.removeprefix("changed/").removesuffix(".webp"))
        photograph = NIGHT.photograph(index)
        assert np.array_equal(changed.image(row), photograph.image)
        assert np.allclose(row.boxes.xyxy, photograph.boxes.xyxy)
        assert index >= first_of(20)


def test_all_labels_join_the_photographs_and_no_test_frame_does(
    store: LocalStore, photographs: Dataset, changed: Dataset
) -> None:
    with store.workspace() as out:
        with_all(photographs, changed, writer=DatasetWriter(out, classes=CLASSES))
        joined = publish(store, out, "dataset_real")
    own, others = {row.id for row in photographs.rows}, {row.id for row in joined.rows}
    assert own < others
    assert others - own == {row.id for row in changed.select(split=Split.TRAIN)}


def test_as_many_by_chance_are_what_devices_saw_and_told(tmp_path: Path) -> None:
    frames = frames_by_chance(tmp_path / "a")
    assert [frame.sha256 for frame in frames] == [frame.sha256 for frame in frames_by_chance(tmp_path / "b")]
    assert len({frame.sha256 for frame in frames}) == 4
    for frame in frames:
        assert len(frame.facts["detections"]) == len(NIGHT.photograph(0).boxes)
        truth = truth_of(frame, NIGHT)
        assert np.array_equal(truth.xyxy, NIGHT.photograph(int(frame.facts["frame"])).boxes.xyxy)


def test_what_nobody_labeled_is_unlabeled_and_hard(store: LocalStore, photographs: Dataset, tmp_path: Path) -> None:
    frames = frames_by_chance(tmp_path / "chance")
    with store.workspace() as out:
        with_unlabeled(photographs, frames, writer=DatasetWriter(out, classes=CLASSES))
        joined = publish(store, out, "dataset_real")
    fresh = [row for row in joined.rows if row.id not in {one.id for one in photographs.rows}]
    assert len(fresh) == 4
    assert {row.state for row in fresh} == {LabelState.UNLABELED} and {row.split for row in fresh} == {Split.TRAIN}
    assert all(row.scores[HARD_SCORE] == 1.0 and not row.labels for row in fresh)
