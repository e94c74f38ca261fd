"""A QDQ model as x86 without VNNI computes it, run anywhere: the same graph with what saturation loses taken off.

Decides that the loss is part of the graph and not of a runtime: from a convolution's output the excess of its pair sums
over 16 bits is subtracted, for those pairs alone that can saturate (`saturation`). Sums are of integers under 2^24,
hence exact in float32. The answer holds for the graph with the runtime's optimizations off, which run QDQ in float and
so equally on every processor. A model without a pair that can saturate is given back as it is.

    emulation = with_saturation(model)
    network = exact_network(emulation.model)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edgewright.compress.qdq import QuantizedConv, quantized_convs
from edgewright.compress.saturation import HIGHEST_SUM, LOWEST_SUM, MAX_MASS, in_kernel_order, pair_masses
from edgewright.runtime.boxes import FloatArray
from edgewright.runtime.session import Network

_INT64_MAX = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Emulated:
    """A convolution that can saturate.

    Attributes:
        pairs: of weights, over all output channels; risky: of them, those that can saturate.
        sums, excess: tensors (1, risky, H, W) of the emulating graph.
    """

    conv: QuantizedConv
    pairs: int
    risky: int
    sums: str
    excess: str


@dataclass(frozen=True)
class Emulation:
    model: onnx.ModelProto
    layers: tuple[Emulated, ...]


@dataclass(frozen=True)
class LayerSaturation:
    """What pair sums did in one convolution, on some pictures.

    Attributes:
        share: of all pair sums, those that saturated.
        largest: the largest |pair sum| / 32767 among pairs that can saturate.
    """

    name: str
    share: float
    largest: float


def with_saturation(model: onnx.ModelProto) -> Emulation:
    """The emulating graph, and which of its convolutions can saturate."""
    emulating = onnx.ModelProto()
    emulating.CopyFrom(model)
    layers = []
    for conv in reversed(quantized_convs(model)):  # from the end: places before stay what they are
        part = _Part(conv)
        if len(part.channel):
            layers.append(part.insert(emulating.graph))
    return Emulation(emulating, tuple(reversed(layers)))


def exact_network(model: onnx.ModelProto, *, threads: int = 1) -> Network:
    """The model with the runtime's optimizations off: every QuantizeLinear and DequantizeLinear as it is written."""
    session = exact_session(model, threads=threads)
    name = session.get_inputs()[0].name

    def run(tensor: FloatArray) -> FloatArray:
        return np.asarray(session.run(None, {name: tensor})[0], dtype=np.float32)

    return run


def measure_saturation(emulation: Emulation, tensors: Iterable[FloatArray]) -> tuple[LayerSaturation, ...]:
    """Run the emulating graph on input tensors; what each convolution that can saturate did."""
    if not emulation.layers:
        return ()
    observed = onnx.ModelProto()
    observed.CopyFrom(emulation.model)
    for layer in emulation.layers:
        _observe(observed.graph, layer)
    session = exact_session(observed)
    names = [name for layer in emulation.layers for name in (f"{layer.sums}/most", f"{layer.excess}/share")]
    seen = [session.run(names, {session.get_inputs()[0].name: tensor}) for tensor in tensors]
    most, share = np.array(seen, dtype=np.float64).reshape(len(seen), -1, 2).transpose(2, 0, 1)
    return tuple(
        LayerSaturation(
            layer.conv.name,
            share=float(share[:, index].mean() * layer.risky / layer.pairs),
            largest=float(most[:, index].max() / HIGHEST_SUM),
        )
        for index, layer in enumerate(emulation.layers)
    )


