"""What a training image is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewright.data.dataset import Dataset
from edgewright.detect.rows import training_rows
from edgewright.detect.shown_pictures import hide_ignored, shrink
from edgewright.detect.yolo.training_files import write_training_files, yolo_lines
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.preprocess import PAD_VALUE, letterbox, read_image

WHITE = np.full((40, 60, 3), 255, np.uint8)


@pytest.mark.parametrize(
    ("xyxy", "line"),
    [
        # a quarter of the picture
        ([0, 0, 30, 20], "1 0.250000 0.250000 0.500000 0.500000"),
        # reaching over the edge: cut
        ([30, 20, 90, 60], "1 0.750000 0.750000 0.500000 0.500000"),
        # without area: left out
        ([10, 10, 10, 20], ""),
        # outside: left out
        ([70, 50, 90, 60], ""),
    ],
)
def test_yolo_lines(xyxy: list[int], line: str) -> None:
    assert yolo_lines(Boxes.of([xyxy], class_id=[1]), wh=(60, 40)) == line


def test_ignored_regions_are_gray_where_nothing_counts() -> None:
    ignored, counted = Boxes.of([[0, 0, 20, 20]], class_id=[0]), Boxes.of([[10, 10, 30, 30]], class_id=[0])
    painted = hide_ignored(WHITE, ignored=ignored, counted=counted)
    assert (painted[:10, :10] == PAD_VALUE).all()
    assert (painted[10:20, 10:20] == 255).all()
    assert (painted[20:, 20:] == 255).all()
    assert (WHITE == 255).all()


def test_a_training_image_is_what_the_device_sees() -> None:
    image = np.random.default_rng(0).integers(0, 255, (48, 100, 3), dtype=np.uint8)
    small, scale = shrink(image, longer_px=64)
    assert (small.shape, scale) == ((31, 64, 3), 0.64)
    np.testing.assert_array_equal(letterbox(small, size_px=64)[0], letterbox(image, size_px=64)[0])


def test_files_are_written_once(squares: Dataset, tmp_path: Path) -> None:
    rows = training_rows(squares)
    write_training_files(squares, rows, folder=tmp_path, image_px=32)
    first = tmp_path / "images" / "train" / "00000000.png"
    assert read_image(first).shape == (32, 32, 3)
    assert len(list(tmp_path.glob("labels/train/*.txt"))) == 14
    first.unlink()
    write_training_files(squares, rows, folder=tmp_path, image_px=32)
    assert not first.exists()  # complete, so not touched
    write_training_files(squares, rows, folder=tmp_path, image_px=64)
    assert read_image(first).shape == (64, 64, 3)
