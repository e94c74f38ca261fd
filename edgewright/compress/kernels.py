"""The kernels of a QDQ model beside the float ones that they were made from, and the way back to these.

Decides that convolutions which share a kernel share its fate: it is stored once. One that goes back to float is read as
it was; with `roundings` it also reads what it read before that was rounded, and what is no convolution reads its output
so. An activation that the quantizer had folded into a rounding stands there again. Refuses nothing: what a graph gives
out stays rounded.

    for kernel in kernels_of(int8, float_model):
        kernel.restore(int8.graph, roundings=True)
    drop_unused(int8.graph)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby

import onnx
from onnx import numpy_helper

from edgewright.compress.qdq import QuantizedConv, quantized_convs
from edgewright.runtime.boxes import FloatArray

_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")
_ACTIVATIONS = ("Relu", "Clip")
"""What the quantizer folds into the range of a rounding."""
_FLOAT = "float/"


class Kernel:
    """The convolutions that share one.

    Attributes:
        names: of the convolutions. weight: (O, C / group, kH, kW) float32, before rounding.
        added_bytes: what a file has more with it in float.
    """

    def __init__(self, convs: Sequence[QuantizedConv], floats: Floats) -> None:
        self.convs, self.names = convs, [conv.name for conv in convs]
        self._floats = floats
        self.weight = floats.tensors[floats.inputs[self.names[0]][1]]
        self.added_bytes = 3 * self.weight.size

    @property
    def rounded(self) -> FloatArray:
        """(O, C / group, kH, kW) float32: as the integers say it."""
        first = self.convs[0]
        return first.weight.astype("float32") * first.weight_scale.reshape(-1, 1, 1, 1)

    def biases(self) -> Iterator[tuple[QuantizedConv, FloatArray]]:
        """(O,) float32 of every convolution that has one."""
        for conv in self.convs:
            if conv.bias_name:
                yield conv, self._floats.tensors[self._floats.inputs[conv.name][2]]

    def restore(self, graph: onnx.GraphProto, *, roundings: bool = False) -> None:
        """The float kernel and biases in place of the rounded ones, and more of what was there before."""
        for conv in self.convs:
            inputs = self._floats.inputs[conv.name][1:]
            self._floats.give(graph, inputs)
            node = _maker(graph, conv.output)
            node.input[1:] = [f"{_FLOAT}{name}" for name in inputs]
            if roundings:
                self._unround(graph, conv.output)

    def _unround(self, graph: onnx.GraphProto, output: str) -> None:
        source = self._floats.activated(graph, Wires(graph).before_rounding(_maker(graph, output).input[0]))
        _maker(graph, output).input[0] = source
        wires = Wires(graph)
        rounded = wires.rounded(output)
        if not rounded or all(reader.op_type == "Conv" for reader in wires.readers[rounded]):
            return
        whole = self._floats.activated(graph, wires.before_rounding(rounded))
        for reader in Wires(graph).readers[rounded]:
            if reader.op_type != "Conv":
                reader.input[:] = [whole if name == rounded else name for name in reader.input]


class Wires:
    """Who makes and who reads the tensors of a graph as it stands."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.maker = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in filter(None, node.input):  # an input that is left out has no name
                self.readers[name].append(node)

    def before_rounding(self, name: str) -> str:
        """What was rounded to give this; itself where nothing was."""
        back = self.maker.get(name)
        there = self.maker.get(back.input[0]) if back is not None and back.op_type == "DequantizeLinear" else None
        return there.input[0] if there is not None and there.op_type == "QuantizeLinear" else name

    def rounded(self, name: str) -> str:
        """A convolution's output, with what is activated of it, as it is read after rounding; "" where it is not."""
        for reader in self.readers[name]:
            if reader.op_type == "QuantizeLinear":
                return str(self.readers[reader.output[0]][0].output[0])
        activated = self._activated(name)
        return self.rounded(activated) if activated else ""

    def handed_on(self, name: str) -> str:
        """A convolution's output as it is read: activated and rounded, where it is."""
        return self.rounded(name) or self._activated(name) or name

    def _activated(self, name: str) -> str:
        return next((str(one.output[0]) for one in self.readers[name] if one.op_type in _ACTIVATIONS), "")


class Floats:
    """The float model's tensors and inputs by name, and its activations by the convolution that they follow."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.inputs = {node.name: list(node.input) for node in model.graph.node}
        wires = Wires(model.graph)
        self._activation: dict[str, onnx.NodeProto] = {}
        for node in model.graph.node:
            after = wires.readers[node.output[0]] if node.op_type == "Conv" else []
            if len(after) == 1 and after[0].op_type in _ACTIVATIONS:
                self._activation[node.name] = after[0]

    def give(self, graph: onnx.GraphProto, names: Sequence[str]) -> None:
        """Have these tensors in a graph, under names of their own."""
        known = {tensor.name for tensor in graph.initializer}
        missing = dict.fromkeys(name for name in names if name and f"{_FLOAT}{name}" not in known)
        graph.initializer.extend(numpy_helper.from_array(self.tensors[name], f"{_FLOAT}{name}") for name in missing)

    def activated(self, graph: onnx.GraphProto, name: str) -> str:
        """A tensor, or of a convolution that lost its activation that activation's output. The graph's nodes move."""
        places = {output: place for place, node in enumerate(graph.node) for output in node.output}
        maker = graph.node[places[name]] if name in places else None
        lost = self._activation.get(maker.name) if maker is not None and maker.op_type == "Conv" else None
        if lost is None:
            return name
        output = f"{_FLOAT}{lost.output[0]}"
        if output not in places:
            self.give(graph, lost.input[1:])
            node = onnx.NodeProto()
            node.CopyFrom(lost)
            node.name, node.output[0] = f"{_FLOAT}{lost.name}", output
            node.input[:] = [name, *(each and f"{_FLOAT}{each}" for each in lost.input[1:])]
            after = list(graph.node)[places[name] + 1 :]
            del graph.node[places[name] + 1 :]
            graph.node.extend([node, *after])
        return output


def _maker(graph: onnx.GraphProto, output: str) -> onnx.NodeProto:
    found: onnx.NodeProto = next(node for node in graph.node if output in node.output)
    return found


def kernels_of(int8: onnx.ModelProto, float_model: onnx.ModelProto) -> Iterator[Kernel]:
    """Args: float_model: what was quantized, with the same names."""
    floats = Floats(float_model)
    convs = sorted(quantized_convs(int8), key=lambda conv: conv.weight_name)
    for _, sharing in groupby(convs, key=lambda conv: conv.weight_name):
        yield Kernel(sorted(sharing, key=lambda conv: conv.node), floats)


def drop_unused(graph: onnx.GraphProto) -> None:
    """What nothing reads any more: rounded kernels of convolutions in float, and roundings of their inputs."""
    ends = {output.name for output in graph.output}
    nodes = list(graph.node)
    while True:
        read = {name for node in nodes for name in node.input} | ends
        kept = [node for node in nodes if node.op_type not in _CONVERSIONS or node.output[0] in read]
        if len(kept) == len(nodes):
            break
        nodes = kept
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
