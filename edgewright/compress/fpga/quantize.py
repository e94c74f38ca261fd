"""A float network in the number format of the unit: 8-bit integers, one power-of-two scale a tensor, no zero point.

Decides the scale of every tensor: of the smallest power of two that reaches its largest value, and its three halves,
the one with the smallest mean squared error over the calibration (what Vitis AI calls MinMSE). Kernels, biases and
activations alike; a bias never finer than the sums that it is added to, so that it is shifted into them. What the unit
does not compute stays in float (`operators.py`). The form is QDQ, which the VitisAI execution provider takes.

    model = quantize_for_fpga(float_model, tensors)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewright.compress.emulate import exact_session
from edgewright.compress.fpga.operators import unit_nodes
from edgewright.compress.layers import watching
from edgewright.errors import InputError
from edgewright.runtime.boxes import FloatArray

LOWEST, HIGHEST = -128, 127
_HALVED = 4
"""How many exponents are tried, from the one that clips nothing downwards."""
_TINY = 1e-12
_ROUNDED = "/fpga/rounded"
Tensors = Callable[[], Iterable[FloatArray]]
"""The calibration's inputs, (1, 3, S, S), anew with each call."""


def quantize_for_fpga(model: onnx.ModelProto, tensors: Tensors) -> onnx.ModelProto:
    """Args: model: float, its constants folded.

    Raises:
        InputError: no tensor to calibrate on, or nothing in the graph that the unit computes.
    """
    small = onnx.ModelProto()
    small.CopyFrom(model)
    places = [place for place, problem in unit_nodes(small).items() if not problem]
    if not places:
        raise InputError(
            "nothing in the graph is the unit's to compute",
            expected="convolutions",
            got=f"{len(small.graph.node)} nodes",
        )
    writer = _Writer(small.graph, _exponents(small, places, tensors))
    writer.write(set(places))
    return small


def largest_sum(model: onnx.ModelProto) -> int:
    """What a convolution's sum of products can reach at most, in its units: below 2^24 floats count it exactly.

    Args:
        model: as `quantize_for_fpga` makes it.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    integers = {
        node.output[0]: constants[node.input[0]]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants
    }
    kernels = [
        integers[node.input[1]] for node in model.graph.node if node.op_type == "Conv" and node.input[1] in integers
    ]
    sums = [np.abs(kernel.astype(np.int64)).reshape(len(kernel), -1).sum(axis=1).max() for kernel in kernels]
    return int(-LOWEST * max(sums, default=0))


def exponent_of(values: npt.NDArray[np.floating], *, least: int | None = None) -> int:
    """Of the scale 2^e with the smallest squared error. `least`: no finer one is taken."""
    first = _clipping_nothing(float(np.abs(values).max(initial=0.0)))
    tried = [first - step for step in range(_HALVED)]
    best = min(tried, key=lambda exponent: _error(values, exponent))
    return best if least is None else max(best, least)


def to_integers(values: npt.NDArray[np.floating], exponent: int) -> npt.NDArray[np.int8]:
    """Rounded half up, as the unit rounds."""
    return np.clip(np.floor(np.ldexp(values.astype(np.float64), -exponent) + 0.5), LOWEST, HIGHEST).astype(np.int8)


def _clipping_nothing(largest: float) -> int:
    return int(np.ceil(np.log2(max(largest, _TINY) / HIGHEST)))


def _error(values: npt.NDArray[np.floating], exponent: int) -> float:
    back = np.ldexp(to_integers(values, exponent).astype(np.float64), exponent)
    return float(np.square(back - values).sum())


def _exponents(model: onnx.ModelProto, places: Iterable[int], tensors: Tensors) -> dict[str, int]:
    """Of every activation that the unit reads or writes; in two passes, one picture's activations at a time."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    names = {
        name
        for place in places
        for name in (*_activations(graph.node[place]), *graph.node[place].output)
        if name and name not in constants
    }
    inputs = [value.name for value in graph.input]
    asked, watched = sorted(names - set(inputs)), sorted(names)
    session = exact_session(watching(model, asked))

    def seen(tensor: FloatArray) -> Mapping[str, FloatArray]:
        return {**dict(zip(asked, session.run(asked, {inputs[0]: tensor}), strict=True)), inputs[0]: tensor}

    largest, n = dict.fromkeys(watched, 0.0), 0
    for tensor in tensors():
        found, n = seen(tensor), n + 1
        largest = {name: max(largest[name], float(np.abs(found[name]).max())) for name in watched}
    if not n:
        raise InputError("no picture to calibrate on", expected="at least 1")
    first = {name: _clipping_nothing(value or HIGHEST) for name, value in largest.items()}  # silent ones may yet speak
    errors = {name: np.zeros(_HALVED) for name in watched}
    for tensor in tensors():
        found = seen(tensor)
        for name in watched:
            errors[name] += [_error(found[name], first[name] - step) for step in range(_HALVED)]
    return {name: first[name] - int(np.argmin(errors[name])) for name in watched}


