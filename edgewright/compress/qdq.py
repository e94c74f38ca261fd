"""The quantized convolutions of a QDQ model: their numbers, and where in the graph they stand.

Decides what counts as one: a Conv whose data comes from an unsigned 8-bit tensor and whose weights are signed 8-bit
initializers, both through DequantizeLinear. Refuses padding that is not written out: where a kernel reads is then the
runtime's to say, not the file's.

    [conv.name for conv in quantized_convs(model)]          # ['/model.0/conv/Conv', '/model.1/conv/Conv', ...]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgewright.errors import StageFailed
from edgewright.runtime.boxes import FloatArray

Int8Array = NDArray[np.int8]


@dataclass(frozen=True)
class QuantizedConv:
    """Attributes:
    node: place in the graph's list of nodes.
    name: of the node; where it has none, its place among the convolutions and its shape.
    source: the unsigned 8-bit tensor that it reads. output: the float tensor that it writes.
    weight: (O, C / group, kH, kW). weight_scale: (O,), repeated where the file has one for all, which `one_scale` says.
    weight_name, scale_name: of their initializers; convolutions may share them.
    bias_name, bias_scale_name: of the 32-bit bias and its scale; "" where there is none.
    pads: top, left, bottom, right.
    """

    node: int
    name: str
    source: str
    output: str
    input_scale: float
    input_zero_point: int
    weight: Int8Array
    weight_scale: FloatArray
    one_scale: bool
    weight_name: str
    scale_name: str
    bias_name: str
    bias_scale_name: str
    group: int
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]

    @property
    def depthwise(self) -> bool:
        """One input and one output channel a group."""
        return self.group > 1 and self.weight.shape[:2] == (self.group, 1)


def quantized_convs(model: onnx.ModelProto) -> tuple[QuantizedConv, ...]:
    """In the order of the graph. Raises StageFailed where a convolution's padding is not explicit."""
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    dequantized = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    found: list[QuantizedConv] = []
    for place, node in enumerate(model.graph.node):
        if node.op_type != "Conv" or not set(node.input[:2]) <= set(dequantized):
            continue
        data, kernel = (dequantized[name].input for name in node.input[:2])
        weights = initializers.get(kernel[0])
        if weights is None or weights.data_type != onnx.TensorProto.INT8 or len(weights.dims) != 4:
            continue
        bias = dequantized[node.input[2]].input if len(node.input) > 2 and node.input[2] in dequantized else ("", "")
        weight = numpy_helper.to_array(weights)
        found.append(
            QuantizedConv(
                node=place,
                name=node.name or f"convolution {len(found)}, {'x'.join(map(str, weight.shape))}",
                source=data[0],
                output=node.output[0],
                input_scale=float(numpy_helper.to_array(initializers[data[1]])),
                input_zero_point=int(numpy_helper.to_array(initializers[data[2]])),
                weight=weight,
                one_scale=not initializers[kernel[1]].dims,
                weight_scale=np.broadcast_to(numpy_helper.to_array(initializers[kernel[1]]), weight.shape[:1]).copy(),
                weight_name=kernel[0],
                scale_name=kernel[1],
                bias_name=bias[0],
                bias_scale_name=bias[1],
                **_geometry(node, weight.shape[2:]),
            )
        )
    return tuple(found)


def _geometry(node: onnx.NodeProto, kernel: tuple[int, ...]) -> dict[str, Any]:
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if given.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise StageFailed("a convolution's padding is not explicit", got=given["auto_pad"], where=node.name)
    return {
        "group": int(given.get("group", 1)),
        "strides": tuple(given.get("strides", (1,) * len(kernel))),
        "pads": tuple(given.get("pads", (0,) * 2 * len(kernel))),
        "dilations": tuple(given.get("dilations", (1,) * len(kernel))),
    }
