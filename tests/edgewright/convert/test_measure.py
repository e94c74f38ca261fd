from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewright.convert import measure
from edgewright.convert.measure import Exported, Shown, _apart, difference, export_model
from edgewright.convert.write import staging_of
from edgewright.runtime.boxes import Boxes
from tests.edgewright.convert.conftest import PX


def die(*_: object) -> Exported:
    os._exit(11)


def test_a_row_each_the_float_detector_first_and_a_failure_is_a_row(
    publish_random: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = publish_random("efficientdet-slim")
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "shown.png")
    shown = [Shown(tmp_path / "shown.png", Boxes.of([(4.0, 4.0, 30.0, 30.0)], class_id=[0]), Boxes.empty())]
    detector: Any = SimpleNamespace(path=folder.__truediv__)
    rows = list(export_model(detector, ["ncnn", "litert"], shown, out=tmp_path / "out", threads=1))
    assert [row.name for row in rows] == ["float", "ncnn", "litert"]
    before, ncnn, litert = rows
    assert before.bytes is None
    assert None not in (before.map50_95, before.median_ms)
    assert ncnn.note == ""
    assert ncnn.bytes == sum(path.stat().st_size for path in (tmp_path / "out/ncnn").iterdir())
    assert ncnn.difference is not None
    assert ncnn.difference < PX / 64
    assert "ultralytics' graphs alone" in litert.note
    assert litert.bytes is litert.map50_95 is None
    assert all(json.dumps(row.to_json()) and row.name in str(row) for row in rows)


def test_a_process_that_crashes_is_a_row_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    staging_of(tmp_path / "odd").mkdir()
    crashed = _apart(die, name="odd", out=tmp_path)
    assert crashed == Exported("odd", note="not written: the converter's process ended without a word")
    assert not list(tmp_path.iterdir())
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/model").write_bytes(b"1234")
    crashed = _apart(die, name="odd", out=tmp_path)
    assert (crashed.bytes, "written; the process that ran it" in crashed.note) == (4, True)


def test_a_runtime_that_fails_is_a_row_of_what_was_written(
    publish_random: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise IndexError("no inputs")

    monkeypatch.setattr(measure, "open_written", fail)
    files = {
        name: publish_random("edgewright-slim") / name for name in ("weights.safetensors", "graph.yaml", "spec.json")
    }
    row = measure._export("onnx", files, [], tmp_path / "onnx", 1)
    assert (row.bytes is not None, row.note) == (True, "not run: no inputs")


def test_rows_of_an_end_to_end_output_are_compared_with_the_nearest() -> None:
    rows = np.array([[[10, 10, 20, 20, 0.9, 0], [30, 30, 40, 40, 0.89, 1], [0, 0, 1, 1, 0.01, 0]]], np.float32)
    swapped = rows[:, [1, 0, 2]].copy()
    assert difference(swapped, rows, layout="end2end") == 0
    swapped[0, 0, 0] += 3
    swapped[0, 2] = 99
    assert difference(swapped, rows, layout="end2end") == 3, "what scores nearly nothing is not compared"
    assert difference(swapped, rows, layout="dense") > 50
