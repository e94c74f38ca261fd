"""The emulation against integer arithmetic by hand: every operator of the unit's, shifts instead of scales."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.compress.emulate import exact_session
from edgewright.compress.fpga import session
from edgewright.compress.fpga.quantize import exponent_of, largest_sum, quantize_for_fpga, to_integers
from edgewright.compress.fpga.session import EMULATION, PROVIDER, computed_by, emulated, open_fpga
from edgewright.errors import InputError, StageFailed

Integers = npt.NDArray[np.int64]
SIDE = 12


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def model(nodes: Sequence[onnx.NodeProto], constants: dict[str, Any], shape: Sequence[int]) -> onnx.ModelProto:
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, list(shape)),
    ]
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    made = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], given))
    made.opset_import[0].version, made.ir_version = 17, 9
    return made


def shifted(values: Integers, shift: int) -> Integers:
    """By powers of two, rounded half up, as an arithmetic shift does with a half added before."""
    moved = values << -shift if shift <= 0 else (values + (1 << (shift - 1))) >> shift
    return np.clip(moved, -128, 127)


def convolved(image: Integers, kernel: Integers, bias: Integers) -> Integers:
    """3 × 3, padding 1; sums of products, in 64 bits."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(kernel), *image.shape[1:]), np.int64)
    for channel, y, x in np.ndindex(*out.shape):
        out[channel, y, x] = (padded[:, y : y + 3, x : x + 3] * kernel[channel]).sum() + bias[channel]
    return out


