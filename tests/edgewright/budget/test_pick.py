"""Which point is taken, and what is said where none is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.budget.pick import Limits, Point, front, pick, survivors
from edgewright.errors import InputError

LIMITS = Limits(max_bytes=2_000_000, max_drop=0.01, max_latency_ms=10.0)
GOOD = Point("good", "a", 400, 1_000_000, 1_200_000, float_map50_95=0.605, map50_95=0.6, p50_ms=8.0)
POINTS = st.lists(
    st.builds(
        Point,
        title=st.uuids().map(str),
        family=st.just("a"),
        steps=st.just(1),
        parameters=st.just(1),
        bytes=st.integers(1, 9),
        float_map50_95=st.floats(0, 1),
        map50_95=st.floats(0, 1),
        p50_ms=st.floats(0.1, 9),
    ),
    min_size=1,
    max_size=12,
)


@given(POINTS)
def test_no_point_of_the_front_is_beaten_and_every_other_is(points: list[Point]) -> None:
    best = front(points)
    assert best

    def beaten(one: Point) -> bool:
        return any(
            other.bytes <= one.bytes
            and other.p50_ms <= one.p50_ms
            and other.map50_95 >= one.map50_95
            and (other.bytes, other.p50_ms, other.map50_95) != (one.bytes, one.p50_ms, one.map50_95)
            for other in points
        )

    assert all(beaten(one) != (one in best) for one in points)


@given(POINTS, st.integers(1, 9), st.floats(0, 1), st.floats(0.1, 9))
def test_what_is_picked_is_within_every_limit_and_nothing_better_is(
    points: list[Point], most: int, drop: float, ms: float
) -> None:
    found = pick(points, Limits(most, drop, ms))
    within = [one for one in points if one.finds and one.bytes <= most and one.drop <= drop and one.p50_ms <= ms]
    assert (found.point is None) == (not within)
    if found.point is not None:
        assert found.point in within
        assert found.point.map50_95 == max(one.map50_95 for one in within)


@given(POINTS, st.integers(1, 12))
def test_as_many_go_on_as_asked_and_what_fits_goes_first(points: list[Point], n: int) -> None:
    gone = survivors(points, Limits(5, 0.0, 5.0), n=n)
    finding = [one for one in points if one.finds] or points
    assert len(gone) == min(n, len(finding))
    fits = [one.bytes <= 5 and one.p50_ms <= 5 for one in gone]
    assert fits == sorted(fits, reverse=True)


def test_the_most_accurate_within_the_limits() -> None:
    small = replace(GOOD, title="small", bytes=900_000, float_map50_95=0.5, map50_95=0.5)
    large = replace(GOOD, title="large", bytes=3_000_000)
    found = pick([small, GOOD, large], LIMITS)
    assert found.point == GOOD
    assert found.sentence == ("good: 1,200,000 bytes, val mAP50-95 0.600 (0.0050 less than in float), 8.0 ms.")


def test_a_limit_that_nothing_meets_is_named_with_who_came_nearest() -> None:
    found = pick(
        [GOOD, replace(GOOD, title="other", bytes=1_500_000, map50_95=0.7)], replace(LIMITS, max_bytes=1_000_000)
    )
    assert found.point is None
    assert found.nearest == GOOD
    assert "at most 1,000,000 bytes, where the smallest, good, has 1,200,000" in found.sentence
    assert "Nearest: good" in found.sentence
    slow = pick([GOOD], replace(LIMITS, max_latency_ms=1.0))
    assert "at most 1 ms, where the fastest, good, takes 8.0" in slow.sentence
    lossy = pick([GOOD], replace(LIMITS, max_drop=0.0))
    assert "a drop of at most 0, where the least, of good, is 0.0050" in lossy.sentence


def test_each_limit_alone_is_met_and_not_all_together() -> None:
    found = pick([replace(GOOD, p50_ms=20.0), replace(GOOD, title="fast", bytes=9_000_000)], LIMITS)
    assert found.point is None
    assert found.sentence.startswith("Each limit is met by some candidate, and by none all of them. Nearest: good")


def test_a_model_that_finds_nothing_is_never_taken() -> None:
    blind = replace(GOOD, bytes=10, float_map50_95=0.0, map50_95=0.0)
    found = pick([blind], LIMITS)
    assert found.point is None
    assert found.sentence == "No candidate finds anything on val, so none is taken."
    assert pick([blind, GOOD], LIMITS).point == GOOD
    assert survivors([blind, GOOD], LIMITS, n=2) == [GOOD]


def test_nothing_is_not_chosen_from() -> None:
    with pytest.raises(InputError):
        pick([], LIMITS)


def test_a_point_is_read_as_it_was_written() -> None:
    assert Point(**GOOD.to_json()) == GOOD
