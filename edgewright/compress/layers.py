"""The same answer, layer by layer: what each convolution of an INT8 model says beside the float model's.

Decides nothing: the model gate does, by the largest error. Both graphs run whole, so that a layer's error holds what
came to it from before. Refuses graphs whose convolutions do not bear the same names.

>>> max(compare_layers(float_model, int8_model, tensors), key=lambda layer: layer.error).name
'/model.0/conv/Conv'
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx

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
        exact_session(_watched(model, list(outputs.values())))
        for model, outputs in ((float_model, expected), (candidate, {name: got[name] for name in expected}))
    ]
    squares = np.zeros((2, len(expected)))
    for tensor in tensors:
        runs = [session.run(None, {session.get_inputs()[0].name: tensor}) for session in sessions]
        for place, (whole, other) in enumerate(zip(*runs, strict=True)):
            squares[:, place] += (
                np.square(other - whole, dtype=np.float64).sum(),
                np.square(whole, dtype=np.float64).sum(),
            )
    errors = np.sqrt(squares[0] / np.maximum(squares[1], np.finfo(np.float64).tiny))
    return tuple(LayerError(name, float(error)) for name, error in zip(expected, errors, strict=True))


def _watched(model: onnx.ModelProto, tensors: list[str]) -> onnx.ModelProto:
    """The model with these tensors for outputs, in this order, and no others."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * 4) for name in tensors
    )
    return watched
