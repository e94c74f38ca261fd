"""Ten thousand devices by the agent's own core: a good release reaches them, a bad one stops at the first stage."""

from __future__ import annotations

import pytest

from edgewright.device.offer import Course
from edgewright.fleet.simulate import Behavior, Fleet


def test_a_good_release_reaches_everybody_who_answers() -> None:
    outcome = Fleet(2000, seed=0, release=Behavior()).roll_out()
    assert outcome.rollout.plan.state is Course.RUNNING
    assert outcome.rollout.plan.share == 1.0
    assert outcome.runs_old == 40, "two in a hundred never answer"


@pytest.mark.parametrize(
    "bad",
    [Behavior(fails=0.3), Behavior(crashes=0.3), Behavior(slow=1.6), Behavior(blind=True)],
    ids=["fails its self-test", "crashes", "slow", "blind in the field"],
)
def test_a_bad_release_is_stopped_at_a_hundredth_and_whoever_took_it_is_back_within_a_poll(bad: Behavior) -> None:
    outcome = Fleet(10_000, seed=1, release=bad).roll_out()
    assert outcome.rollout.plan.state is Course.WITHDRAWN
    assert outcome.took <= 0.012 * 10_000
    assert outcome.runs_old == 10_000


def test_equal_seeds_give_equal_histories_and_a_rare_fault_is_borne() -> None:
    first, second = (Fleet(1000, seed=7, release=Behavior(fails=0.004)).roll_out() for _ in range(2))
    assert first == second
    assert first.rollout.plan.share == 1.0
    assert 0 < first.runs_old - 20 < 20, "those on which it fails keep the old one"
