"""The emulating graph gives what exact integers give, whatever the convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from edgewright.compress.emulate import exact_network, measure_saturation, with_saturation
from edgewright.compress.qdq import QuantizedConv, quantized_convs
from edgewright.compress.saturation import in_kernel_order, pair_sums, saturating_sums
from edgewright.runtime.boxes import FloatArray
from tests.convolutions import OUTPUT_SCALE, conv_models

RANDOM = np.random.default_rng(0)


def kernel(*shape: int) -> FloatArray:
    """Heavy pairs everywhere: what weights of 8 bits look like where a tensor was quantized as a whole."""
    return RANDOM.uniform(-1, 1, shape).astype(np.float32)


def windows(conv: QuantizedConv, seen: np.ndarray, *, group: int) -> np.ndarray:
    """(C, H, W) uint8 => (N, K) in kernel order, padded with the zero point; and how many rows and columns N is."""
    of_group, (height, width) = conv.weight.shape[1], conv.weight.shape[2:]
    top, left, bottom, right = conv.pads
    part = seen[group * of_group : (group + 1) * of_group]
    padded = np.pad(part, ((0, 0), (top, bottom), (left, right)), constant_values=conv.input_zero_point)
    reach = [(side - 1) * step + 1 for side, step in zip((height, width), conv.dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    view = view[:, :: conv.strides[0], :: conv.strides[1], :: conv.dilations[0], :: conv.dilations[1]]
    rows = view.transpose(1, 2, 0, 3, 4).reshape(-1, of_group, height, width)
    return in_kernel_order(rows)


def by_hand(conv: QuantizedConv, seen: np.ndarray) -> np.ndarray:
    """(O, N) sums of the kernels without VNNI; a depthwise convolution's are exact."""
    of_group = len(conv.weight) // conv.group
    parts = []
    for group in range(conv.group):
        weights = in_kernel_order(conv.weight[group * of_group : (group + 1) * of_group])
        columns = windows(conv, seen, group=group)
        sums = pair_sums(columns, weights).sum(axis=2) if conv.depthwise else saturating_sums(columns, weights)
        parts.append(sums.T)
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((6, 8, 1, 1), {}),
        ((6, 5, 1, 1), {}),  # an odd number of channels: the last has no neighbor
        ((6, 8, 3, 3), {"pads": [1, 1, 1, 1]}),
        ((6, 3, 3, 3), {"pads": [1, 1, 1, 1]}),  # pairs of two places
        ((4, 4, 3, 3), {"pads": [0, 1, 2, 1], "strides": [2, 2]}),
        ((4, 4, 3, 3), {"pads": [2, 2, 2, 2], "dilations": [2, 2]}),
        ((4, 2, 5, 3), {"strides": [1, 2]}),
        ((6, 4, 3, 3), {"pads": [1, 1, 1, 1], "group": 2}),
        ((8, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 8}),  # depthwise: nothing saturates
        ((8, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 4}),  # two outputs a channel: not depthwise
    ],
)
@pytest.mark.parametrize("zero_point", [0, 3])
def test_the_graph_equals_exact_integers(shape: tuple[int, ...], attributes: dict[str, Any], zero_point: int) -> None:
    _, model = conv_models(kernel(*shape), zero_point=zero_point, **attributes)
    (conv,) = quantized_convs(model)
    seen = RANDOM.integers(0, 256, (conv.group * shape[1], 8, 8), dtype=np.uint8)
    emulation = with_saturation(model)
    (got,) = exact_network(emulation.model)((seen.astype(np.float32)[None] - zero_point) / 255)
    whole = by_hand(conv, seen) - zero_point * conv.weight.reshape(len(conv.weight), -1).sum(axis=1)[:, None]
    real = whole * (conv.weight_scale / np.float32(255))[:, None]
    expected = np.clip(np.rint(real / OUTPUT_SCALE), -128, 127) * OUTPUT_SCALE
    assert np.abs(got.reshape(expected.shape) - expected).max() <= OUTPUT_SCALE  # a tie may round either way
    assert (np.abs(got.reshape(expected.shape) - expected) > OUTPUT_SCALE / 2).mean() < 0.01
    assert bool(emulation.layers) is not conv.depthwise


def test_it_differs_from_what_was_written() -> None:
    _, model = conv_models(np.ones((1, 2, 1, 1), np.float32))
    white = np.ones((1, 2, 8, 8), np.float32)
    assert exact_network(model)(white).max() == pytest.approx(127 * OUTPUT_SCALE)
    assert exact_network(with_saturation(model).model)(white).max() == pytest.approx(1.0, abs=0.02)


def test_a_model_that_cannot_saturate_is_left_as_it_is() -> None:
    _, model = conv_models(np.array([1, -1], np.float32).reshape(1, 2, 1, 1))
    emulation = with_saturation(model)
    assert emulation.layers == ()
    assert emulation.model == model
    assert measure_saturation(emulation, [np.ones((1, 2, 8, 8), np.float32)]) == ()


def test_what_saturates_is_counted() -> None:
    weight = np.array([[1, 1, 1, 0], [1, 0, 0, 1]], np.float32).reshape(2, 4, 1, 1)
    emulation = with_saturation(conv_models(weight)[1])
    bright, dark = np.ones((1, 4, 8, 8), np.float32), np.zeros((1, 4, 8, 8), np.float32)
    (layer,) = measure_saturation(emulation, [bright, dark])
    assert layer.share == pytest.approx(1 / 4 / 2)  # one of four pairs, on one of two pictures
    assert layer.largest == pytest.approx(2 * 127 * 255 / 32767)


def test_the_exact_network_runs_no_int8_kernel(tmp_path: Any) -> None:
    """With the optimizations on, this graph becomes one QLinearConv: what a processor without VNNI gets wrong."""
    from edgewright.compress.emulate import exact_session

    _, model = conv_models(kernel(4, 4, 1, 1))
    session = exact_session(model)
    assert isinstance(session, onnxruntime.InferenceSession)
    level = session.get_session_options().graph_optimization_level
    assert level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
