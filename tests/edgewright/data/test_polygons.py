"""Polygons and pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgewright.data.polygons import fill_polygons, is_box, outline_of
from edgewright.data.rle import decode_mask

masks = npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


@given(masks)
def test_a_filled_outline_is_the_mask(mask: np.ndarray) -> None:
    outline = outline_of(mask)
    filled = fill_polygons([outline] if len(outline) else [], shape=mask.shape)
    assert (filled.place(shape=mask.shape) == mask).all()
    if mask.any():
        assert (decode_mask(filled.encode(shape=mask.shape), shape=mask.shape) == mask).all()


@pytest.mark.parametrize(
    ("points", "pixels"),
    [
        ([[1, 1], [4, 1], [4, 3], [1, 3]], 6),  # whole pixels
        ([[1.4, 1], [4.4, 1], [4.4, 3], [1.4, 3]], 6),  # the middles count
        ([[0, 0], [8, 0], [0, 8]], 36),  # half of 64, the diagonal's middles inside
        ([[-5, -5], [50, -5], [50, 50], [-5, 50]], 64),  # cut at the borders
        ([[20, 20], [30, 20], [30, 30]], 0),  # outside
        ([[1, 1], [1, 1], [1, 1]], 0),  # a point
    ],
)
def test_the_pixels_of_a_polygon(points: list[list[float]], pixels: int) -> None:
    window = fill_polygons([np.array(points, float)], shape=(8, 8))
    assert window.place(shape=(8, 8)).sum() == pytest.approx(pixels, abs=8 if pixels == 36 else 0)
    assert (window.encode(shape=(8, 8)) == "") == (pixels == 0)


def test_parts_are_one_object_and_may_overlap() -> None:
    squares = [np.array([[x, 0], [x + 3, 0], [x + 3, 3], [x, 3]], float) for x in (0, 1, 5)]
    assert fill_polygons(squares, shape=(4, 8)).mask.sum() == 12 + 9


@given(st.lists(st.tuples(st.floats(-4, 12), st.floats(-4, 12)), min_size=3, max_size=8), st.integers(0, 7))
def test_where_a_polygon_begins_does_not_matter(points: list[tuple[float, float]], shift: int) -> None:
    one = np.array(points)
    other = np.roll(one, shift, axis=0)[::-1]
    first, second = (fill_polygons([points], shape=(8, 8)).place(shape=(8, 8)) for points in (one, other))
    assert (first == second).all()


def test_a_box_is_told_from_an_outline() -> None:
    box = np.array([[1, 1], [4, 1], [4, 3], [1, 3], [1, 1]], float)
    assert is_box(box)
    assert not is_box(box + np.array([[0, 0], [0, 0], [0.5, 0], [0, 0], [0, 0]]))
