"""Small real data sets: colored disks and bars on a noisy gray ground, in a store on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.artifacts import Artifact, Content, LocalStore, Record
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Label, Row
from edgewright.label.train import LabelerReport, train_labeler
from edgewright.recipe.label import TrainLabelerConfig
from tests.scenes import Painted, publish_dataset

CLASSES = ("disk", "bar")
SIDE_PX = 64
_COLORS = ((200, 60, 60), (60, 60, 200))


def draw_scene(seed: int) -> Painted:
    """(H, W, 3) uint8 and exact labels: three objects in separate quarters."""
    random = np.random.default_rng(seed)
    image = random.normal(120, 8, (SIDE_PX, SIDE_PX, 3))
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] + 0.5
    labels = []
    for index, quarter in enumerate(random.permutation(4)[:3]):
        class_id = int(random.integers(2))
        half_w, half_h = (8, 8) if class_id == 0 else (10, 5)
        cx, cy = 16 + 32 * (quarter % 2) + random.integers(-4, 5), 16 + 32 * (quarter // 2) + random.integers(-4, 5)
        dx, dy = np.abs(x - cx) / half_w, np.abs(y - cy) / half_h
        inside = np.hypot(dx, dy) <= 1 if class_id == 0 else np.maximum(dx, dy) <= 1
        image[inside] = _COLORS[class_id] + random.normal(0, 8, (int(inside.sum()), 3))
        box = tuple(float(value) for value in (cx - half_w, cy - half_h, cx + half_w, cy + half_h))
        labels.append(Label(instance_id=index, class_id=class_id, xyxy=box))
    return image.clip(0, 255).astype(np.uint8), tuple(labels)


def scene_row(seed: int, **changes: Any) -> tuple[Row, bytes]:
    image, labels = draw_scene(seed)
    split = "val" if seed % 5 == 0 else "train"
    row = Row(
        id=f"scene-{seed:03d}",
        sha256="",
        width=SIDE_PX,
        height=SIDE_PX,
        split=split,
        group=str(seed),
        labels=labels,
        state="human",
    )
    return replace(row, **changes), encode_png(image)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def publish(store: LocalStore) -> Callable[..., Dataset]:
    """`publish([(row, payload), …]) -> Dataset`."""

    def publish_rows(
        pairs: Iterable[tuple[Row, bytes]], *, classes: Sequence[str] = CLASSES, quarantined: Iterable[Row] = ()
    ) -> Dataset:
        return publish_dataset(store, pairs, classes=classes, quarantined=quarantined)

    return publish_rows


@pytest.fixture(scope="session")
def scene() -> Callable[..., tuple[Row, bytes]]:
    return scene_row


@pytest.fixture(scope="session")
def photographs(publish: Callable[..., Dataset]) -> Dataset:
    return publish([scene_row(seed) for seed in range(30)])


@pytest.fixture(scope="session")
def trained(photographs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelerReport, Path]:
    """(report, folder) of a labeler that has learned the scenes."""
    out, scratch = tmp_path_factory.mktemp("labeler"), tmp_path_factory.mktemp("scratch")
    config = TrainLabelerConfig(image_px=64, steps=100, batch=8, width=8, learning_rate=5e-3, folds=2, fpga=True)
    report = train_labeler(
        photographs, config, out=out, scratch=scratch, seed=0, threads=1, on_progress=lambda *progress: None
    )
    return report, out


@pytest.fixture(scope="session")
def publish_labeler(store: LocalStore) -> Callable[[Path], Artifact]:
    """`publish_labeler(folder) -> Artifact`."""

    def publish_folder(folder: Path) -> Artifact:
        with store.workspace() as work:
            for path in folder.iterdir():
                (work / path.name).write_bytes(path.read_bytes())
            ref = store.publish(work, Content(kind="labeler", stage="train_labeler"), Record())
        return store.open(ref)

    return publish_folder
