from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.device.offer import Course, Plan, Policy, place_of
from edgewright.errors import InputError

IDS = [f"line-{number}" for number in range(4000)]
PLANS = st.builds(
    Plan,
    id=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True),
    release=st.integers(0, 50),
    share=st.floats(0, 1),
    otherwise=st.integers(0, 50),
    state=st.sampled_from(Course),
)


@given(PLANS)
def test_a_plan_round_trips(plan: Plan) -> None:
    assert Plan.from_bytes(plan.to_bytes()) == plan


def test_a_cohort_has_its_share_and_grows_without_losing_anybody() -> None:
    assert 0.0 <= min(place_of(one, "r") for one in IDS) <= max(place_of(one, "r") for one in IDS) < 1.0
    before: set[str] = set()
    for share in (0.01, 0.05, 0.25, 1.0):
        plan = Plan("r", release=9, share=share, otherwise=8)
        chosen = {one for one in IDS if plan.chosen(one, running=8) == 9}
        assert abs(len(chosen) / len(IDS) - share) < 0.01
        assert before <= chosen
        before = chosen
    assert {one for one in IDS if Plan("r", 9, 0.05, 8).chosen(one, running=8) == 9} != {
        one for one in IDS if Plan("other", 9, 0.05, 8).chosen(one, running=8) == 9
    }, "another rollout is another order"


@pytest.mark.parametrize(
    ("state", "running", "share", "chosen"),
    [
        (Course.RUNNING, 8, 1.0, 9),
        (Course.RUNNING, 9, 0.0, 8),
        (Course.HALTED, 9, 1.0, 9),  # who has it keeps it
        (Course.HALTED, 8, 1.0, 8),  # nobody else takes it
        (Course.WITHDRAWN, 9, 1.0, 8),
    ],
)
def test_the_course_of_a_rollout(state: Course, running: int, share: float, chosen: int) -> None:
    assert Plan("r", 9, share, 8, state).chosen("line-0", running=running) == chosen


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"id": "r", "release": -1, "share": 1, "otherwise": 0, "state": "running"}',
        b'{"id": "r", "release": 1, "share": 1.5, "otherwise": 0, "state": "running"}',
        b'{"id": "r", "release": 1, "share": NaN, "otherwise": 0, "state": "running"}',
        b'{"id": "r", "release": 1, "share": Infinity, "otherwise": 0, "state": "running"}',
        b'{"id": "r", "release": Infinity, "share": 1, "otherwise": 0, "state": "running"}',
        b'{"id": "../r", "release": 1, "share": 1, "otherwise": 0, "state": "running"}',
        b'{"id": "r", "release": 1, "share": 1, "otherwise": 0, "state": "gone"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_plan_is_refused_however_well_it_is_signed(payload: bytes) -> None:
    with pytest.raises(InputError, match="not a rollout's plan"):
        Plan.from_bytes(payload)


def test_a_policy_round_trips_and_is_held_to_its_range() -> None:
    for policy in (Policy(), Policy(3, 7), Policy(4, 7, 2)):
        assert Policy.from_json(policy.to_json()) == policy
    assert Policy.from_json(None) == Policy()
    for value in ({}, {"version": 1}, {"version": "x", "floor": 0}, {"version": 1, "floor": -1}, ["floor"], "floor"):
        with pytest.raises(ValueError):  # noqa: PT011
            Policy.from_json(value)  # type: ignore[arg-type]


def test_a_policy_without_a_version_says_nothing() -> None:
    """Else a device could not tell it from a floor that an old agent took by itself."""
    for value in ({"version": 0, "floor": 3}, {"version": 0, "floor": 0, "allow_rollback_to": 3}):
        with pytest.raises(ValueError, match="not a channel's policy"):
            Policy.from_json(value)


@pytest.mark.parametrize("share", [math.nan, math.inf, -math.inf])
def test_a_share_that_is_no_number_is_refused_made_or_read(share: float) -> None:
    with pytest.raises(InputError, match="not a rollout's plan"):
        Plan("r", release=9, share=share, otherwise=8)
    value = {**json.loads(Plan("r", release=9, share=1.0, otherwise=8).to_bytes()), "share": share}
    with pytest.raises(InputError, match="not a rollout's plan"):
        Plan.from_bytes(json.dumps(value).encode())


@given(PLANS, st.integers(0, 50))
def test_what_is_withdrawn_is_chosen_for_nobody(plan: Plan, running: int) -> None:
    chosen = replace(plan, state=Course.WITHDRAWN).chosen("line-0", running=running)
    assert not chosen or chosen != plan.release


@pytest.mark.parametrize("running", [0, 8, 9])
def test_a_plain_plan_that_is_withdrawn_leaves_what_runs(running: int) -> None:
    plain = Plan("release-9", release=9, share=1.0, otherwise=9)
    assert plain.chosen("line-0", running=running) == 9
    assert replace(plain, state=Course.WITHDRAWN).chosen("line-0", running=running) == 0
