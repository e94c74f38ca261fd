from __future__ import annotations

import numpy as np
import pytest

from edgewright.compress.emulate import with_saturation
from edgewright.compress.export import minify
from edgewright.compress.layers import compare_layers, kernel_errors
from edgewright.errors import StageFailed
from tests.convolutions import conv_models

WEIGHT = np.ones((1, 2, 1, 1), np.float32)
WHITE, GRAY = (np.full((1, 2, 8, 8), level, np.float32) for level in (1.0, 0.2))


def test_an_error_is_relative_and_of_all_pictures() -> None:
    floats, int8 = conv_models(WEIGHT)
    (written,) = compare_layers(floats, int8, [WHITE, GRAY])
    assert (written.name, written.error) == ("conv", pytest.approx(0, abs=0.01))
    saturated = with_saturation(int8).model
    assert compare_layers(floats, saturated, [GRAY])[0].error == pytest.approx(0, abs=0.01)
    assert compare_layers(floats, saturated, [WHITE])[0].error == pytest.approx(0.494, abs=0.01)  # 32767 of 64770
    assert compare_layers(floats, saturated, [WHITE, GRAY])[0].error == pytest.approx(0.485, abs=0.01)


def test_a_kernel_is_judged_on_the_float_models_input() -> None:
    floats, _ = conv_models(WEIGHT, bias=np.array([1.0], np.float32))
    (layer,) = kernel_errors(floats, {"conv": WEIGHT * 0.75}, [WHITE])
    assert (layer.name, layer.error) == ("conv", pytest.approx(0.5 / 3))  # of 1 + 1 and the bias
    assert kernel_errors(floats, {"conv": WEIGHT}, [WHITE])[0].error == 0


def test_other_convolutions_are_refused() -> None:
    floats, int8 = conv_models(WEIGHT)
    with pytest.raises(StageFailed, match="other convolutions"):
        compare_layers(floats, minify(int8), [WHITE])
