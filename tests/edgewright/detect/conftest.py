"""A data set of colored squares, small enough to train on in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewright.artifacts import open_store
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Label, Row
from tests.scenes import BLUE, RED, Painted, gray, paint_square, publish_dataset


def draw(rng: np.random.Generator, *, side: int = 64) -> Painted:
    """A gray picture with one or two squares; class 0 is red, class 1 blue."""
    image = gray(rng, side_px=side)
    labels = []
    for index in range(int(rng.integers(1, 3))):
        class_id, size = int(rng.integers(0, 2)), int(rng.integers(12, 24))
        corners = paint_square(image, rng, (RED, BLUE)[class_id], side_px=size, room_px=side - size)
        labels.append(Label(index, class_id, corners))
    return image, tuple(labels)


def make_dataset(folder: Path, *, counts: Mapping[tuple[str, str], int], seed: int = 0) -> Dataset:
    """A published dataset; `counts` maps (split, origin) to a number of images."""
    rng = np.random.default_rng(seed)
    pairs = []
    for (split, origin), count in counts.items():
        for index in range(count):
            image, labels = draw(rng)
            row = Row(f"{split}-{origin}-{index:03d}.png", "", width=64, height=64, split=split, origin=origin)
            state = "human" if origin == "real" else "constructed"
            pairs.append((replace(row, labels=labels, state=state), encode_png(image)))
    return publish_dataset(open_store(str(folder)), pairs, classes=("red", "blue"))


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """10 real and 4 synthetic train images, 4 val, 4 test."""
    counts = {("train", "real"): 10, ("train", "synthetic"): 4, ("val", "real"): 4, ("test", "real"): 4}
    return make_dataset(tmp_path_factory.mktemp("squares"), counts=counts)


@pytest.fixture
def make_squares(tmp_path: Path) -> Callable[..., Dataset]:
    """A dataset with other counts."""
    return lambda **counts: make_dataset(
        tmp_path / "store", counts={tuple(name.split("_")): count for name, count in counts.items()}
    )
