"""Which of a graph's operators AMD's DPUCZDX8G (Zynq UltraScale+, Kria) computes, and which its processor has to.

Decides by the product guide: PG338 names the operators, the Vitis AI user guide (UG1414 3.0, "Currently Supported
Operators", DPUCZDX8G_ISA1_B4096) their limits: kernels of 1 to 16, strides of 1 to 8, padding below the kernel, and a
kernel's weights of one output that fit a bank. What those name and nothing here writes (average pooling, transposed
convolutions, products) stays on the processor. Decides too where the unit's part ends: after the last convolution that
is not the box decoder's; what follows is float, on the processor. Refuses nothing: what is not supported is a line with
its reason. The compiler of a card has the last word.

    report = support_of(model)
    report.on_unit, report.on_processor
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import onnx
from onnx import numpy_helper

UNIT = "DPUCZDX8G"
_CHANNELS_AT_ONCE, _BANK_DEPTH = 16, 2048
_KERNEL_PX, _STRIDE_PX = 16, 8


@dataclass(frozen=True)
class Support:
    """Attributes:
    on_unit: how many nodes of each operator the unit computes. on_processor: the others, by operator.
    reasons: what the unit would compute and cannot, node => why.
    """

    on_unit: Mapping[str, int]
    on_processor: Mapping[str, int]
    reasons: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {"unit": UNIT, **asdict(self)}


def unit_nodes(model: onnx.ModelProto) -> dict[int, str]:
    """Place in the graph's list => why the unit cannot compute it, "" where it can; of all nodes of its part."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    return {place: _problem(model.graph.node[place], weights) for place in sorted(_body(model.graph))}


def support_of(model: onnx.ModelProto) -> Support:
    """Of a float model, its constants folded."""
    nodes, looked_at = model.graph.node, unit_nodes(model)
    taken = Counter(nodes[place].op_type for place, problem in looked_at.items() if not problem)
    rest = Counter(node.op_type for node in nodes if node.op_type != "Constant") - taken
    reasons = {nodes[place].name or f"node {place}": problem for place, problem in looked_at.items() if problem}
    return Support(dict(sorted(taken.items())), dict(sorted(rest.items())), reasons)


def is_decoder(node: onnx.NodeProto) -> bool:
    """The box decoder's expectation over distances is a convolution too."""
    return "/dfl/" in node.name


def _body(graph: onnx.GraphProto) -> set[int]:
    """All nodes from which a convolution is reached, those convolutions, and the activation of the last."""
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    found: set[int] = set()
    waiting = [place for place, node in enumerate(graph.node) if node.op_type == "Conv" and not is_decoder(node)]
    last = [name for place in waiting for name in graph.node[place].output]
    while waiting:
        place = waiting.pop()
        if place not in found:
            found.add(place)
            waiting += [makers[name] for name in graph.node[place].input if name in makers]
    activations = [place for place, node in enumerate(graph.node) if node.op_type in ("Relu", "Clip")]
    return found | {place for place in activations if graph.node[place].input[0] in last}


def _problem(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> str:
    if node.op_type in ("Add", "Concat"):
        return "one of its inputs is a constant" if any(name in weights for name in node.input) else ""
    if node.op_type == "Clip":
        bounds = [float(numpy_helper.to_array(weights[name])) for name in node.input[1:] if name in weights]
        return "" if bounds == [0.0, 6.0] else f"bounds of {bounds}, 0 and 6 wanted"
    if node.op_type == "Relu":
        return ""
    if node.op_type == "Resize":
        mode = next((each.s for each in node.attribute if each.name == "mode"), b"nearest")
        return "" if mode == b"nearest" else f"mode {mode.decode()}"
    if node.op_type not in ("Conv", "MaxPool"):
        return f"{node.op_type} is not written for it here"
    return _window_problem(node, weights)


def _window_problem(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> str:
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Conv" and node.input[1] not in weights:
        return "a kernel that is computed"
    shape = numpy_helper.to_array(weights[node.input[1]]).shape if node.op_type == "Conv" else ()
    group = int(given.get("group", 1))
    if group > 1 and shape[1] > 1:
        return f"{group} groups of {shape[1]} channels: one, or one channel a group, wanted"
    kernel = given.get("kernel_shape", shape[2:])
    if not all(1 <= side <= _KERNEL_PX for side in kernel):
        return f"a kernel of {'x'.join(map(str, kernel))}, 1 to {_KERNEL_PX} wanted"
    if not all(1 <= step <= _STRIDE_PX for step in given.get("strides", (1, 1))):
        return f"strides of {given['strides']}, 1 to {_STRIDE_PX} wanted"
    reach = [(side - 1) * step for side, step in zip(kernel, given.get("dilations", (1, 1)), strict=True)]
    if any(pad > most for pad, most in zip(given.get("pads", (0,) * 4), reach * 2, strict=True)):
        return f"padding of {given['pads']}, at most {reach} wanted"
    return _fits_bank(shape) if node.op_type == "Conv" else ""


def _fits_bank(shape: tuple[int, ...]) -> str:
    """(O, I, kH, kW): of one output channel."""
    depth = math.prod(shape[2:]) * math.ceil(shape[1] / _CHANNELS_AT_ONCE)
    return "" if depth <= _BANK_DEPTH else f"weights that are {depth} deep, at most {_BANK_DEPTH} wanted"
