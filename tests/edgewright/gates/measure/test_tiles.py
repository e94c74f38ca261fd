"""One scale, and tiles cut from it: where the data gate looks at a picture."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.data.rows import Row
from edgewright.gates.measure.tiles import Scale, centered_corners, cut_tiles, random_corners
from edgewright.runtime.boxes import Boxes


@pytest.mark.parametrize(
    "wh",
    [
        (640, 480),  # a photograph: reduced twice
        (192, 144),  # a synthetic picture: reduced once
        (96, 72),  # smaller than both: enlarged
    ],
)
def test_everything_ends_at_one_scale(wh: tuple[int, int]) -> None:
    scale = Scale.of([Row(id=str(i), sha256="", width=192, height=144) for i in range(3)])
    assert (scale.synthetic_px, scale.common_px) == (192, 144)
    assert scale.reduce(np.zeros((wh[1], wh[0], 3), np.uint8)).shape == (108, 144, 3)


def test_tiles_are_cut_where_asked_and_mirrored_at_the_border() -> None:
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    inside, outside = cut_tiles(image, [(1, 0), (-2, 3)], tile_px=3)
    np.testing.assert_array_equal(inside, image[:3, 1:4])
    np.testing.assert_array_equal(outside, image[[3, 3, 2]][:, [1, 0, 0]])
    corners = random_corners(image, tile_px=3, count=50, rng=np.random.default_rng(0))
    assert {x for x, _ in corners} == {0, 1, 2}
    assert {y for _, y in corners} == {0, 1}
    assert centered_corners(Boxes.of([[10, 20, 30, 40]], class_id=[0]), scale=0.5, tile_px=4) == [(8, 13)]
