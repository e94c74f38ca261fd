"""Which convolutions INT8 harms, and how many of them have to stay in float for the detector to stay what it was.

Decides the order: by what one kernel in INT8 alone, with what it reads, changes of the network's last convolutions. The
most harmful go back to float, one after the other, until the loss of accuracy is within its bound; as few as that
takes, found by doubling and halving, for the loss is measured on photographs each time. Refuses to make a file larger
than its bytes: then what was best is kept, and `met` is False.

    found = search(int8, Alone(float_model, tensors), drop_of=measure, max_drop=0.005, max_bytes=2_000_000)
    found.model, found.drop, found.layers[0].name           # the culprit
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgewright.compress.emulate import exact_session
from edgewright.compress.export import minify
from edgewright.compress.kernels import Kernel, Wires, drop_unused, kernels_of
from edgewright.compress.layers import watching
from edgewright.runtime.boxes import FloatArray

Rounding = tuple[NDArray[Any], NDArray[Any]]
"""Step and zero point of a tensor."""


@dataclass(frozen=True)
class Sensitivity:
    """A kernel's: `error` is the relative error of the network's last layers with it alone in INT8.

    Attributes:
        names: of the convolutions that share it.
        in_float: whether it went back.
    """

    names: tuple[str, ...]
    error: float
    in_float: bool


@dataclass(frozen=True)
class Searched:
    """Attributes:
    layers: the most harmful first. drop: of the model, as `drop_of` measured it. met: whether it is within its bound.
    """

    model: onnx.ModelProto
    layers: tuple[Sensitivity, ...]
    drop: float
    met: bool


def search(
    int8: onnx.ModelProto,
    alone: Alone,
    *,
    drop_of: Callable[[onnx.ModelProto], float],
    max_drop: float,
    max_bytes: int,
) -> Searched:
    """The model with as few kernels in float as hold the drop.

    Args:
        int8: a QDQ model with the names that the quantizer gave.
        alone: what one kernel does to the float model that was quantized.
        drop_of: what a model loses against the float one; asked about 2 log2(kernels) + 2 times at most.
    """
    drop = drop_of(int8)
    ranked = sorted(alone.errors(int8), key=lambda each: -each[1])
    tried = {0: (drop, int8)}
    most = _fitting([kernel for kernel, _ in ranked], minify(int8).ByteSize(), max_bytes=max_bytes)

    def holds(n: int) -> bool:
        if n not in tried:
            model = _restored(int8, [kernel for kernel, _ in ranked[:n]])
            tried[n] = drop_of(model), model
        return tried[n][0] <= max_drop

    fails, n = 0, 0
    while not holds(n) and n < most:
        fails, n = n, min(most, max(1, 2 * n))
    while n - fails > 1 and tried[n][0] <= max_drop:
        middle = (fails + n) // 2
        fails, n = (fails, middle) if holds(middle) else (middle, n)
    if tried[n][0] > max_drop:  # nothing that fits is good enough: the best of what was tried, the smallest of equals
        n = min(tried, key=lambda one: (tried[one][0], one))
    drop, model = tried[n]
    layers = (
        Sensitivity(tuple(kernel.names), error, in_float=place < n) for place, (kernel, error) in enumerate(ranked)
    )
    return Searched(model, tuple(layers), drop, met=drop <= max_drop)


class Alone:
    """What one kernel does to the end of a float network: its weights rounded, with what it reads and, where that is
    read by anything but a convolution, what it says. Kernels that two files have alike are measured once.

    Args:
        model: what was quantized, with the same names.
        tensors: inputs on which it is measured.
    """

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[FloatArray]) -> None:
        self.model, self._tensors = model, tensors
        self._last = [_activated(model, name) for name in last_convolutions(model)]
        self._expected = _run(model, self._last, tensors)
        self._known: dict[tuple[str, ...], float] = {}

    def errors(self, int8: onnx.ModelProto) -> list[tuple[Kernel, float]]:
        """Of every kernel of a QDQ model."""
        roundings = _output_roundings(int8)
        return [(kernel, self._error(kernel, roundings)) for kernel in kernels_of(int8, self.model)]

    def _error(self, kernel: Kernel, roundings: Mapping[str, Rounding]) -> float:
        key = (*kernel.names, hashlib.sha256(kernel.rounded.tobytes()).hexdigest())
        if key not in self._known:
            rounded = {_activated(self.model, name): roundings[name] for name in kernel.names if name in roundings}
            model = _with_rounded(self.model, kernel, rounded)
            names = [f"{name}/rounded" if name in rounded else name for name in self._last]
            self._known[key] = _apart(self._expected, _run(model, names, self._tensors))
        return self._known[key]


def last_convolutions(model: onnx.ModelProto) -> list[str]:
    """Those that no other one reads: before boxes and scores, which have units of their own, are made of them.

    What a second output is made of counts for nothing: it detects nothing.
    """
    made = {name: node for node in model.graph.node for name in node.output}
    waiting, seen = [output.name for output in model.graph.output[:1]], set[str]()
    found: list[str] = []
    while waiting:
        name = waiting.pop()
        if name in seen or name not in made:
            continue
        seen.add(name)
        if made[name].op_type == "Conv":
            found.append(made[name].name)
        else:
            waiting.extend(made[name].input)
    return sorted(found)


def _activated(model: onnx.ModelProto, convolution: str) -> str:
    """The tensor that a convolution hands on, by its name."""
    node = next(node for node in model.graph.node if node.name == convolution)
    return Wires(model.graph).handed_on(node.output[0])


def _output_roundings(int8: onnx.ModelProto) -> dict[str, Rounding]:
    """Convolution => step and zero point of its output, where anything but convolutions reads that."""
    wires = Wires(int8.graph)
    values = {tensor.name: tensor for tensor in int8.graph.initializer}
    found: dict[str, Rounding] = {}
    for node in int8.graph.node:
        rounded = wires.rounded(node.output[0]) if node.op_type == "Conv" else ""
        if rounded and any(reader.op_type != "Conv" for reader in wires.readers[rounded]):
            _, step, zero = wires.maker[rounded].input
            found[node.name] = (numpy_helper.to_array(values[step]), numpy_helper.to_array(values[zero]))
    return found


def _with_rounded(model: onnx.ModelProto, kernel: Kernel, outputs: Mapping[str, Rounding]) -> onnx.ModelProto:
    """The float model with one kernel rounded, what its convolutions read, and these tensors of theirs."""
    convs = {conv.name: conv for conv in kernel.convs}
    made = onnx.ModelProto()
    made.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    constants = [numpy_helper.from_array(kernel.rounded, "alone/kernel")]

    def rounding(source: str, to: str, step: Rounding) -> None:
        names = [f"{to}/step", f"{to}/zero"]
        constants.extend(numpy_helper.from_array(value, name) for value, name in zip(step, names, strict=True))
        nodes.append(helper.make_node("QuantizeLinear", [source, *names], [f"{to}/integers"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{to}/integers", *names], [to]))

    for node in made.graph.node:
        if (conv := convs.get(node.name)) is not None:
            read = f"{node.name}/read"
            rounding(
                node.input[0], read, (np.array(conv.input_scale, np.float32), np.array(conv.input_zero_point, np.uint8))
            )
            node.input[0], node.input[1] = read, "alone/kernel"
        elif node.op_type != "Conv":
            node.input[:] = [f"{name}/rounded" if name in outputs else name for name in node.input]
        nodes.append(node)
        if node.output[0] in outputs:
            rounding(node.output[0], f"{node.output[0]}/rounded", outputs[node.output[0]])
    copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:]
    made.graph.node.extend(copied)
    made.graph.initializer.extend(constants)
    return made


def _run(model: onnx.ModelProto, names: Sequence[str], tensors: Iterable[FloatArray]) -> list[list[FloatArray]]:
    session = exact_session(watching(model, list(names)))
    return [session.run(None, {session.get_inputs()[0].name: tensor}) for tensor in tensors]


def _apart(expected: Sequence[Sequence[FloatArray]], got: Sequence[Sequence[FloatArray]]) -> float:
    """Of each tensor the norm of the difference over the norm, averaged over tensors."""
    tiny = np.finfo(np.float64).tiny
    shares = []
    for whole, other in zip(zip(*expected, strict=True), zip(*got, strict=True), strict=True):
        apart = sum(np.square(b.astype(np.float64) - a).sum() for a, b in zip(whole, other, strict=True))
        shares.append(np.sqrt(apart / max(sum(np.square(a, dtype=np.float64).sum() for a in whole), tiny)))
    return float(np.mean(shares))


def _fitting(kernels: Sequence[Kernel], file_bytes: int, *, max_bytes: int) -> int:
    """How many of the first kernels the file has room for in float."""
    for n, kernel in enumerate(kernels):
        file_bytes += kernel.added_bytes
        if file_bytes > max_bytes:
            return n
    return len(kernels)


def _restored(int8: onnx.ModelProto, kernels: Sequence[Kernel]) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(int8)
    for kernel in kernels:
        kernel.restore(model.graph, roundings=True)
    drop_unused(model.graph)
    return model
