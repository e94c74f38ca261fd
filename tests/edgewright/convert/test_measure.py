from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgewright.convert.measure import Exported, _apart, export_model
from edgewright.detect.evaluate import Sample
from edgewright.runtime.boxes import Boxes
from tests.edgewright.convert.conftest import PX


def die(*_: object) -> Exported:
    os._exit(11)


def test_a_row_each_the_float_detector_first_and_a_failure_is_a_row(
    publish_random: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = publish_random("efficientdet-slim")
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    samples = [Sample(image, Boxes.of([(4.0, 4.0, 30.0, 30.0)], class_id=[0]))]
    detector: Any = SimpleNamespace(path=folder.__truediv__)
    rows = list(export_model(detector, ["ncnn", "litert"], samples, out=tmp_path / "out", threads=1))
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


def test_a_process_that_crashes_is_a_row() -> None:
    assert _apart(die, name="odd") == Exported("odd", note="the process that wrote or ran it ended without a word")
