from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.compress.fpga.operators import support_of, unit_nodes

RNG = np.random.default_rng(0)


def graph(nodes: list[onnx.NodeProto], constants: dict[str, Any]) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], given))


def conv(source: str, output: str, kernel: str, **given: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, kernel], [output], name=f"/{output}/Conv", **given)


def kernel(outputs: int, inputs: int, side: int) -> np.ndarray:
    return RNG.normal(size=(outputs, inputs, side, side)).astype(np.float32)


def test_the_units_part_ends_behind_the_last_convolution() -> None:
    nodes = [
        conv("x", "a", "k", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        conv("c", "d", "k2", kernel_shape=[1, 1]),
        helper.make_node("Clip", ["d", "zero", "six"], ["e"]),
        helper.make_node("Sigmoid", ["e"], ["f"]),
        helper.make_node("Concat", ["f", "f"], ["y"], axis=1),
    ]
    bounds = {"zero": np.float32(0), "six": np.float32(6)}
    model = graph(nodes, {"k": kernel(4, 3, 3), "k2": kernel(2, 4, 1), **bounds})
    assert unit_nodes(model) == dict.fromkeys(range(5), "")
    support = support_of(model)
    assert support.on_unit == {"Clip": 1, "Conv": 2, "MaxPool": 1, "Relu": 1}
    assert support.on_processor == {"Concat": 1, "Sigmoid": 1}
    assert support.to_json()["unit"] == "DPUCZDX8G"


@pytest.mark.parametrize(
    ("node", "constants", "reason"),
    [
        # a kernel as wide as no unit's
        (conv("x", "a", "k", kernel_shape=[17, 1]), {"k": np.zeros((1, 3, 17, 1), np.float32)}, "kernel of 17x1"),
        (conv("x", "a", "k", kernel_shape=[3, 3], strides=[9, 9]), {"k": kernel(1, 3, 3)}, "strides"),
        # padding beyond the kernel's reach
        (conv("x", "a", "k", kernel_shape=[1, 1], pads=[1, 1, 1, 1]), {"k": kernel(1, 3, 1)}, "padding"),
        # weights of one output that no bank holds: 16 * 16 * ceil(129 / 16) = 2304
        (conv("x", "a", "k", kernel_shape=[16, 16]), {"k": np.zeros((1, 129, 16, 16), np.float32)}, "2304 deep"),
        (helper.make_node("Sigmoid", ["x"], ["a"]), {}, "Sigmoid is not written"),
        (helper.make_node("Clip", ["x", "l", "h"], ["a"]), {"l": np.float32(-1), "h": np.float32(1)}, "0 and 6 wanted"),
        (helper.make_node("Concat", ["x", "s"], ["a"], axis=1), {"s": np.ones((1, 1), np.float32)}, "is a constant"),
        # grouped, but not depthwise
        (conv("x", "a", "k", kernel_shape=[1, 1], group=2), {"k": kernel(4, 2, 1)}, "2 groups of 2"),
        (conv("x", "a", "x"), {}, "a kernel that is computed"),
        (
            helper.make_node("Resize", ["x", "", "s"], ["a"], mode="linear"),
            {"s": np.ones(4, np.float32)},
            "mode linear",
        ),
        (helper.make_node("Add", ["x", "s"], ["a"]), {"s": np.ones(3, np.float32)}, "is a constant"),
    ],
)
def test_what_the_unit_cannot_is_said(node: onnx.NodeProto, constants: dict[str, Any], reason: str) -> None:
    model = graph([node, conv("a", "y", "last", kernel_shape=[1, 1])], {**constants, "last": kernel(1, 1, 1)})
    (said,) = support_of(model).reasons.values()
    assert reason in said


def test_a_kernels_shape_that_is_not_said_is_the_weights_own() -> None:
    nodes = [conv("x", "y", "k", pads=[1, 1, 1, 1])]
    assert unit_nodes(graph(nodes, {"k": kernel(2, 3, 3)})) == {0: ""}


def test_the_box_decoder_is_none_of_the_units() -> None:
    decoder = helper.make_node("Conv", ["b", "k2"], ["y"], name="/model.22/dfl/conv/Conv", kernel_shape=[1, 1])
    nodes = [conv("x", "a", "k", kernel_shape=[1, 1]), helper.make_node("Softmax", ["a"], ["b"]), decoder]
    assert list(unit_nodes(graph(nodes, {"k": kernel(2, 3, 1), "k2": kernel(1, 2, 1)}))) == [0]
