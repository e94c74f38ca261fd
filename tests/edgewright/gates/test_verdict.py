"""Verdicts fail closed, and say why in a sentence."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.gates.verdict import Check, Outcome, Verdict, combine, compare

NAN = math.nan


@pytest.mark.parametrize(
    ("numbers", "outcome"),
    [
        # value, low, high, at_least, at_most, slack, n
        ((0.9, None, None, 0.85, None, 0.0, 9), Outcome.PASS),  # no interval: the estimate decides
        ((0.85, 0.85, 0.9, 0.85, None, 0.0, 9), Outcome.PASS),  # on the threshold
        ((0.9, 0.8, 1.0, 0.85, None, 0.0, 9), Outcome.NOT_EVALUABLE),  # the worse end crosses
        ((0.9, 0.8, 1.0, 0.85, None, 0.5, 9), Outcome.PASS),  # it may, up to the limit 0.567
        ((0.9, 0.5, 1.0, 0.85, None, 0.5, 9), Outcome.NOT_EVALUABLE),  # past the limit
        ((0.8, 0.7, 0.9, 0.85, None, 0.5, 9), Outcome.REFUSE),  # slack never helps an estimate
        ((2.0, 1.0, 3.0, None, 2.5, 0.0, 9), Outcome.NOT_EVALUABLE),
        ((2.0, 1.0, 3.0, None, 2.5, 0.5, 9), Outcome.PASS),  # limit 3.75
        ((2.6, 1.0, 2.7, None, 2.5, 0.5, 9), Outcome.REFUSE),
        ((NAN, None, None, None, 2.5, 0.0, 9), Outcome.NOT_EVALUABLE),
        ((2.0, NAN, 2.1, None, 2.5, 0.0, 9), Outcome.NOT_EVALUABLE),
        ((math.inf, None, None, 2.5, None, 0.0, 9), Outcome.NOT_EVALUABLE),
        ((None, None, None, 2.5, None, 0.0, 9), Outcome.NOT_EVALUABLE),
        ((2.0, None, None, None, None, 0.0, 9), Outcome.NOT_EVALUABLE),  # no threshold: only reported
        ((2.0, None, None, None, 2.5, 0.0, 4), Outcome.NOT_EVALUABLE),  # n below min_n
    ],
)
def test_compare(numbers: tuple[float | None, ...], outcome: Outcome) -> None:
    value, low, high, at_least, at_most, slack, n = numbers
    check = compare(
        "ratio",
        value,
        low=low,
        high=high,
        at_least=at_least,
        at_most=at_most,
        slack=slack,
        n=int(n),
        min_n=5,
        set_at="x.y",
    )
    assert check.outcome is outcome
    assert check.sentence.startswith("ratio")
    assert all(number is None or math.isfinite(number) for number in (check.value, check.low, check.high))


def test_a_sentence_names_the_number_the_threshold_and_where_it_is_set() -> None:
    refused = compare("fd ratio", 3.25, low=3, high=4, at_most=2.5, n=40, set_at="gate_data.max_fd_ratio")
    assert refused.sentence == "fd ratio is 3.25 [3, 4] on n = 40: fails <= 2.5 (gate_data.max_fd_ratio)"
    undecided = compare("fd ratio", 2, low=1, high=5, at_most=2.5, slack=0.5, n=40, set_at="here")
    assert undecided.sentence.endswith("it holds <= 2.5 (here), but the interval reaches past 3.75, so it is undecided")


def check_of(outcome: Outcome, *, decides: bool = True) -> Check:
    return Check("c", outcome, 1.0, None, None, 1, 1.0, ">=", "x", outcome.value, decides)


@given(st.lists(st.tuples(st.sampled_from(Outcome), st.booleans())))
def test_combine_passes_only_where_all_that_decide_pass(pairs: list[tuple[Outcome, bool]]) -> None:
    deciding = [outcome for outcome, decides in pairs if decides]
    combined = combine([check_of(outcome, decides=decides) for outcome, decides in pairs])
    assert (combined is Outcome.PASS) == (bool(deciding) and set(deciding) == {Outcome.PASS})
    assert (combined is Outcome.REFUSE) == (Outcome.REFUSE in deciding)


def test_round_trip_and_reasons() -> None:
    checks = (check_of(Outcome.PASS), check_of(Outcome.REFUSE), check_of(Outcome.NOT_EVALUABLE, decides=False))
    verdict = Verdict("gate_data", Outcome.REFUSE, checks, "refused", "real_only")
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert verdict.reasons == ["refuse"]
    doubtful = replace(verdict, checks=(check_of(Outcome.NOT_EVALUABLE), check_of(Outcome.REFUSE)))
    assert doubtful.reasons == ["refuse", "not_evaluable"]  # what decides comes first
    assert Verdict("g", Outcome.NOT_EVALUABLE, (), "nothing was measured", "end").reasons == ["nothing was measured"]
