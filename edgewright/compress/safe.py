"""The INT8 file for every x86: weights of which no pair of products can saturate 16 bits.

Decides channel by channel, since each has its own scale: one that cannot saturate (`saturation`) stays as it is; of any
other the scale grows until its heaviest pair is within the sure bound. At worst that is one bit less (the usual 7-bit
weights, `reduce_range`), mostly a part of it. Weights and biases are made from the float model's, not from the rounded
ones. A layer whose output this changes by more than `max_loss`, given the float model's input, stays in float, the
worst first, while the file is within its bytes. Convolutions that share a kernel share its fate: it is stored once.

    safe = make_safe(int8, prepared, tensors, max_loss=0.1)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from edgewright.compress.export import minify
from edgewright.compress.kernels import Kernel, drop_unused, kernels_of
from edgewright.compress.layers import kernel_errors
from edgewright.compress.qdq import Int8Array
from edgewright.compress.saturation import MAX_MASS, can_saturate, largest_masses
from edgewright.runtime.boxes import FloatArray

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
    int8: onnx.ModelProto,
    float_model: onnx.ModelProto,
    tensors: Iterable[FloatArray],
    *,
    max_loss: float,
    max_bytes: int = 2_000_000,
) -> SafeFile:
    """The same graph with weights that cannot saturate.

    Args:
        int8: a QDQ model with the names that the quantizer gave.
        float_model: what was quantized.
        tensors: inputs on which outputs are compared.
        max_loss: norm of what rounding changes of a convolution's output, over that of the output, above which its
            kernel stays in float.
        max_bytes: what kernels in float may make of the file.
    """
    safe = onnx.ModelProto()
    safe.CopyFrom(int8)
    unsafe = [narrowed for narrowed in map(_Narrowed, kernels_of(int8, float_model)) if narrowed.is_unsafe]
    for narrowed in unsafe:
        narrowed.narrow(safe.graph)
    in_float: list[Kernel] = []
    file_bytes = minify(safe).ByteSize()
    kernels = {name: narrowed.kernel for narrowed in unsafe for name in narrowed.whole.names}
    lost = {layer.name: layer.error for layer in kernel_errors(float_model, kernels, tensors)} if kernels else {}
    wholes = [narrowed.whole for narrowed in unsafe]
    losses = sorted(((max(lost[name] for name in whole.names), whole) for whole in wholes), key=lambda each: -each[0])
    for loss, whole in losses:
        if loss > max_loss and file_bytes + whole.added_bytes <= max_bytes:
            whole.restore(safe.graph)
            in_float.append(whole)
            file_bytes += whole.added_bytes
    drop_unused(safe.graph)
    return SafeFile(
        safe,
        narrowed=tuple(name for whole in wholes if whole not in in_float for name in whole.names),
        in_float=tuple(name for whole in in_float for name in whole.names),
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


class _Narrowed:
    """A kernel, and the scales with which it cannot saturate."""

    def __init__(self, whole: Kernel) -> None:
        self.whole, first = whole, whole.convs[0]
        self.is_unsafe = not first.depthwise and can_saturate(first.weight)
        self._scale = first.weight_scale
        if self.is_unsafe:
            # The quantizer's scales are wide enough for biases, too: beside a kernel near 0 they overflow 32 bits else.
            self._scale = np.maximum(self._scale, safe_scale(whole.weight, together=first.one_scale))

    @property
    def kernel(self) -> FloatArray:
        """As the safe file's integers say it."""
        return rounded(self.whole.weight, self._scale) * _by_channel(self._scale)

    def narrow(self, graph: onnx.GraphProto) -> None:
        """Weights, their scales and, since a bias is counted in steps of input times weight, biases."""
        first = self.whole.convs[0]
        _write(graph, first.weight_name, rounded(self.whole.weight, self._scale))
        _write(graph, first.scale_name, self._scale)
        for conv, bias in self.whole.biases():
            step = self._scale * np.float32(conv.input_scale)
            limit = np.iinfo(np.int32)
            counted = np.clip(np.rint(bias.astype(np.float64) / step), limit.min, limit.max)
            _write(graph, conv.bias_name, counted.astype(np.int32))
            _write(graph, conv.bias_scale_name, step)


def _write(graph: onnx.GraphProto, name: str, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    """In the shape that the file has: one scale for all channels is a scalar there."""
    tensor = next(each for each in graph.initializer if each.name == name)
    shaped = value if list(tensor.dims) == list(value.shape) else value[:1].reshape(list(tensor.dims))
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(shaped), name))


def _by_channel(scale: FloatArray) -> FloatArray:
    return scale.reshape(-1, 1, 1, 1)
