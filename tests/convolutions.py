"""One convolution, in float and as a quantizer writes it; and a detector around it that collapses by saturation."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewright.runtime.boxes import FloatArray, Image
from edgewright.runtime.session import ModelSpec

OUTPUT_SCALE = 1 / 64
CELL_PX, INPUT_PX = 32, 64
SPEC = ModelSpec(("yellow",), INPUT_PX, "dense", score_threshold=0.25, iou_threshold=0.6)


def conv_models(
    weight: FloatArray,
    *,
    side: int = 8,
    zero_point: int = 0,
    per_channel: bool = True,
    bias: FloatArray | None = None,
    **attributes: Any,
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """(float, QDQ), both with a convolution named `conv`; the input's step is 1 / 255."""
    group = attributes.get("group", 1)
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    ends = _values([1, group * weight.shape[1], side, side], [1, len(weight), None, None])
    floats = _graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv", **attributes)], ends, {"w": weight, "b": bias}
    )
    nodes, constants = quantized_conv(
        "x", "y", weight, bias, zero_point=zero_point, per_channel=per_channel, **attributes
    )
    return floats, _graph(nodes, ends, constants)


def quantized_conv(
    source: str,
    output: str,
    weight: FloatArray,
    bias: FloatArray,
    *,
    zero_point: int = 0,
    per_channel: bool = True,
    **attributes: Any,
) -> tuple[list[onnx.NodeProto], dict[str, Any]]:
    """The nodes from `source` to `output`, and their constants, as ONNX Runtime's quantizer writes them."""
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    step = np.float32(1 / 255)
    of_biases = np.abs(bias) / step / 2**30  # a bias is counted in steps of input times weight, in 32 bits
    scale = np.maximum(largest / np.float32(127), of_biases).astype(np.float32)
    scale = scale if per_channel else np.full_like(scale, scale.max())
    steps = np.rint(weight / scale.reshape(-1, 1, 1, 1)).astype(np.int8)
    zeros = np.zeros(len(weight))
    constants = {
        "x_scale": np.array(step),
        "x_zero": np.array(zero_point, np.uint8),
        "w_quantized": steps,
        "w_scale": scale if per_channel else scale[0],
        "w_zero": zeros.astype(np.int8) if per_channel else np.array(0, np.int8),
        "b_quantized": np.rint(bias / (scale * step)).astype(np.int32),
        "b_scale": scale * step,
        "b_zero": zeros.astype(np.int32),
        "y_scale": np.array(OUTPUT_SCALE, np.float32),
        "y_zero": np.array(128, np.uint8),
    }
    by_channel = {"axis": 0} if per_channel else {}
    nodes = [
        helper.make_node("QuantizeLinear", [source, "x_scale", "x_zero"], ["x_quantized"]),
        helper.make_node("DequantizeLinear", ["x_quantized", "x_scale", "x_zero"], ["x_back"]),
        helper.make_node("DequantizeLinear", ["w_quantized", "w_scale", "w_zero"], ["w_back"], **by_channel),
        helper.make_node("DequantizeLinear", ["b_quantized", "b_scale", "b_zero"], ["b_back"], axis=0),
        helper.make_node("Conv", ["x_back", "w_back", "b_back"], ["conv_output"], name="conv", **attributes),
        helper.make_node("QuantizeLinear", ["conv_output", "y_scale", "y_zero"], ["y_quantized"]),
        helper.make_node("DequantizeLinear", ["y_quantized", "y_scale", "y_zero"], [output]),
    ]
    return nodes, constants


def yellow_detector() -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """(float, QDQ): a 32 px cell's score is the mean of its red and green; their pair sum saturates from half on."""
    weight, bias = np.array([0.5, 0.5, 0], np.float32).reshape(1, 3, 1, 1), np.zeros(1, np.float32)
    y, x = np.divmod(np.arange(4), 2)
    center = (np.stack([x, y]) + 0.5) * CELL_PX
    boxes = np.concatenate([center, np.full_like(center, 28)]).astype(np.float32)[None]
    before = [helper.make_node("AveragePool", ["image"], ["x"], kernel_shape=[CELL_PX] * 2, strides=[CELL_PX] * 2)]
    after = [
        helper.make_node("Reshape", ["y", "shape"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output"], axis=1),
    ]
    ends = _values([1, 3, INPUT_PX, INPUT_PX], [1, 5, 4], names=("image", "output"))
    around = {"shape": np.array([1, 1, 4]), "boxes": boxes}
    conv = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv")
    floats = _graph([*before, conv, *after], ends, {"w": weight, "b": bias, **around})
    nodes, constants = quantized_conv("x", "y", weight, bias)
    return floats, _graph([*before, *nodes, *after], ends, {**constants, **around})


def yellow_picture(bright: int, pale: int) -> Image:
    """(64, 64, 3): a bright yellow cell, which is an object, and a pale one, which is none."""
    image = np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8)
    for cell, level in ((bright, 250), (pale, 150)):
        y, x = (CELL_PX * place for place in divmod(cell, 2))
        image[y : y + CELL_PX, x : x + CELL_PX, :2] = level
    return image


def _values(
    source: list[int], output: list[int | None], names: tuple[str, str] = ("x", "y")
) -> tuple[onnx.ValueInfoProto, onnx.ValueInfoProto]:
    return (
        helper.make_tensor_value_info(names[0], TensorProto.FLOAT, source),
        helper.make_tensor_value_info(names[1], TensorProto.FLOAT, output),
    )


def _graph(
    nodes: list[onnx.NodeProto], ends: tuple[onnx.ValueInfoProto, onnx.ValueInfoProto], constants: dict[str, Any]
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [ends[0]], [ends[1]], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model