class _Part:
    """The nodes that compute one convolution's loss.

    u8 input => float, padded with its zero point => a plane a place of the kernel => both members of each risky pair
    => pair sums => their excess over 16 bits => summed over pairs into output channels, in the output's unit.
    """

    def __init__(self, conv: QuantizedConv) -> None:
        self.conv, self.prefix = conv, f"saturation/{conv.node}/"
        columns = in_kernel_order(conv.weight)
        masses = np.zeros((len(columns), 0)) if conv.depthwise else pair_masses(columns)
        self.pairs = masses.size
        self.channel, pair = np.nonzero(masses > MAX_MASS)
        self.members = np.stack([2 * pair, 2 * pair + 1])
        self.weights = columns[self.channel, self.members].astype(np.float32)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def insert(self, graph: onnx.GraphProto) -> Emulated:
        """Put the nodes behind the convolution; the last has its output and name from then on."""
        conv, node = self.conv, graph.node[self.conv.node]
        first, second = (self._member(index, planes) for planes in [self._planes()] for index in (0, 1))
        sums = self._node("Add", first, second)
        cut = self._node("Clip", sums, self._constant(np.float32(LOWEST_SUM)), self._constant(np.float32(HIGHEST_SUM)))
        excess = self._node("Sub", sums, cut)
        lost = self._node("Conv", excess, self._constant(self._collection()))
        exact = f"{self.prefix}exact"
        self.nodes.append(helper.make_node("Sub", [exact, lost], [conv.output], name=node.name))
        node.name, node.output[0] = "", exact
        after = list(graph.node)[conv.node + 1 :]
        del graph.node[conv.node + 1 :]
        graph.node.extend([*self.nodes, *after])
        graph.initializer.extend(self.constants)
        return Emulated(conv, self.pairs, len(self.channel), sums=sums, excess=excess)

    def _planes(self) -> str:
        """The padded input, moved to each place of the kernel: (1, places * C, H, W)."""
        conv = self.conv
        data = self._node("Cast", conv.source, to=onnx.TensorProto.FLOAT)
        if any(conv.pads):
            top, left, bottom, right = conv.pads
            pads = self._constant(np.array([0, 0, top, left, 0, 0, bottom, right]))
            data = self._node("Pad", data, pads, self._constant(np.float32(conv.input_zero_point)))
        places = [self._place(data, y, x) for y, x in np.ndindex(*conv.weight.shape[2:])]
        return self._node("Concat", *places, axis=1) if len(places) > 1 else places[0]

    def _place(self, data: str, y: int, x: int) -> str:
        start = [step * dilation for step, dilation in zip((y, x), self.conv.dilations, strict=True)]
        sides = zip(self.conv.weight.shape[2:], (y, x), self.conv.dilations, strict=True)
        end = [(step - side + 1) * dilation or _INT64_MAX for side, step, dilation in sides]
        bounds = (start, end, [2, 3], self.conv.strides)
        return self._node("Slice", data, *(self._constant(np.array(each, np.int64)) for each in bounds))

    def _member(self, index: int, planes: str) -> str:
        """One member of each pair, times its weight; of a last pair that has one member, the other weighs nothing."""
        of_group, places = self.conv.weight.shape[1], int(np.prod(self.conv.weight.shape[2:]))
        member = np.minimum(self.members[index], of_group * places - 1)
        group = self.channel // (len(self.conv.weight) // self.conv.group)
        plane = member // of_group * (of_group * self.conv.group) + group * of_group + member % of_group
        picked = self._node("Gather", planes, self._constant(plane), axis=1)
        return self._node("Mul", picked, self._constant(self.weights[index].reshape(1, -1, 1, 1)))

    def _collection(self) -> FloatArray:
        """(O, risky, 1, 1): which pairs are summed into which output channel, and the unit of their sum."""
        collection = np.zeros((len(self.conv.weight), len(self.channel), 1, 1), np.float32)
        unit = self.conv.input_scale * self.conv.weight_scale
        collection[self.channel, np.arange(len(self.channel)), 0, 0] = unit[self.channel]
        return collection

    def _node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def _constant(self, value: Any) -> str:
        name = f"{self.prefix}constant/{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _observe(graph: onnx.GraphProto, layer: Emulated) -> None:
    """Outputs: the largest |pair sum|, and the share of risky pair sums with an excess."""
    absolute, most = f"{layer.sums}/absolute", f"{layer.sums}/most"
    lost, over, share = (f"{layer.excess}/{name}" for name in ("lost", "over", "share"))
    graph.node.extend(
        [
            helper.make_node("Abs", [layer.sums], [absolute]),
            helper.make_node("ReduceMax", [absolute], [most], keepdims=0),
            helper.make_node("Sign", [layer.excess], [lost]),
            helper.make_node("Abs", [lost], [over]),
            helper.make_node("ReduceMean", [over], [share], keepdims=0),
        ]
    )
    graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, []) for name in (most, share))


def exact_session(model: onnx.ModelProto, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """With the runtime's optimizations off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=list[Sequence[str]](["CPUExecutionProvider"])
    )