def _activations(node: onnx.NodeProto) -> list[str]:
    """What a node reads, without kernels, biases, bounds and sizes."""
    return list(node.input) if node.op_type in ("Add", "Concat") else list(node.input[:1])


@dataclass
class _Writer:
    """Puts a QuantizeLinear and a DequantizeLinear behind every tensor of the unit's part."""

    graph: onnx.GraphProto
    exponents: Mapping[str, int]
    constants: dict[str, TensorProto] = field(default_factory=dict)

    def write(self, places: set[int]) -> None:
        weights = {tensor.name: tensor for tensor in self.graph.initializer}
        folded = self._folded(places)
        read = {name for place in places for name in _activations(self.graph.node[place])}
        written = {name for place in places - folded for name in self.graph.node[place].output}
        rounded = {name: f"{name}{_ROUNDED}" for name in (read | written) - set(weights) - self._inside(folded)}
        nodes: list[onnx.NodeProto] = []
        for value in self.graph.input:
            nodes += self._pair(value.name, rounded)
        for place, node in enumerate(self.graph.node):
            outputs = list(node.output)
            # The processor reads what it made itself as it made it.
            seen = rounded if place in places else {name: rounded[name] for name in rounded if name in written}
            node.input[:] = [seen.get(name, name) for name in node.input]
            if place in places and node.op_type == "Conv":
                nodes += self._kernel(node, weights)
            nodes.append(node)
            for name in outputs:
                nodes += self._pair(name, rounded)
        for output in self.graph.output:  # a part that ends the graph is rounded there too
            if output.name in rounded:
                nodes.append(helper.make_node("Identity", [rounded[output.name]], [f"{output.name}/out"]))
                output.name = f"{output.name}/out"
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self.graph.node[:]
        self.graph.node.extend(kept)
        self._drop_unread()
        self.graph.initializer.extend(self.constants.values())

    def _folded(self, places: set[int]) -> set[int]:
        """Convolutions whose output an activation alone reads: the unit rounds behind both."""
        readers: dict[str, list[int]] = {}
        for place, node in enumerate(self.graph.node):
            for name in node.input:
                readers.setdefault(name, []).append(place)
        outputs = {value.name for value in self.graph.output}
        found = set()
        for place in places:
            node = self.graph.node[place]
            reading = readers.get(node.output[0], [])
            alone = len(reading) == 1 and reading[0] in places and node.output[0] not in outputs
            if node.op_type == "Conv" and alone and self.graph.node[reading[0]].op_type in ("Relu", "Clip"):
                found.add(place)
        return found

    def _inside(self, folded: set[int]) -> set[str]:
        return {name for place in folded for name in self.graph.node[place].output}

    def _pair(self, name: str, rounded: Mapping[str, str]) -> list[onnx.NodeProto]:
        if name not in rounded:
            return []
        scale, zero = self._scale(self.exponents[name]), self._zero()
        integer = f"{name}/integer"
        return [
            helper.make_node("QuantizeLinear", [name, scale, zero], [integer]),
            helper.make_node("DequantizeLinear", [integer, scale, zero], [rounded[name]]),
        ]

    def _kernel(self, node: onnx.NodeProto, weights: Mapping[str, TensorProto]) -> list[onnx.NodeProto]:
        """Kernel and bias as integers; the bias no finer than the sums."""
        source = node.input[0].removesuffix(_ROUNDED)
        kernel = numpy_helper.to_array(weights[node.input[1]])
        exponent = exponent_of(kernel)
        made = [self._integers(node, 1, kernel, exponent)]
        if len(node.input) > 2 and node.input[2]:
            bias = numpy_helper.to_array(weights[node.input[2]])
            made.append(self._integers(node, 2, bias, exponent_of(bias, least=exponent + self.exponents[source])))
        return made

    def _integers(
        self, node: onnx.NodeProto, index: int, values: npt.NDArray[np.floating], exponent: int
    ) -> onnx.NodeProto:
        name = f"{node.output[0]}/{index}"
        self.constants[name] = numpy_helper.from_array(to_integers(values, exponent), name)
        node.input[index] = f"{name}/rounded"
        return helper.make_node("DequantizeLinear", [name, self._scale(exponent), self._zero()], [f"{name}/rounded"])

    def _scale(self, exponent: int) -> str:
        name = f"fpga/scale/{exponent}"
        self.constants[name] = numpy_helper.from_array(np.array(2.0**exponent, np.float32), name)
        return name

    def _zero(self) -> str:
        name = "fpga/zero"
        self.constants[name] = numpy_helper.from_array(np.array(0, np.int8), name)
        return name

    def _drop_unread(self) -> None:
        """Float kernels that nothing reads any more."""
        read = {name for node in self.graph.node for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
