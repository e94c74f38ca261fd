"""Inverting a curve, on hand-made numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.experiment.saved import Bound, Labels, labels_saved, needed

CURVE = {10: 0.1, 20: 0.2, 40: 0.3}


@pytest.mark.parametrize(
    ("reached", "n", "bound"),
    [
        (0.1, 10, Bound.NONE),  # the first point
        (0.05, 10, Bound.AT_MOST),  # below it
        (0.2, 20, Bound.NONE),
        (0.25, 20 * math.sqrt(2), Bound.NONE),  # half way in log n
        (0.3, 40, Bound.NONE),
        (0.31, 40, Bound.AT_LEAST),  # more than the most labels give
    ],
)
def test_labels_needed(reached: float, n: float, bound: Bound) -> None:
    assert needed(CURVE, reached=reached) == Labels(pytest.approx(n), bound)


def test_a_dent_in_the_curve_is_ironed_out() -> None:
    """At 20 labels it went worse than at 10: isotonic regression gives both their mean."""
    assert needed({10: 0.2, 20: 0.1, 40: 0.3}, reached=0.15) == Labels(10, Bound.NONE)
    assert 20 < needed({10: 0.16, 20: 0.1, 40: 0.3}, reached=0.2).n < 40


def test_no_more_than_what_the_reference_reached_it_with() -> None:
    """25 labels did better than 50: what equals them needs 25, wherever the ironed curve lies."""
    assert needed({25: 0.479, 50: 0.478}, reached=0.479) == Labels(25, Bound.NONE)
    assert needed({10: 0.2, 20: 0.1, 40: 0.3}, reached=0.2) == Labels(10, Bound.NONE)


@given(st.dictionaries(st.integers(8, 500), st.floats(0, 1), min_size=2), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_never_needs_fewer_labels(curve: dict[int, float], a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert needed(curve, reached=low).n <= needed(curve, reached=high).n + 1e-6


def test_a_rounding_error_above_a_flat_curve_is_on_it() -> None:
    assert needed({10: 0.3, 20: 0.3}, reached=0.3 + 1e-14) == Labels(10, Bound.NONE)


@given(st.lists(st.integers(8, 200), min_size=2, max_size=2, unique=True), st.floats(0.1, 0.4), st.floats(0.01, 0.4))
def test_what_equals_a_point_of_the_curve_needs_exactly_its_labels(ns: list[int], score: float, more: float) -> None:
    """Not 49.999…, which would be fewer than 50."""
    few, many = sorted(ns)
    curve = {few: score, many: score + more}
    assert [needed(curve, reached=curve[n]).n for n in (few, many)] == [few, many]


def of_draws(*scores: float) -> dict[tuple[int, int], float]:
    return {(draw, 0): score for draw, score in enumerate(scores)}


def test_two_draws_have_no_interval() -> None:
    curve = {25: of_draws(0.2, 0.2), 50: of_draws(0.3, 0.3)}
    saved = labels_saved(("gan", of_draws(0.25, 0.25)), ("real", curve), labels=25, rounds=50, seed=0)
    assert (saved.low, saved.high) == (None, None)
    assert saved.ratio == Labels(pytest.approx(math.sqrt(2)), Bound.NONE)


def test_a_round_draws_the_same_orders_on_both_sides() -> None:
    """Draws differ much, the arm and the reference hardly: only whole orders keep that apart."""
    curve = {25: of_draws(0.10, 0.30, 0.50), 50: of_draws(0.14, 0.34, 0.54)}
    saved = labels_saved(("gan", of_draws(0.12, 0.32, 0.52)), ("real", curve), labels=25, rounds=200, seed=0)
    assert (saved.low.n, saved.high.n) == (pytest.approx(math.sqrt(2)), pytest.approx(math.sqrt(2)))


def test_an_end_of_the_interval_may_be_a_bound() -> None:
    curve = {25: of_draws(0.2, 0.2, 0.2), 50: of_draws(0.3, 0.3, 0.3)}
    saved = labels_saved(("gan", of_draws(0.1, 0.25, 0.4)), ("real", curve), labels=25, rounds=400, seed=0)
    assert (saved.low.bound, saved.ratio.bound, saved.high.bound) == (Bound.AT_MOST, Bound.NONE, Bound.AT_LEAST)


@pytest.mark.parametrize("arm_has", [{(0, 0): 0.4}, {(0, 0): 0.4, (2, 0): 0.1}, {(0, 0): 0.4, (0, 9): 0.1}])
def test_an_arm_is_held_against_the_same_orders_and_seeds(arm_has: dict[tuple[int, int], float]) -> None:
    """Order 1 is a hard one: the arm that was not run on it does not look better for that; nor worse for own ones."""
    curve = {25: of_draws(0.4, 0.1), 50: of_draws(0.5, 0.2)}
    saved = labels_saved(("gan", arm_has), ("real", curve), labels=25, rounds=10, seed=0)
    assert saved.needed == Labels(25, Bound.NONE)


def test_another_seed_of_the_reference_changes_nothing() -> None:
    """A baseline that was run again because it looked unlucky: the arm has no run of that seed."""
    curve = {25: of_draws(0.2, 0.2, 0.1), 50: of_draws(0.3, 0.3, 0.3)}
    again = {25: {**curve[25], (2, 1): 0.3}, 50: curve[50]}
    arm = ("gan", of_draws(0.25, 0.25, 0.25))
    first, second = (labels_saved(arm, ("real", it), labels=25, rounds=50, seed=0) for it in (curve, again))
    assert first == second


def test_without_a_pair_nothing_is_said() -> None:
    curve = {25: of_draws(0.2), 50: of_draws(0.3)}
    assert labels_saved(("gan", {(7, 0): 0.5}), ("real", curve), labels=25, rounds=10, seed=0) is None


def test_an_arm_that_is_worth_nothing_is_seldom_said_to_save() -> None:
    """Noise of a point on every score, effects of draws twice that: an end is wrong in about one of twenty."""
    rng = np.random.default_rng(0)
    saves = loses = 0
    for seed in range(300):
        hard = rng.normal(0, 0.02, 3)
        curve = {
            n: of_draws(*(level + hard + rng.normal(0, 0.01, 3))) for n, level in ((12, 0.46), (25, 0.5), (50, 0.53))
        }
        arm = of_draws(*(0.5 + hard + rng.normal(0, 0.01, 3)))
        found = labels_saved(("gan", arm), ("real", curve), labels=25, rounds=100, seed=seed)
        saves += found.low.n > 1
        loses += found.high.n < 1 or found.high.bound is Bound.AT_MOST
    assert max(saves, loses) < 0.09 * 300
    assert min(saves, loses) > 0.01 * 300
