"""Crops and pictures to learn from, and one thread, on which training is the same bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edgewright.artifacts import Artifact, Content, LocalStore, Record, Store
from edgewright.data.dataset import Dataset, DatasetWriter, encode_png
from edgewright.data.rle import encode_mask
from edgewright.data.rows import Label, Row
from edgewright.progress import OnProgress, silent
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.batches import CropSet
from edgewright.synth.generator import train_generator

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


def picture(index: int, *, masked: bool) -> tuple[np.ndarray, tuple[Label, ...]]:
    """An 80 x 60 gray picture with two red rectangles and a blue one, apart from each other."""
    rng = np.random.default_rng(index)
    image = np.clip(rng.normal(120, 4, (60, 80, 3)), 0, 255).astype(np.uint8)
    labels = []
    for number, (class_id, x, y) in enumerate([(0, 4, 4), (0, 50, 32), (1, 25, 34)]):
        x, y, w, h = x + int(rng.integers(0, 5)), y + int(rng.integers(0, 5)), int(rng.integers(14, 18)), 14
        mask = np.zeros((60, 80), np.bool_)
        mask[y : y + h, x : x + w] = True
        image[mask] = (220, 40, 40) if class_id == 0 else (40, 40, 220)
        labels.append(Label(number, class_id, (x, y, x + w, y + h), mask=encode_mask(mask) if masked else ""))
    return image, tuple(labels)


def make_dataset(store: Store, *, masked: bool, images: int = 8) -> Dataset:
    """Classes `red` and `blue`, and `never`, of which there is none."""
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=("red", "blue", "never"))
        for index in range(images):
            image, labels = picture(index, masked=masked)
            row = Row(f"{index}.png", "", width=80, height=60, labels=labels, state="human")
            writer.add(row, encode_png(image))
        writer.finish()
        return Dataset.open(store, store.publish(work, Content("dataset_real", "ingest"), Record()))


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
