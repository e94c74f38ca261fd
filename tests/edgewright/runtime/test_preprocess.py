"""Picture → tensor."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.runtime.preprocess import PAD_VALUE, letterbox


@pytest.mark.parametrize(
    ("wh", "size_px", "scale", "pad_xy"),
    [
        # wide: gray above and below
        ((640, 480), 256, 0.4, (0, 32)),
        # tall: gray left and right
        ((100, 200), 64, 0.32, (16, 0)),
        # already right: nothing moves
        ((64, 64), 64, 1.0, (0, 0)),
        # too small, so it is enlarged
        ((16, 32), 64, 2.0, (16, 0)),
        # a thread: at least one px wide
        ((1, 500), 32, 0.064, (15, 0)),
    ],
)
def test_letterbox_geometry(wh: tuple[int, int], size_px: int, scale: float, pad_xy: tuple[int, int]) -> None:
    tensor, geometry = letterbox(np.full((wh[1], wh[0], 3), 255, np.uint8), size_px=size_px)
    assert tensor.shape == (1, 3, size_px, size_px)
    assert (tensor.dtype, tensor.flags["C_CONTIGUOUS"]) == (np.float32, True)
    assert (geometry.scale, geometry.pad_xy, geometry.source_wh) == (pytest.approx(scale), pad_xy, wh)
    gray = np.float32(PAD_VALUE) * np.float32(1 / 255)
    assert set(np.unique(tensor)) <= {gray, np.float32(1)}
    x, y = pad_xy
    assert tensor[0, 0, y, x] == 1
    assert tensor[0, 0, 0, 0] == (gray if x or y else 1)


def test_channels_stay_red_green_blue() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 255
    assert letterbox(image, size_px=32)[0][0].mean(axis=(1, 2)).tolist() == [1, 0, 0]
