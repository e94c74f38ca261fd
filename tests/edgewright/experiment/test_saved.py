"""Inverting a curve, on hand-made numbers."""

import math

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
def test_labels_needed(reached, n, bound):
    assert needed(CURVE, reached=reached) == Labels(pytest.approx(n), bound)


def test_a_dent_in_the_curve_is_ironed_out():
    """At 20 labels it went worse than at 10: isotonic regression gives both their mean."""
    assert needed({10: 0.2, 20: 0.1, 40: 0.3}, reached=0.15) == Labels(10, Bound.NONE)
    assert 20 < needed({10: 0.16, 20: 0.1, 40: 0.3}, reached=0.2).n < 40


def test_no_more_than_what_the_reference_reached_it_with():
    """25 labels did better than 50: what equals them needs 25, wherever the ironed curve lies."""
    assert needed({25: 0.479, 50: 0.478}, reached=0.479) == Labels(25, Bound.NONE)
    assert needed({10: 0.2, 20: 0.1, 40: 0.3}, reached=0.2) == Labels(10, Bound.NONE)


@given(st.dictionaries(st.integers(8, 500), st.floats(0, 1), min_size=2), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_never_needs_fewer_labels(curve, a, b):
    low, high = sorted((a, b))
    assert needed(curve, reached=low).n <= needed(curve, reached=high).n + 1e-6


def test_a_rounding_error_above_a_flat_curve_is_on_it():
    assert needed({10: 0.3, 20: 0.3}, reached=0.3 + 1e-14) == Labels(10, Bound.NONE)


def of_draws(*scores):
    return {draw: (score,) for draw, score in enumerate(scores)}


def test_two_draws_have_no_interval():
    curve = {25: of_draws(0.2, 0.2), 50: of_draws(0.3, 0.3)}
    saved = labels_saved(("gan", of_draws(0.25, 0.25)), ("real", curve), labels=25, rounds=50, seed=0)
    assert (saved.low, saved.high) == (None, None)
    assert saved.ratio == Labels(pytest.approx(math.sqrt(2)), Bound.NONE)


def test_a_round_draws_the_same_orders_on_both_sides():
    """Draws differ much, the arm and the reference hardly: only whole orders keep that apart."""
    curve = {25: of_draws(0.10, 0.30, 0.50), 50: of_draws(0.14, 0.34, 0.54)}
    saved = labels_saved(("gan", of_draws(0.12, 0.32, 0.52)), ("real", curve), labels=25, rounds=200, seed=0)
    assert (saved.low.n, saved.high.n) == (pytest.approx(math.sqrt(2)), pytest.approx(math.sqrt(2)))


def test_an_end_of_the_interval_may_be_a_bound():
    curve = {25: of_draws(0.2, 0.2, 0.2), 50: of_draws(0.3, 0.3, 0.3)}
    saved = labels_saved(("gan", of_draws(0.1, 0.25, 0.4)), ("real", curve), labels=25, rounds=400, seed=0)
    assert (saved.low.bound, saved.ratio.bound, saved.high.bound) == (Bound.AT_MOST, Bound.NONE, Bound.AT_LEAST)


def test_an_arm_is_held_against_the_same_orders():
    """Order 1 is a hard one: the arm that was not run on it does not look better for that."""
    curve = {25: of_draws(0.4, 0.1), 50: of_draws(0.5, 0.2)}
    saved = labels_saved(("gan", of_draws(0.4)), ("real", curve), labels=25, rounds=10, seed=0)
    assert saved.needed == Labels(25, Bound.NONE)
