"""Biases that take back what rounding adds on average."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from edgewright.compress.bias import correct_biases, mean_patches
from edgewright.compress.emulate import exact_network
from edgewright.compress.qdq import quantized_convs
from tests.convolutions import conv_models

SEEN = [np.random.default_rng(n).uniform(0, 1, (1, 4, 8, 8)).astype(np.float32) for n in range(4)]


def corrected_biases(int8: onnx.ModelProto, floats: onnx.ModelProto) -> onnx.ModelProto:
    return correct_biases(int8, floats, mean_patches(floats, quantized_convs(int8), SEEN))


def off(model: onnx.ModelProto, floats: onnx.ModelProto) -> float:
    """The largest difference of a channel's mean."""
    means = [np.mean([exact_network(one)(x).mean(axis=(0, 2, 3)) for x in SEEN], axis=0) for one in (model, floats)]
    return float(np.abs(means[0] - means[1]).max())


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((3, 4, 3, 3), {}),
        ((3, 4, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ((3, 4, 2, 3), {"pads": [1, 0, 0, 2], "dilations": [2, 1]}),
        ((4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
        ((4, 2, 1, 1), {"group": 2}),
    ],
)
@pytest.mark.parametrize("per_channel", [True, False])
def test_the_mean_of_every_channel_is_the_float_models(
    shape: tuple[int, ...], attributes: dict[str, Any], per_channel: bool
) -> None:
    rng = np.random.default_rng(0)
    # Beside one large weight the small ones round to nothing, and what they add up to is lost.
    weight = np.abs(rng.normal(0, 0.0035, shape)).astype(np.float32)
    weight[:, 0, 0, 0] = 1.0
    bias = rng.uniform(0, 0.1, shape[0]).astype(np.float32)
    floats, int8 = conv_models(weight, bias=bias, per_channel=per_channel, **attributes)
    corrected = corrected_biases(int8, floats)
    assert off(corrected, floats) < max(off(int8, floats) / 3, 1 / 255)
    assert off(corrected, floats) < off(int8, floats)
    before, after = (quantized_convs(model)[0] for model in (int8, corrected))
    assert (before.weight == after.weight).all()


def test_a_model_without_quantized_convolutions_stays_as_it_is() -> None:
    floats, _ = conv_models(np.ones((1, 4, 1, 1), np.float32))
    assert corrected_biases(floats, floats) == floats
