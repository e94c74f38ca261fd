"""Repeat factors: tables, and what holds for any set of pictures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.detect.repeats import repeat_factors


@pytest.mark.parametrize(
    ("classes", "factors"),
    [
        ([], []),
        ([[], [0]], [1, 1]),  # nothing on it: as often as any
        ([[0], [1], [2]], [1, 1, 1]),  # equally rare is not rare
        ([[0], [0], [0], [0, 1]], [1, 1, 1, 2]),  # of 4 and 5: sqrt(sqrt(4/4 * 4/5) / sqrt(1/4 * 1/5)) = 2
        ([[0] * 99, [0] * 99, [1]], [1, 1, 4]),  # at most 4 times
    ],
)
def test_factors(classes: list[list[int]], factors: list[float]) -> None:
    assert repeat_factors(classes, most=4.0) == pytest.approx(factors)


@given(st.lists(st.lists(st.integers(0, 4), max_size=6), max_size=12), st.floats(1, 9))
def test_a_picture_is_shown_at_least_as_often_as_one_with_fewer_classes(classes: list[list[int]], most: float) -> None:
    factors = repeat_factors(classes, most=most)
    assert all(1 <= one <= round(most, 2) for one in factors)
    for picture, own in zip(classes, factors, strict=True):
        assert all(own >= other for some, other in zip(classes, factors, strict=True) if set(some) <= set(picture))


def test_one_time_is_no_repeat() -> None:
    assert repeat_factors([[0, 0, 0], [1]], most=1.0) == [1, 1]
