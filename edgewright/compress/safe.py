"""The INT8 file for every x86: weights of which no pair of products can saturate 16 bits.

Decides channel by channel, since each has its own scale: one that cannot saturate (`saturation`) stays as it is; of any
other the scale grows until its heaviest pair is within the sure bound. At worst that is one bit less (the usual 7-bit
weights, `reduce_range`), mostly a part of it. Weights and biases are made from the float model's, not from the rounded
ones. A layer whose output this changes by more than `max_loss`, given the float model's input, stays in float, the
worst first, while the file is within MAX_BYTES. Convolutions that share a kernel share its fate: it is stored once.

    safe = make_safe(int8, prepared, tensors, max_loss=0.1)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import onnx
from onnx import numpy_helper

from edgewright.compress.export import minify
from edgewright.compress.layers import kernel_errors
from edgewright.compress.qdq import Int8Array, QuantizedConv, quantized_convs
from edgewright.compress.saturation import MAX_MASS, can_saturate, largest_masses
from edgewright.runtime.boxes import FloatArray

MAX_BYTES = 2_000_000
"""What layers in float may make of the file; as `gate_model.max_bytes`, which judges it."""
_STEPS = 127
_MARGIN = MAX_MASS - 1
"""Rounding adds up to a half to each of two weights."""
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class SafeFile:
    """Attributes:
    narrowed: convolutions with channels of less than 8 bits, by name. in_float: those that are not quantized.
    """

    model: onnx.ModelProto
    narrowed: tuple[str, ...]
    in_float: tuple[str, ...]


def make_safe(
    int8: onnx.ModelProto, float_model: onnx.ModelProto, tensors: Iterable[FloatArray], *, max_loss: float
) -> SafeFile:
    """The same graph with weights that cannot saturate.

    Args:
        int8: a QDQ model with the names that the quantizer gave.
        float_model: what was quantized.
        tensors: inputs on which outputs are compared.
        max_loss: norm of what rounding changes of a convolution's output, over that of the output, above which its
            kernel stays in float.
    """
    safe = onnx.ModelProto()
    safe.CopyFrom(int8)
    unsafe = [layer for layer in _layers(int8, float_model) if layer.is_unsafe]
    for layer in unsafe:
        layer.narrow(safe.graph)
    in_float: list[_Layer] = []
    file_bytes = minify(safe).ByteSize()
    kernels = {name: layer.kernel for layer in unsafe for name in layer.names}
    lost = {layer.name: layer.error for layer in kernel_errors(float_model, kernels, tensors)} if kernels else {}
    losses = sorted(((max(lost[name] for name in layer.names), layer) for layer in unsafe), key=lambda each: -each[0])
    for loss, layer in losses:
        if loss > max_loss and file_bytes + layer.added_bytes <= MAX_BYTES:
            layer.restore(safe.graph)
            in_float.append(layer)
            file_bytes += layer.added_bytes
    _drop_unused(safe.graph)
    return SafeFile(
        safe,
        narrowed=tuple(name for layer in unsafe if layer not in in_float for name in layer.names),
        in_float=tuple(name for layer in in_float for name in layer.names),
    )


def safe_scale(weight: FloatArray, *, together: bool = False) -> FloatArray:
    """(O, C, kH, kW) float32 => (O,) float32: the smallest scales with which no pair sum can saturate.

    Law: `largest_masses(rounded(weight, safe_scale(weight))).max() <= MAX_MASS`.

    Args:
        together: one scale for all channels.
    """
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scale = np.maximum(np.maximum(largest / _STEPS, largest_masses(weight) / _MARGIN), _TINY)
    return np.asarray(np.full_like(scale, scale.max()) if together else scale, dtype=np.float32)


def rounded(weight: FloatArray, scale: FloatArray) -> Int8Array:
    """(O, C, kH, kW) float32, (O,) => int8: symmetric, to the nearest."""
    return np.asarray(np.clip(np.rint(weight / _by_channel(scale)), -_STEPS, _STEPS), dtype=np.int8)


class _Layer:
    """The convolutions that share one kernel."""

    def __init__(self, convs: Sequence[QuantizedConv], inputs: Sequence[list[str]], floats: dict[str, FloatArray]):
        first = convs[0]
        self.names = [conv.name for conv in convs]
        self.is_unsafe = not first.depthwise and can_saturate(first.weight)
        self._convs, self._inputs, self._floats = convs, inputs, floats
        self._weight = floats[inputs[0][1]]
        self._scale = first.weight_scale
        if self.is_unsafe:
            # The quantizer's scales are wide enough for biases, too: beside a kernel near 0 they overflow 32 bits else.
            self._scale = np.maximum(self._scale, safe_scale(self._weight, together=first.one_scale))
        self.added_bytes = 3 * self._weight.size

    @property
    def kernel(self) -> FloatArray:
        """As the safe file's integers say it."""
        return rounded(self._weight, self._scale) * _by_channel(self._scale)

    def narrow(self, graph: onnx.GraphProto) -> None:
        """Weights, their scales and, since a bias is counted in steps of input times weight, biases."""
        first = self._convs[0]
        _write(graph, first.weight_name, rounded(self._weight, self._scale))
        _write(graph, first.scale_name, self._scale)
        for conv, inputs in zip(self._convs, self._inputs, strict=True):
            if conv.bias_name:
                step = self._scale * np.float32(conv.input_scale)
                bias = np.rint(self._floats[inputs[2]].astype(np.float64) / step)
                limit = np.iinfo(np.int32)
                _write(graph, conv.bias_name, np.clip(bias, limit.min, limit.max).astype(np.int32))
                _write(graph, conv.bias_scale_name, step)

    def restore(self, graph: onnx.GraphProto) -> None:
        """The float kernel and biases in place of the rounded ones."""
        for conv, inputs in zip(self._convs, self._inputs, strict=True):
            node = next(each for each in graph.node if conv.output in each.output)
            node.input[1:] = [f"float/{name}" for name in inputs[1:]]
            known = {tensor.name for tensor in graph.initializer}
            missing = dict.fromkeys(name for name in inputs[1:] if f"float/{name}" not in known)
            graph.initializer.extend(numpy_helper.from_array(self._floats[name], f"float/{name}") for name in missing)


