"""Weights that cannot saturate: they hold on every x86, and lose no more than 7 bits do."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgewright.compress.emulate import exact_network, with_saturation
from edgewright.compress.export import minify
from edgewright.compress.qdq import quantized_convs
from edgewright.compress.safe import make_safe, rounded, safe_scale
from edgewright.compress.saturation import MAX_MASS, largest_masses
from edgewright.runtime.decode import decode
from edgewright.runtime.preprocess import letterbox
from tests.convolutions import OUTPUT_SCALE, SPEC, conv_models, yellow_detector, yellow_picture

KERNELS = arrays.arrays(np.float32, (2, 3, 2, 2), elements=st.floats(-1, 1, width=32))
HEAVY = np.array([[1, 0.9, 0, 0.2], [1, -0.9, 0.4, 0.5]], np.float32).reshape(2, 4, 1, 1)
"""The first channel can saturate, the second cannot."""
SEEN = [np.linspace(0, 1, 4 * 64, dtype=np.float32).reshape(1, 4, 8, 8)]


@given(KERNELS, st.booleans())
def test_no_pair_can_saturate_and_no_scale_is_wider_than_seven_bits(weight: np.ndarray, together: bool) -> None:
    scale = safe_scale(weight, together=together)
    assert largest_masses(rounded(weight, scale)).max() <= MAX_MASS
    largest = np.abs(weight).reshape(2, -1).max(axis=1)
    assert (scale <= np.maximum((largest.max() if together else largest) * 2 / 127 * (1 + 1e-6), 1e-37)).all()


def test_a_channel_that_cannot_saturate_keeps_its_bits() -> None:
    floats, int8 = conv_models(HEAVY)
    safe = make_safe(int8, floats, SEEN, max_loss=1.0)
    before, after = (quantized_convs(model)[0] for model in (int8, safe.model))
    assert (safe.narrowed, safe.in_float) == (("conv",), ())
    assert after.weight_scale[1] == before.weight_scale[1]
    assert (after.weight[1] == before.weight[1]).all()
    assert after.weight_scale[0] == pytest.approx(1.9 / 127)


@pytest.mark.parametrize(
    ("shape", "attributes", "per_channel"),
    [
        ((4, 4, 3, 3), {"pads": [1, 1, 1, 1]}, True),
        ((4, 4, 3, 3), {"pads": [1, 1, 1, 1]}, False),
        ((4, 3, 1, 1), {}, True),
        ((4, 2, 3, 3), {"group": 2}, True),
    ],
)
def test_the_safe_file_is_one_on_every_processor(
    shape: tuple[int, ...], attributes: dict[str, Any], per_channel: bool
) -> None:
    random = np.random.default_rng(1)
    weight, bias = random.uniform(-1, 1, shape).astype(np.float32), random.uniform(-1, 1, 4).astype(np.float32)
    floats, int8 = conv_models(weight, bias=bias, per_channel=per_channel, **attributes)
    inputs = attributes.get("group", 1) * shape[1]
    safe = make_safe(int8, floats, [np.ones((1, inputs, 8, 8), np.float32)], max_loss=1.0).model
    seen = random.uniform(0, 1, (1, inputs, 8, 8)).astype(np.float32)
    assert with_saturation(safe).layers == ()
    assert with_saturation(int8).layers
    expected = np.clip(exact_network(floats)(seen), -2, 127 * OUTPUT_SCALE)
    assert np.abs(exact_network(safe)(seen) - expected).max() < 0.12  # biases are counted in the new steps
    onnx.checker.check_model(safe)


def test_a_bias_beside_a_kernel_near_zero_is_kept() -> None:
    """In steps of its own kernel it would overflow 32 bits: the quantizer had widened the scale for it."""
    floats, int8 = conv_models(
        HEAVY * np.array([1, 1e-12], np.float32).reshape(2, 1, 1, 1), bias=np.full(2, 0.5, np.float32)
    )
    safe = make_safe(int8, floats, SEEN, max_loss=1.0).model
    dark = np.zeros((1, 4, 8, 8), np.float32)
    assert exact_network(safe)(dark) == pytest.approx(0.5, abs=OUTPUT_SCALE)


def test_a_kernel_that_loses_too_much_stays_in_float() -> None:
    floats, int8 = conv_models(HEAVY, bias=np.array([0.3, -0.3], np.float32))
    safe = make_safe(int8, floats, SEEN, max_loss=0.001)
    assert (safe.narrowed, safe.in_float) == ((), ("conv",))
    assert quantized_convs(safe.model) == ()
    assert not [tensor.name for tensor in safe.model.graph.initializer if tensor.name.startswith(("w_", "b_"))]
    seen = np.full((1, 4, 8, 8), 0.5, np.float32)
    assert np.abs(exact_network(minify(safe.model))(seen) - exact_network(floats)(seen)).max() <= OUTPUT_SCALE


def test_float_has_to_fit_into_the_file() -> None:
    floats, int8 = conv_models(HEAVY)
    assert make_safe(int8, floats, SEEN, max_loss=0.0, max_bytes=minify(int8).ByteSize()).in_float == ()
    assert make_safe(int8, floats, SEEN, max_loss=0.0).in_float == ("conv",)


def test_a_depthwise_kernel_is_left_alone() -> None:
    floats, int8 = conv_models(np.ones((4, 1, 3, 3), np.float32), group=4)
    safe = make_safe(int8, floats, SEEN, max_loss=0.0)
    assert (safe.model, safe.narrowed, safe.in_float) == (int8, (), ())


def test_a_detector_that_collapses_and_one_that_does_not() -> None:
    floats, int8 = yellow_detector()
    tensor = letterbox(yellow_picture(bright=3, pale=0), size_px=SPEC.input_px)[0]
    safe = make_safe(int8, floats, [tensor], max_loss=1.0).model

    def scores(model: onnx.ModelProto) -> list[float]:
        output = exact_network(with_saturation(model).model)(tensor)
        found = decode(output, layout="dense", score_threshold=0.25, iou_threshold=0.6)
        return [round(score, 2) for score in found.score.tolist()]

    assert scores(int8) == [0.5, 0.5]  # nothing tells the object from what is none
    assert scores(safe) == pytest.approx([0.98, 0.59], abs=0.02)
