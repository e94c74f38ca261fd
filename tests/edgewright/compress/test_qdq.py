from __future__ import annotations

import numpy as np
import pytest

from edgewright.compress.export import minify
from edgewright.compress.qdq import quantized_convs
from edgewright.errors import StageFailed
from tests.convolutions import conv_models

WEIGHT = np.linspace(-1, 1, 2 * 3 * 9, dtype=np.float32).reshape(2, 3, 3, 3)


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_convolution_as_the_quantizer_writes_it(per_channel: bool) -> None:
    _, model = conv_models(WEIGHT, zero_point=7, per_channel=per_channel, pads=[1, 0, 1, 0], strides=[2, 1])
    (conv,) = quantized_convs(model)
    assert (conv.name, conv.input_zero_point, conv.pads, conv.strides) == ("conv", 7, (1, 0, 1, 0), (2, 1))
    back = conv.weight * conv.weight_scale.reshape(-1, 1, 1, 1)
    assert np.abs(back - WEIGHT).max() <= conv.weight_scale.max() / 2 + 1e-7


def test_one_without_a_name_is_called_by_its_place() -> None:
    _, model = conv_models(WEIGHT)
    assert [conv.name for conv in quantized_convs(minify(model))] == ["convolution 0, 2x3x3x3"]


def test_a_float_convolution_is_none() -> None:
    assert quantized_convs(conv_models(WEIGHT)[0]) == ()


def test_padding_that_is_left_to_the_runtime_is_refused() -> None:
    _, model = conv_models(WEIGHT, auto_pad="SAME_UPPER")
    with pytest.raises(StageFailed, match="padding is not explicit"):
        quantized_convs(model)


@pytest.mark.parametrize(("shape", "group", "depthwise"), [((4, 1), 4, True), ((8, 1), 4, False), ((4, 2), 2, False)])
def test_what_is_depthwise(shape: tuple[int, int], group: int, depthwise: bool) -> None:
    _, model = conv_models(np.ones((*shape, 1, 1), np.float32), group=group)
    assert quantized_convs(model)[0].depthwise is depthwise
