"""A detector small enough to understand: it reports the red and green cells of a picture, through a real ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgewright.release.bundle import build_bundle
from edgewright.release.repository import ReleaseReport, publish_release
from edgewright.runtime.session import ModelSpec

CELL_PX, INPUT_PX = 32, 64


def cell_detector(*, box_px: float = 28.0, gain: float = 1.0) -> bytes:
    """Dense layout: a box in the middle of each 32 px cell, scores = mean red and mean green of the cell times gain."""
    side = INPUT_PX // CELL_PX
    y, x = np.divmod(np.arange(side * side), side)
    center = (np.stack([x, y]) + 0.5) * CELL_PX
    boxes = np.concatenate([center, np.full_like(center, box_px)]).astype(np.float32)[None]
    constants = {
        "boxes": boxes,
        "shape": np.array([1, 3, side * side]),
        "first": np.array([0]),
        "last": np.array([2]),
        "axis": np.array([1]),
        "gain": np.array(gain, np.float32),
    }
    nodes = [
        helper.make_node("AveragePool", ["image"], ["cells"], kernel_shape=[CELL_PX] * 2, strides=[CELL_PX] * 2),
        helper.make_node("Reshape", ["cells", "shape"], ["flat"]),
        helper.make_node("Slice", ["flat", "first", "last", "axis"], ["colors"]),
        helper.make_node("Mul", ["colors", "gain"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "cells",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, INPUT_PX, INPUT_PX])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 6, side * side])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    payload: bytes = model.SerializeToString()
    return payload


def cell_picture(red: int, green: int) -> np.ndarray:
    """(64, 64, 3): one red and one green cell on black."""
    image = np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8)
    for channel, cell in enumerate((red, green)):
        y, x = divmod(cell, 2)
        image[y * CELL_PX : (y + 1) * CELL_PX, x * CELL_PX : (x + 1) * CELL_PX] = (
            np.eye(3, dtype=np.uint8)[channel] * 230
        )
    return image


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    return ModelSpec(
        classes=("red", "green"), input_px=INPUT_PX, layout="dense", score_threshold=0.5, iou_threshold=0.6
    )


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory, spec: ModelSpec) -> Callable[..., Path]:
    """`make_bundle(release=2, gain=0.9, …)` => a new bundle folder of the cell detector."""

    def make(*, release: int = 1, channel: str = "stable", latency_budget_ms: float = 1000.0, **model: float) -> Path:
        folder = tmp_path_factory.mktemp("bundle")
        (folder / "cells.onnx").write_bytes(cell_detector(**model))
        golden = [("first", cell_picture(0, 3)), ("second", cell_picture(2, 1))]
        build_bundle(
            model=folder / "cells.onnx",
            spec=spec,
            golden=golden,
            release=release,
            channel=channel,
            out=folder / "bundle",
            latency_budget_ms=latency_budget_ms,
        )
        return folder / "bundle"

    return make


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def publish(tmp_path: Path, now: datetime) -> Callable[[Path], ReleaseReport]:
    """Publish a bundle folder in `tmp_path / "repository"` with keys in `tmp_path / "keys"`."""

    def publish_bundle(bundle: Path, *, channel: str = "stable") -> ReleaseReport:
        return publish_release(
            bundle, repository=tmp_path / "repository", keys=tmp_path / "keys", channel=channel, now=now
        )

    return publish_bundle


@pytest.fixture(scope="session")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six readable frames with two objects each, one broken, one file that is no picture."""
    folder = tmp_path_factory.mktemp("feed")
    for number in range(6):
        Image.fromarray(cell_picture(number % 4, (number + 1) % 4)).save(folder / f"{number:03d}.png")
    (folder / "003-broken.png").write_bytes(b"\x89PNG not really")
    (folder / "notes.txt").write_text("not a frame")
    return folder
