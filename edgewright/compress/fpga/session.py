"""How a network in the unit's format is computed: by a card, or by its numbers on any processor.

Decides the emulation: every pair of QuantizeLinear and DequantizeLinear becomes scaling by a power of two, rounding
half up as the unit does (ONNX rounds half to even), clipping and scaling back, in 32-bit floats. Scales are powers of
two, so that nothing else rounds: products of integers are summed exactly while a sum stays below 2^24 units. Refuses to
call an emulation a card: `Fpga.run_by` says which of the two it was.

    fpga = open_fpga(model)
    fpga.run_by                       # "emulation", or "VitisAIExecutionProvider"
    fpga.network(tensor)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edgewright.compress.emulate import exact_session
from edgewright.errors import StageFailed
from edgewright.runtime.boxes import FloatArray
from edgewright.runtime.session import Network

PROVIDER, EMULATION = "VitisAIExecutionProvider", "emulation"
NUMBER_FORMAT = "INT8, one power-of-two scale a tensor, no zero point, rounded half up"


@dataclass(frozen=True)
class Fpga:
    """Attributes: run_by: PROVIDER or EMULATION."""

    network: Network
    run_by: str


def open_fpga(model: onnx.ModelProto, *, threads: int = 1) -> Fpga:
    """Args: model: as `quantize_for_fpga` makes it. threads: the emulation's.

    Raises:
        StageFailed: a provider that is installed and finds no card.
    """
    by = computed_by()
    session = _on_card(model) if by == PROVIDER else emulated(model, threads=threads)
    name = session.get_inputs()[0].name

    def run(tensor: FloatArray) -> FloatArray:
        return np.asarray(session.run(None, {name: tensor})[0], dtype=np.float32)

    return Fpga(run, by)


def computed_by() -> str:
    """What this machine has: PROVIDER or EMULATION."""
    return PROVIDER if PROVIDER in onnxruntime.get_available_providers() else EMULATION


def emulated(model: onnx.ModelProto, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """The emulation, whatever is installed."""
    return exact_session(emulation_of(model), threads=threads)


def emulation_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same numbers as float operators."""
    small = onnx.ModelProto()
    small.CopyFrom(model)
    graph = small.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    numbers = {"half": np.float32(0.5), "lowest": np.float32(-128), "highest": np.float32(127)}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            nodes += _rounded(node, float(constants[node.input[1]]), numbers)
        elif node.op_type == "DequantizeLinear":
            nodes.append(_scaled(node, float(constants[node.input[1]]), numbers, weight=node.input[0] in constants))
        else:
            nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), f"emulated/{name}") for name, value in numbers.items()
    )
    return small


def _rounded(node: onnx.NodeProto, scale: float, numbers: dict[str, np.float32]) -> list[onnx.NodeProto]:
    scaled, raised, whole = (f"{node.output[0]}/{step}" for step in ("scaled", "raised", "whole"))
    return [
        helper.make_node("Mul", [node.input[0], _number(1 / scale, numbers)], [scaled]),
        helper.make_node("Add", [scaled, "emulated/half"], [raised]),
        helper.make_node("Floor", [raised], [whole]),
        helper.make_node("Clip", [whole, "emulated/lowest", "emulated/highest"], [node.output[0]]),
    ]


def _scaled(node: onnx.NodeProto, scale: float, numbers: dict[str, np.float32], *, weight: bool) -> onnx.NodeProto:
    """An integer kernel is read as it is: its DequantizeLinear rounds nothing."""
    if weight:
        return node
    return helper.make_node("Mul", [node.input[0], _number(scale, numbers)], [node.output[0]])


def _number(value: float, numbers: dict[str, np.float32]) -> str:
    name = f"number/{value!r}"
    numbers[name] = np.float32(value)
    return f"emulated/{name}"


def _on_card(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Where the provider is installed and finds no card, the runtime would go on without it, and say nothing."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=[PROVIDER, "CPUExecutionProvider"], enable_fallback=0
    )
    if session.get_providers()[:1] != [PROVIDER]:
        raise StageFailed(
            "the VitisAI provider is installed and computes nothing here",
            expected=PROVIDER,
            got=", ".join(session.get_providers()),
            next_step="see that the card is set up, or use an onnxruntime without the provider: it is emulated then",
        )
    return session
