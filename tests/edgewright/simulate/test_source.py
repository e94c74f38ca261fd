"""Folders that the simulated camera writes: ordinary ones, read back by nothing of ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from edgewright.errors import StoreUnavailable
from edgewright.simulate.camera import CLASSES, SimulatedCamera
from edgewright.simulate.source import FEED_START, write_feed, write_source


def test_labels_say_what_the_camera_knows(tmp_path: Path) -> None:
    write_source(tmp_path, n=3, seed=4)
    assert yaml.safe_load((tmp_path / "data.yaml").read_text())["names"] == list(CLASSES)
    for index in range(3):
        truth = SimulatedCamera(4).photograph(index).boxes
        rows = np.loadtxt(tmp_path / "labels" / f"part-{index:05d}.txt", ndmin=2)
        center, size = rows[:, 1:3] * (256, 192), rows[:, 3:5] * (256, 192)
        assert rows[:, 0].astype(int).tolist() == truth.class_id.tolist()
        assert np.hstack([center - size / 2, center + size / 2]) == pytest.approx(truth.xyxy, abs=0.01)


def test_pictures_are_the_photographs(tmp_path: Path) -> None:
    write_source(tmp_path, n=2, seed=4)
    with Image.open(tmp_path / "images" / "part-00001.jpg") as picture:
        difference = np.asarray(picture, dtype=float) - SimulatedCamera(4).photograph(1).image
    assert np.abs(difference).mean() < 5  # JPEG, and nothing else


def test_equal_arguments_write_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_source(tmp_path / name, n=2, seed=9)
        write_feed(tmp_path / name / "feed", n=2, seed=9)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 8
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_the_feed_shows_new_frames_of_the_same_line_and_keeps_the_truth_apart(tmp_path: Path) -> None:
    write_feed(tmp_path, n=2, seed=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000.jpg", "00001.jpg", "truth.json"]
    truth = json.loads((tmp_path / "truth.json").read_text())
    expected = SimulatedCamera(4).photograph(FEED_START + 1).boxes
    assert truth["classes"] == list(CLASSES)
    assert truth["frames"]["00001.jpg"]["xyxy"] == expected.xyxy.tolist()


def test_a_drifted_feed_is_darker(tmp_path: Path) -> None:
    write_feed(tmp_path / "fresh", n=1, seed=4)
    write_feed(tmp_path / "worn", n=1, seed=4, drift=1.0)
    means = []
    for name in ("fresh", "worn"):
        with Image.open(tmp_path / name / "00000.jpg") as picture:
            means.append(np.asarray(picture).mean())
    assert means[1] < 0.9 * means[0]


def test_progress_ends_at_the_end(tmp_path: Path) -> None:
    seen = []
    write_source(tmp_path, n=12, seed=0, on_progress=lambda done, total, what: seen.append((done, total)))
    assert seen == [(10, 12), (12, 12)]


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        write_source(tmp_path / "taken", n=1, seed=0)
