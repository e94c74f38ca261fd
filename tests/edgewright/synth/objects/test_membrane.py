"""The membrane: constant differences stay constant, others are continued smoothly and within bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.synth.matte import ellipse
from edgewright.synth.objects.membrane import Rim, membrane


def ring(width: int, height: int) -> np.ndarray:
    """True outside the ellipse that fills the middle 1 / 1.4 of the sides."""
    inner = (round(width / 1.4), round(height / 1.4))
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    rim = np.ones((height, width), np.bool_)
    rim[y : y + inner[1], x : x + inner[0]] = ~ellipse(*inner)
    return rim


def inside(difference: np.ndarray, mask: np.ndarray, *, usual: np.ndarray) -> np.ndarray:
    return membrane(difference[mask], Rim.of(mask), usual=usual, limit=12)


@given(width=st.integers(6, 90), height=st.integers(6, 90), value=st.floats(-20, 20))
def test_one_difference_all_around_is_the_membrane(width: int, height: int, value: float) -> None:
    difference = np.full((height, width, 3), value, np.float32)
    usual = np.full(3, value, np.float32)
    found = inside(difference, ring(width, height), usual=usual)
    assert found.shape == (height, width, 3)
    assert found == pytest.approx(value, abs=1e-3)


def test_a_gradient_along_the_rim_is_continued_across() -> None:
    ramp = np.tile(np.linspace(-10, 10, 40, dtype=np.float32)[None, :, None], (30, 1, 3))
    found = inside(ramp, ring(40, 30), usual=np.zeros(3, np.float32))
    assert found[15, 20] == pytest.approx(0, abs=0.5)
    assert found[15, 6].mean() < -4 and found[15, 33].mean() > 4
    assert (np.diff(found[15, 4:36, 0]) > -1e-4).all(), "it rises with the rim, without waves"


def test_a_neighbor_on_the_rim_does_not_flood_the_crop() -> None:
    difference = np.zeros((30, 30, 3), np.float32)
    difference[:, 24:] = 200
    found = inside(difference, ring(30, 30), usual=np.zeros(3, np.float32))
    assert found.min() >= 0 and found.max() <= 12
    assert found[15, 4].max() < 3
