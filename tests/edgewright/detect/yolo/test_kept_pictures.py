"""A training that keeps decoded pictures sees the batches of one that decodes them anew, and reads each file once."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.data.dataset import Dataset
from edgewright.detect.rows import training_rows
from edgewright.detect.yolo.kept_pictures import keep_decoded
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.detect.yolo.training_files import write_training_files

PICTURE_BYTES = 64 * 64 * 3
Open = Callable[[], Any]
"""Opens the library's data set anew."""


@pytest.fixture
def open_dataset(squares: Dataset, tmp_path: Path) -> Open:
    write_training_files(squares, training_rows(squares), folder=tmp_path, image_px=64)

    def open_it() -> Any:
        build = open_ultralytics("data.build").build_yolo_dataset
        settings = open_ultralytics("cfg").get_cfg(overrides={"imgsz": 64, "task": "detect", "mosaic": 1.0})
        data = {"names": {0: "red", 1: "blue"}, "nc": 2, "channels": 3}
        return build(settings, str(tmp_path / "images" / "train"), 2, data, mode="train", rect=False, stride=32)

    return open_it


def epochs(dataset: Any, *, count: int = 3) -> list[tuple[bytes, bytes]]:
    """Every training picture of some epochs, augmented, with its boxes."""
    random.seed(3)
    np.random.seed(3)
    shown = [dataset[index] for _ in range(count) for index in range(len(dataset))]
    return [(item["img"].numpy().tobytes(), item["bboxes"].numpy().tobytes()) for item in shown]


@pytest.mark.parametrize(
    "room",
    [0, 3 * PICTURE_BYTES, 1 << 30],
    ids=["none fit", "three fit", "all fit"],
)
def test_the_same_batches_whatever_is_kept(open_dataset: Open, room: int) -> None:
    assert epochs(keep_decoded(open_dataset(), limit_bytes=room)) == epochs(open_dataset())


def test_a_file_is_decoded_once(open_dataset: Open) -> None:
    dataset = open_dataset()
    decode = dataset.load_image
    decoded: list[int] = []
    dataset.load_image = lambda index: (decoded.append(index) if dataset.ims[index] is None else None, decode(index))[1]
    keep_decoded(dataset)
    epochs(dataset)
    assert sorted(decoded) == list(range(len(dataset)))


def test_no_more_than_the_limit_is_kept(open_dataset: Open) -> None:
    dataset = open_dataset()
    decode = dataset.load_image
    decoded: list[int] = []
    dataset.load_image = lambda index: (decoded.append(index) if dataset.ims[index] is None else None, decode(index))[1]
    keep_decoded(dataset, limit_bytes=3 * PICTURE_BYTES)
    epochs(dataset, count=20)
    assert all(decoded.count(index) == 1 for index in decoded[:3])
    assert len(decoded) > len(dataset)
