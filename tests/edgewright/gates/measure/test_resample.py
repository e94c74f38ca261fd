"""Half-samples, and the intervals that are made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.gates.measure.resample import halves, ratio_interval, shift_interval, tile_rows


@given(st.integers(2, 40), st.integers(0, 5))
def test_a_half_sample_holds_no_picture_twice(n: int, seed: int) -> None:
    drawn = halves(n, rounds=7, rng=np.random.default_rng(seed))
    assert drawn.shape == (7, n // 2)
    assert all(len(set(row)) == n // 2 and set(row) <= set(range(n)) for row in drawn.tolist())


def test_half_samples_have_the_variance_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=60)
    means = np.array([values[row].mean() for row in halves(60, rounds=4000, rng=np.random.default_rng(1))])
    assert means.std() == pytest.approx(values.std(ddof=1) / np.sqrt(60), rel=0.05)


def test_intervals_hold_the_estimate() -> None:
    rounds = np.array([0.8, 1.0, 1.2, 1.1, 0.9]) * 3
    assert tile_rows(np.array([0, 2]), tiles_per_image=2).tolist() == [0, 1, 4, 5]
    low, high = ratio_interval(2.0, rounds)
    assert 1.6 <= low < 2.0 < high <= 2.4
    low, high = shift_interval(-1.0, rounds)
    assert -1.6 <= low < -1.0 < high <= -0.4
    assert ratio_interval(0.0, np.zeros(5)) == (0.0, 0.0)  # nothing is covered in any round
