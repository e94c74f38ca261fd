"""One tiny detector, its INT8 model and their data set, published in a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgewright.artifacts import Artifact, Content, Record, Store, open_store
from edgewright.compress.quantize import QuantizeReport, quantize
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Label, Row
from edgewright.detect.train import train_detector
from edgewright.recipe.compress import QuantizeConfig
from edgewright.recipe.detect import TrainDetectorConfig
from tests.scenes import BLUE, RED, gray, paint_square, publish_dataset

CLASSES = ("red", "blue")
SPLITS = [("train", "real")] * 10 + [("train", "synthetic")] * 3 + [("val", "real")] * 3 + [("test", "real")] * 4


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="session")
def squares(store: Store) -> Dataset:
    """64 px pictures of one colored square each; class 1 stands in two train pictures alone."""
    rng = np.random.default_rng(0)
    pairs = []
    for index, (split, origin) in enumerate(SPLITS):
        class_id = int(index in (3, 8, 14, 18))
        image = gray(rng)
        label = Label(0, class_id, paint_square(image, rng, (RED, BLUE)[class_id]))
        row = Row(f"{index:03d}.png", "", width=64, height=64, split=split, origin=origin, labels=(label,))
        pairs.append((replace(row, state="human"), encode_png(image)))
    return publish_dataset(store, pairs, classes=CLASSES)


@pytest.fixture(scope="session")
def detector(store: Store, squares: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    config = TrainDetectorConfig(model="edgewright-slim", image_px=64, width=0.1, batch=5, epochs=6, mosaic=0.0)
    with store.workspace() as work:
        train_detector(
            squares,
            config,
            out=work,
            scratch=tmp_path_factory.mktemp("scratch") / "run",
            seed=0,
            threads=1,
            on_epoch=lambda epoch: None,
        )
        content = Content(kind="detector", stage="train_detector", config=config.model_dump(mode="json"))
        return store.open(store.publish(work, content, Record()))


@pytest.fixture(scope="session")
def make_int8(store: Store, squares: Dataset, detector: Artifact) -> Callable[..., tuple[Artifact, QuantizeReport]]:
    """An INT8 artifact and its report, by the fields of the recipe section; no layers are searched unless asked for."""

    def make(**fields: Any) -> tuple[Artifact, QuantizeReport]:
        with store.workspace() as work:
            config = QuantizeConfig(**{"max_drop": None, **fields})
            report = quantize(detector, squares, config, out=work, seed=0, threads=1)
            content = Content(kind="int8_model", stage="quantize", config=config.model_dump(mode="json"))
            return store.open(store.publish(work, content, Record())), report

    return make


@pytest.fixture(scope="session")
def int8(make_int8: Callable[..., tuple[Artifact, QuantizeReport]]) -> tuple[Artifact, QuantizeReport]:
    return make_int8(calibration_images=8)