def exponents(written: onnx.ModelProto) -> dict[str, int]:
    """Tensor => the exponent it was given."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in written.graph.initializer}
    return {
        node.input[0]: int(np.log2(constants[node.input[1]]))
        for node in written.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    }


def test_scales_are_powers_of_two_one_a_tensor_and_there_is_no_zero_point(rng: np.random.Generator) -> None:
    values = rng.normal(size=1000).astype(np.float32)
    best = exponent_of(values)
    errors = {e: np.square(np.ldexp(to_integers(values, e).astype(float), e) - values).sum() for e in range(-12, 3)}
    assert errors[best] == min(errors.values())
    assert exponent_of(values, least=3) == 3
    assert to_integers(np.array([0.5, 1.5, -0.5, -1.5, 200.0, -200.0]), 0).tolist() == [1, 2, 0, -1, 127, -128]
    assert exponent_of(np.zeros(4, np.float32)) < -20, "nothing but zeros is finest"


def test_a_convolution_and_its_relu_are_integers_by_hand(rng: np.random.Generator) -> None:
    kernel, bias = rng.normal(size=(4, 3, 3, 3)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    image = rng.random((1, 3, SIDE, SIDE), np.float32)
    written = quantize_for_fpga(model(nodes, {"k": kernel, "b": bias}, [1, 4, SIDE, SIDE]), lambda: [image])
    scale = exponents(written)
    of_input, of_output = scale["x"], scale["y"]
    of_kernel, of_bias = exponent_of(kernel), exponent_of(bias, least=of_input + exponent_of(kernel))
    sums = convolved(
        to_integers(image[0], of_input).astype(np.int64),
        to_integers(kernel, of_kernel).astype(np.int64),
        to_integers(bias, of_bias).astype(np.int64) << (of_bias - of_input - of_kernel),
    )
    expected = np.maximum(shifted(sums, of_output - of_input - of_kernel), 0)
    (found,) = emulated(written).run(None, {"x": image})
    np.testing.assert_array_equal(np.ldexp(found[0], -of_output), expected)
    assert len(np.unique(expected)) > 20, "no picture of zeros"
    kinds = [node.op_type for node in written.graph.node]
    assert kinds.count("QuantizeLinear") == 2, "not between a convolution and its activation"


@pytest.mark.parametrize("tiny", [1.0, 1e-4])
def test_a_depthwise_convolution_with_a_stride_and_relu6_are_integers_by_hand(
    rng: np.random.Generator, tiny: float
) -> None:
    """A bias is never finer than the sums that it is added to."""
    kernel, bias = rng.normal(size=(3, 1, 3, 3)).astype(np.float32), (tiny * rng.normal(size=3)).astype(np.float32)
    given = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "group": 3}
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["a"], **given),
        helper.make_node("Clip", ["a", "none", "six"], ["y"]),
    ]
    bounds = {"none": np.float32(0), "six": np.float32(6)}
    floats = model(nodes, {"k": kernel, "b": bias, **bounds}, [1, 3, SIDE // 2, SIDE // 2])
    image = 4 * rng.random((1, 3, SIDE, SIDE), np.float32)
    written = quantize_for_fpga(floats, lambda: [image])
    scale = exponents(written)
    of_input, of_output, of_kernel = scale["x"], scale["y"], scale["a/1"]
    assert scale["a/2"] >= of_input + of_kernel
    x = np.pad(to_integers(image[0], of_input).astype(np.int64), ((0, 0), (1, 1), (1, 1)))
    weights = to_integers(kernel, of_kernel).astype(np.int64)[:, 0]
    raised = to_integers(bias, scale["a/2"]).astype(np.int64) << (scale["a/2"] - of_input - of_kernel)
    sums = np.zeros((3, SIDE // 2, SIDE // 2), np.int64)
    for channel, row, column in np.ndindex(*sums.shape):
        patch = x[channel, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        sums[channel, row, column] = (patch * weights[channel]).sum() + raised[channel]
    six = 6 * 2.0 ** -(of_input + of_kernel)
    expected = shifted(np.clip(sums, 0, round(six)), of_output - of_input - of_kernel)
    (found,) = emulated(written).run(None, {"x": image})
    np.testing.assert_array_equal(np.ldexp(found[0], -of_output), expected)
    assert largest_sum(written) >= np.abs(sums - raised[:, None, None]).max()


def test_what_was_silent_while_it_was_calibrated_may_speak(rng: np.random.Generator) -> None:
    kernel = np.abs(rng.normal(size=(2, 3, 1, 1))).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "k"], ["a"], kernel_shape=[1, 1]), helper.make_node("Relu", ["a"], ["y"])]
    written = quantize_for_fpga(
        model(nodes, {"k": kernel}, [1, 2, SIDE, SIDE]), lambda: [-np.ones((1, 3, SIDE, SIDE), np.float32)]
    )
    (found,) = emulated(written).run(None, {"x": np.ones((1, 3, SIDE, SIDE), np.float32)})
    assert found.max() > 0.5


def test_the_processor_reads_what_it_made_as_it_made_it(rng: np.random.Generator) -> None:
    kernel = rng.normal(size=(3, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"]),
        helper.make_node("Conv", ["s", "k"], ["c"], kernel_shape=[1, 1]),
        helper.make_node("Mul", ["s", "c"], ["y"]),
    ]
    written = quantize_for_fpga(
        model(nodes, {"k": kernel}, [1, 3, SIDE, SIDE]), lambda: [rng.random((1, 3, SIDE, SIDE), np.float32)]
    )
    (product,) = [node for node in written.graph.node if node.op_type == "Mul"]
    assert product.input[0] == "s"
    assert product.input[1] != "c", "what the unit made comes rounded"


def test_a_sum_aligns_its_terms_a_concatenation_moves_them_and_the_rest_only_picks(rng: np.random.Generator) -> None:
    kernel = {f"k{i}": rng.normal(scale=3.0**i, size=(2, 3, 1, 1)).astype(np.float32) for i in range(3)}
    sizes = {"none": np.zeros(0, np.float32), "twice": np.array([1, 1, 2, 2], np.float32)}
    nodes = [
        *(helper.make_node("Conv", ["x", f"k{i}"], [f"c{i}"], kernel_shape=[1, 1]) for i in range(3)),
        helper.make_node("Add", ["c0", "c1"], ["sum"]),
        helper.make_node("Concat", ["sum", "c2"], ["both"], axis=1),
        helper.make_node("MaxPool", ["both"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["pooled", "none", "twice"], ["grown"], mode="nearest"),
        helper.make_node("Conv", ["grown", "last"], ["y"], kernel_shape=[1, 1]),
    ]
    last = rng.normal(size=(1, 4, 1, 1)).astype(np.float32)
    floats = model(nodes, {**kernel, **sizes, "last": last}, [1, 1, SIDE, SIDE])
    image = rng.random((1, 3, SIDE, SIDE), np.float32)
    written = quantize_for_fpga(floats, lambda: [image])
    scale = exponents(written)
    x = to_integers(image[0], scale["x"]).astype(np.int64)
    parts = []
    for i in range(3):
        of_kernel = exponent_of(kernel[f"k{i}"])
        weights = to_integers(kernel[f"k{i}"], of_kernel).astype(np.int64)[:, :, 0, 0]
        parts.append(shifted(np.einsum("oi,ihw->ohw", weights, x), scale[f"c{i}"] - scale["x"] - of_kernel))
    finest = min(scale["c0"], scale["c1"])
    aligned = (parts[0] << (scale["c0"] - finest)) + (parts[1] << (scale["c1"] - finest))
    total = shifted(aligned, scale["sum"] - finest)
    both = np.concatenate(
        [shifted(total, scale["both"] - scale["sum"]), shifted(parts[2], scale["both"] - scale["c2"])]
    )
    pooled = shifted(both.reshape(4, SIDE // 2, 2, SIDE // 2, 2).max(axis=(2, 4)), scale["pooled"] - scale["both"])
    grown = shifted(pooled.repeat(2, axis=1).repeat(2, axis=2), scale["grown"] - scale["pooled"])
    of_last = exponent_of(last)
    weights = to_integers(last, of_last).astype(np.int64)[:, :, 0, 0]
    expected = shifted(np.einsum("oi,ihw->ohw", weights, grown), scale["y"] - scale["grown"] - of_last)
    (found,) = emulated(written).run(None, {"x": image})
    np.testing.assert_array_equal(np.ldexp(found[0], -scale["y"]), expected)


def test_where_nothing_lies_halfway_the_file_as_written_says_the_same(rng: np.random.Generator) -> None:
    kernel = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "k"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])]
    image = rng.random((1, 3, SIDE, SIDE), np.float32)
    written = quantize_for_fpga(model(nodes, {"k": kernel}, [1, 4, SIDE, SIDE]), lambda: [image])
    (plain,) = exact_session(written).run(None, {"x": image})
    (found,) = emulated(written).run(None, {"x": image})
    apart = np.abs(plain - found)
    step = 2.0 ** exponents(written)["y"]
    assert set(np.unique(apart / step)) <= {0.0, 1.0}, "a half goes up here and to even there"
    assert (apart > 0).mean() < 0.05


def test_who_computes_is_said_and_nothing_is_calibrated_on_nothing(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = rng.normal(size=(1, 3, 1, 1)).astype(np.float32)
    floats = model(
        [helper.make_node("Conv", ["x", "k"], ["y"], kernel_shape=[1, 1])], {"k": kernel}, [1, 1, SIDE, SIDE]
    )
    image = rng.random((1, 3, SIDE, SIDE), np.float32)
    opened = open_fpga(quantize_for_fpga(floats, lambda: [image]))
    assert opened.run_by == EMULATION
    assert opened.network(image).shape == (1, 1, SIDE, SIDE)
    with pytest.raises(InputError, match="no picture to calibrate on"):
        quantize_for_fpga(floats, list)
    nothing = model([helper.make_node("Sigmoid", ["x"], ["y"])], {}, [1, 3, SIDE, SIDE])
    with pytest.raises(InputError, match="nothing in the graph is the unit's"):
        quantize_for_fpga(nothing, lambda: [image])
    monkeypatch.setattr(session.onnxruntime, "get_available_providers", lambda: [PROVIDER, "CPUExecutionProvider"])
    assert computed_by() == PROVIDER
    graph = quantize_for_fpga(floats, lambda: [image])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the runtime's own, of a provider that it does not have
        with pytest.raises(StageFailed, match="installed and computes nothing here"):
            open_fpga(graph)
