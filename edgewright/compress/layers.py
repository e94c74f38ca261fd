"""The same answer, layer by layer: what each convolution of an INT8 model says beside the float model's.

Decides nothing: the model gate does, by the largest error. Both graphs run whole, so that a layer's error holds what
came to it from before. Refuses graphs whose convolutions do not bear the same names.

    farthest = max(compare_layers(float_model, int8_model, tensors), key=lambda layer: layer.error)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from edgewright.compress.emulate import exact_session
from edgewright.errors import StageFailed
from edgewright.runtime.boxes import FloatArray


@dataclass(frozen=True)
class LayerError:
    """`error`: norm of the difference of a convolution's outputs over the norm of the float ones, over all pictures."""

    name: str
    error: float


def compare_layers(
    float_model: onnx.ModelProto, candidate: onnx.ModelProto, tensors: Iterable[FloatArray]
) -> tuple[LayerError, ...]:
    """Of every convolution, in the order of the float graph; both models with the names that the quantizer gave.

    Raises:
        StageFailed: a convolution of one has none of its name in the other.
    """
    expected = {node.name: node.output[0] for node in float_model.graph.node if node.op_type == "Conv"}
    got = {node.name: node.output[0] for node in candidate.graph.node if node.name in expected}
    if set(expected) != set(got):
        raise StageFailed("the INT8 model has other convolutions", got=sorted(set(expected) ^ set(got)))
    sessions = [
        exact_session(watching(model, [outputs[name] for name in expected]))
        for model, outputs in ((float_model, expected), (candidate, got))
    ]
    runs = ([session.run(None, {session.get_inputs()[0].name: tensor}) for session in sessions] for tensor in tensors)
    return _errors(list(expected), runs)


def kernel_errors(
    float_model: onnx.ModelProto, kernels: Mapping[str, FloatArray], tensors: Iterable[FloatArray]
) -> tuple[LayerError, ...]:
    """Of each named convolution, what another kernel alone changes: given the float model's input.

    Args:
        kernels: in the shape of the convolution's own, by its name.
    """
    beside = onnx.ModelProto()
    beside.CopyFrom(float_model)
    nodes = [node for node in float_model.graph.node if node.name in kernels]
    for number, node in enumerate(nodes):
        added = beside.graph.node.add()
        added.CopyFrom(node)
        added.name, added.input[1], added.output[0] = "", f"kernel/{number}", f"beside/{number}"
        beside.graph.initializer.append(numpy_helper.from_array(kernels[node.name], f"kernel/{number}"))
    session = exact_session(
        watching(beside, [*(node.output[0] for node in nodes), *(f"beside/{n}" for n in range(len(nodes)))])
    )
    outputs = (session.run(None, {session.get_inputs()[0].name: tensor}) for tensor in tensors)
    return _errors([node.name for node in nodes], ((each[: len(nodes)], each[len(nodes) :]) for each in outputs))


def _errors(names: Sequence[str], runs: Iterable[Sequence[Sequence[FloatArray]]]) -> tuple[LayerError, ...]:
    """`runs`: a picture each: the layers' float outputs, and the others."""
    squares = np.zeros((2, len(names)))
    for run in runs:
        for place, (whole, other) in enumerate(zip(*run, strict=True)):
            squares[0, place] += np.square(other - whole, dtype=np.float64).sum()
            squares[1, place] += np.square(whole, dtype=np.float64).sum()
    errors = np.sqrt(squares[0] / np.maximum(squares[1], np.finfo(np.float64).tiny))
    return tuple(LayerError(name, float(error)) for name, error in zip(names, errors, strict=True))


def watching(model: onnx.ModelProto, tensors: list[str]) -> onnx.ModelProto:
    """The model with these tensors for outputs, in this order, and no others."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * 4) for name in tensors
    )
    return watched
