"""Biases that take back what rounding a kernel adds to its output on average (Nagel et al. 2019, arXiv 1906.04721).

Decides that the average is over the calibration's own pictures, given what the float model reads there, so that no
convolution's correction depends on another's. A convolution is linear: what rounding adds on average is the rounding of
its kernel times the mean of the patches that it reads, which are measured once for any number of files. Refuses
nothing; a convolution without a bias keeps none.

    patches = mean_patches(float_model, quantized_convs(int8), tensors)
    corrected = correct_biases(int8, float_model, patches)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edgewright.compress.emulate import exact_session
from edgewright.compress.kernels import kernels_of
from edgewright.compress.layers import watching
from edgewright.compress.qdq import QuantizedConv
from edgewright.runtime.boxes import FloatArray

DoubleArray = npt.NDArray[np.float64]
_LIMIT = np.iinfo(np.int32)


def mean_patches(
    float_model: onnx.ModelProto, convs: Sequence[QuantizedConv], tensors: Iterable[FloatArray], *, threads: int = 1
) -> dict[str, DoubleArray]:
    """Convolution => (C, kH, kW): the mean, over its output's places and all tensors, of what it reads there.

    Args:
        float_model: what was quantized. tensors: inputs, (1, 3, S, S) float32 in [0, 1].
    """
    reads = {node.name: node.input[0] for node in float_model.graph.node}
    if not convs:
        return {}
    names = sorted({reads[conv.name] for conv in convs})
    session = exact_session(watching(float_model, names), threads=threads)
    sums = {conv.name: np.zeros((conv.weight.shape[1] * conv.group, *conv.weight.shape[2:])) for conv in convs}
    n = 0
    for tensor in tensors:
        seen = dict(zip(names, session.run(None, {session.get_inputs()[0].name: tensor}), strict=True))
        for conv in convs:
            sums[conv.name] += _mean_patch(seen[reads[conv.name]][0], conv)
        n += 1
    return {name: total / max(1, n) for name, total in sums.items()}


def correct_biases(
    int8: onnx.ModelProto, float_model: onnx.ModelProto, patches: Mapping[str, DoubleArray]
) -> onnx.ModelProto:
    """The same model with other biases.

    Args:
        int8: a QDQ model with the names that the quantizer gave. float_model: what was quantized.
        patches: of every quantized convolution (`mean_patches`).
    """
    corrected = onnx.ModelProto()
    corrected.CopyFrom(int8)
    stored = {tensor.name: tensor for tensor in corrected.graph.initializer}
    for kernel in kernels_of(int8, float_model):
        added = kernel.rounded.astype(np.float64) - kernel.weight
        for conv, bias in kernel.biases():
            shift = _shift(added, patches[conv.name], group=conv.group)
            steps = (bias.astype(np.float64) - shift) / (conv.weight_scale * np.float64(conv.input_scale))
            counted = np.clip(np.rint(steps), _LIMIT.min, _LIMIT.max).astype(np.int32)
            tensor = stored[conv.bias_name]
            tensor.CopyFrom(numpy_helper.from_array(counted.reshape(list(tensor.dims)), conv.bias_name))
    return corrected


def _mean_patch(seen: FloatArray, conv: QuantizedConv) -> DoubleArray:
    """(C, H, W) => (C, kH, kW). What lies beyond the edge is 0, as for the convolution."""
    top, left, bottom, right = conv.pads
    padded = np.pad(seen, ((0, 0), (top, bottom), (left, right)))
    kernel, (down, across) = conv.weight.shape[2:], conv.strides
    spans = [dilation * (side - 1) for side, dilation in zip(kernel, conv.dilations, strict=True)]
    heights, widths = (padded.shape[axis + 1] - spans[axis] for axis in (0, 1))
    patch = np.empty((len(seen), *kernel))
    for y, x in np.ndindex(*kernel):
        first, second = y * conv.dilations[0], x * conv.dilations[1]
        places = padded[:, first : first + heights : down, second : second + widths : across]
        patch[:, y, x] = places.mean(axis=(1, 2), dtype=np.float64)
    return patch


def _shift(added: DoubleArray, patch: DoubleArray, *, group: int) -> DoubleArray:
    """(O, C / group, kH, kW) by (C, kH, kW) => (O,)."""
    weights = added.reshape(group, -1, *added.shape[1:])
    read = patch.reshape(group, -1, *patch.shape[1:])
    shift: DoubleArray = np.einsum("gochw,gchw->go", weights, read).reshape(-1)
    return shift