def _layers(int8: onnx.ModelProto, float_model: onnx.ModelProto) -> Iterator[_Layer]:
    floats = {tensor.name: numpy_helper.to_array(tensor) for tensor in float_model.graph.initializer}
    inputs = {node.name: list(node.input) for node in float_model.graph.node}
    convs = sorted(quantized_convs(int8), key=lambda conv: conv.weight_name)
    for _, sharing in groupby(convs, key=lambda conv: conv.weight_name):
        group = sorted(sharing, key=lambda conv: conv.node)
        yield _Layer(group, [inputs[conv.name] for conv in group], floats)


def _write(graph: onnx.GraphProto, name: str, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    """In the shape that the file has: one scale for all channels is a scalar there."""
    tensor = next(each for each in graph.initializer if each.name == name)
    shaped = value if list(tensor.dims) == list(value.shape) else value[:1].reshape(list(tensor.dims))
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(shaped), name))


def _drop_unused(graph: onnx.GraphProto) -> None:
    """What nothing reads any more: the rounded kernels of layers in float, and what turned them back."""
    read = {name for node in graph.node if node.op_type != "DequantizeLinear" for name in node.input}
    read |= {output.name for output in graph.output}
    kept = [node for node in graph.node if node.op_type != "DequantizeLinear" or node.output[0] in read]
    read = {name for node in kept for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(tensors)


def _by_channel(scale: FloatArray) -> FloatArray:
    return scale.reshape(-1, 1, 1, 1)
