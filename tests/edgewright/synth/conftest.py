"""Crops and pictures to learn from, and one thread, on which training is the same bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from edgewright.artifacts import Artifact, Content, LocalStore, Record, Store
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.progress import OnProgress, silent
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.generator import train_generator
from edgewright.synth.networks.batches import CropSet
from tests.scenes import plates, publish_dataset

SPOTS = ((0, 4, 4), (0, 50, 32), (1, 25, 34))
SMALL = {"steps": 6, "batch": 4, "width": 8, "latent": 8}


@pytest.fixture(scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def crops() -> CropSet:
    """Class 0: 40 red squares; class 1: 6 blue ones; on gray, opaque where colored."""
    rng = np.random.default_rng(0)
    pixels = np.full((46, 32, 32, 4), 120, np.uint8)
    pixels[..., 3] = 0
    index = np.array([0] * 40 + [1] * 6)
    for crop, which in zip(pixels, index, strict=True):
        half = rng.integers(7, 11)
        crop[16 - half : 16 + half, 16 - half : 16 + half] = (220, 40, 40, 255) if which == 0 else (40, 40, 220, 255)
    return CropSet(pixels, index)


def make_dataset(store: Store, *, masked: bool, images: int = 8) -> Dataset:
    """Two red rectangles and a blue one a picture. Classes `red` and `blue`, and `never`, of which there is none."""
    paint = partial(plates, spots=SPOTS, jitter_px=5, widths_px=(14, 18), height_px=14, color=220)
    pairs = []
    for index in range(images):
        image, labels = paint(index, masked=masked)
        row = Row(f"{index}.png", "", width=80, height=60, labels=labels, state="human")
        pairs.append((row, encode_png(image)))
    return publish_dataset(store, pairs, classes=("red", "blue", "never"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def dataset(store: Store) -> Dataset:
    """Eight pictures with labeled masks."""
    return make_dataset(store, masked=True)


@pytest.fixture(scope="module")
def bare_dataset(store: Store) -> Dataset:
    """The same pictures with boxes alone."""
    return make_dataset(store, masked=False)


@pytest.fixture(scope="module")
def poor_dataset(store: Store) -> Dataset:
    """Two pictures: six objects."""
    return make_dataset(store, masked=True, images=2)


@pytest.fixture(scope="module")
def fit(store: Store) -> Callable[..., Artifact]:
    """Train a generator at toy size and publish it."""

    def train(
        dataset: Dataset, *, scratch: Path | None = None, on_progress: OnProgress = silent, **changes: object
    ) -> Artifact:
        config = TrainGeneratorConfig.model_validate({**SMALL, **changes})
        with store.workspace() as work, store.workspace() as spare:
            folder = scratch or spare
            train_generator(dataset, config, out=work, scratch=folder, seed=0, threads=1, on_progress=on_progress)
            return store.open(store.publish(work, Content("generator", "train_generator"), Record()))

    return train
