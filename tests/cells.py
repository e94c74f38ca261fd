"""A detector small enough to understand: it reports the red and green cells of a picture, through a real ONNX file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewright.artifacts import Artifact, Content, Record, Store
from edgewright.compress.files import FACTS_FILE, FLOAT_FILE, INT8_FILE, SAFE_FILE, SPEC_FILE
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Label, Row
from edgewright.release.bundle import build_bundle
from edgewright.runtime.boxes import Image
from edgewright.runtime.session import ModelSpec
from tests.scenes import publish_dataset

CELL_PX, INPUT_PX = 32, 64
SPEC = ModelSpec(classes=("red", "green"), input_px=INPUT_PX, layout="dense", score_threshold=0.5, iou_threshold=0.6)


def cell_detector(
    *, box_px: float = 28.0, gain: float = 1.0, input_px: int = INPUT_PX, feature: float | None = None
) -> bytes:
    """Dense layout: a box in the middle of each quarter, scores = mean red and mean green of the quarter times gain.

    `feature`: times the mean red, green and blue of the picture, what a second output gives; None: there is none.
    """
    side, cell_px = 2, input_px // 2
    y, x = np.divmod(np.arange(side * side), side)
    center = (np.stack([x, y]) + 0.5) * cell_px
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
        helper.make_node("AveragePool", ["image"], ["cells"], kernel_shape=[cell_px] * 2, strides=[cell_px] * 2),
        helper.make_node("Reshape", ["cells", "shape"], ["flat"]),
        helper.make_node("Slice", ["flat", "first", "last", "axis"], ["colors"]),
        helper.make_node("Mul", ["colors", "gain"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output"], axis=1),
    ]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 6, side * side])]
    if feature is not None:
        constants["times"] = np.array(feature, np.float32)
        nodes += [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "times"], ["feature"]),
        ]
        outputs.append(helper.make_tensor_value_info("feature", TensorProto.FLOAT, [1, 3]))
    graph = helper.make_graph(
        nodes,
        "cells",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, input_px, input_px])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    payload: bytes = model.SerializeToString()
    return payload


def cell_picture(red: int, green: int) -> Image:
    """(64, 64, 3): one red and one green cell on black."""
    image = np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8)
    for channel, cell in enumerate((red, green)):
        y, x = divmod(cell, 2)
        image[y * CELL_PX : (y + 1) * CELL_PX, x * CELL_PX : (x + 1) * CELL_PX] = (
            np.eye(3, dtype=np.uint8)[channel] * 230
        )
    return image


def write_bundle(
    folder: Path,
    *,
    release: int = 1,
    channel: str = "stable",
    latency_budget_ms: float = 1000.0,
    safe_gain: float | None = None,
    **model: float,
) -> Path:
    """A bundle of the cell detector with two golden pictures, in the new folder `folder / "bundle"`.

    `safe_gain`: of a second model, for processors without VNNI; None: there is one model.
    """
    (folder / "cells.onnx").write_bytes(cell_detector(**model))
    safe_model = None
    if safe_gain is not None:
        safe_model = folder / "safe.onnx"
        safe_model.write_bytes(cell_detector(gain=safe_gain))
    build_bundle(
        model=folder / "cells.onnx",
        safe_model=safe_model,
        spec=SPEC,
        golden=[("first", cell_picture(0, 3)), ("second", cell_picture(2, 1))],
        release=release,
        channel=channel,
        out=folder / "bundle",
        latency_budget_ms=latency_budget_ms,
    )
    return folder / "bundle"


def publish_cells(store: Store, *, n: int, splits: Sequence[str] = ("test",)) -> Dataset:
    """`n` labeled photographs a split, of one red and one green cell each; boxes as `cell_detector` gives them."""
    pairs = []
    for number, split in itertools.product(range(n), splits):
        red, green = number % 4, (number + 1 + number // 4 % 3) % 4
        labels = tuple(Label(index, index, _cell_box(cell)) for index, cell in enumerate((red, green)))
        row = Row(f"{split}{number:03d}.png", "", width=INPUT_PX, height=INPUT_PX, split=split, labels=labels)
        pairs.append((replace(row, origin="real", state="human"), encode_png(cell_picture(red, green))))
    return publish_dataset(store, pairs, classes=SPEC.classes)


def publish_cell_model(
    store: Store, *, classes: tuple[str, ...] = SPEC.classes, gain: float = 1.0, box_px: float = 28.0
) -> Artifact:
    """What `quantize` leaves, of a cell detector; other numbers are another model."""
    with store.workspace() as out:
        (out / FLOAT_FILE).write_bytes(cell_detector(box_px=box_px, gain=gain))
        for name in (INT8_FILE, SAFE_FILE):
            (out / name).write_bytes(cell_detector(box_px=box_px, gain=gain * 0.99))
        (out / FACTS_FILE).write_text("{}")
        (out / SPEC_FILE).write_text(json.dumps(replace(SPEC, classes=classes).to_json()))
        return store.open(store.publish(out, Content(kind="int8_model", stage="quantize"), Record()))


def _cell_box(cell: int) -> tuple[float, float, float, float]:
    y, x = (place * CELL_PX for place in divmod(cell, 2))
    return x + 2.0, y + 2.0, x + 30.0, y + 30.0
