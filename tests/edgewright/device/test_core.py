"""The agent's decisions: laws over every history, and each case of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.device.core import (
    MAX_FAILED,
    SLOTS,
    FallBack,
    Install,
    Offer,
    Refuse,
    State,
    Stay,
    Try,
    on_fallen_back,
    on_frame,
    on_offer,
    on_proof,
    on_start,
)
from edgewright.device.offer import Policy

STATES = st.builds(
    State,
    active=st.sampled_from(["", *SLOTS]),
    proven=st.sampled_from(["", *SLOTS]),
    starts=st.integers(0, 5),
    floor=st.integers(0, 100),
    policy=st.integers(0, 9),
    failed=st.lists(st.sampled_from("abcdef"), max_size=3, unique=True).map(tuple),
    seen=st.integers(0, 9),
    seen_by=st.sampled_from(["", "k1", "k2"]),
    channel=st.sampled_from(["", "stable", "beta"]),
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["offer", "broken offer", "start", "broken start", "frame", "policy"]), st.integers(1, 9)
    ),
    max_size=30,
)


@given(STATES)
def test_a_state_round_trips(state: State) -> None:
    assert State.from_bytes(state.to_bytes()) == state


@given(STATES, st.data())
def test_a_state_with_a_changed_byte_is_refused(state: State, data: st.DataObject) -> None:
    payload = bytearray(state.to_bytes())
    position = data.draw(st.integers(0, len(payload) - 1))
    payload[position] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ValueError):
        assert State.from_bytes(bytes(payload)) == state  # white space and the like


def test_what_older_agents_wrote_is_read() -> None:
    document = {"active": "a", "proven": "a", "starts": 0, "min_release": 4}
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    state = State.from_bytes(json.dumps({"state": document, "sha256": digest}).encode())
    assert state == State("a", "a", floor=4)
    assert state.heeding(Policy(version=1, floor=2)).floor == 2, "a signed floor takes the place of its own"


def test_what_newer_agents_wrote_is_read_without_what_only_they_know() -> None:
    document = {**json.loads(State("a", "b", floor=4).to_bytes())["state"], "mood": "fine"}
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    assert State.from_bytes(json.dumps({"state": document, "sha256": digest}).encode()) == State("a", "b", floor=4)
    with pytest.raises(ValueError, match="checksum"):
        State.from_bytes(json.dumps({"state": {**document, "mood": "bad"}, "sha256": digest}).encode())


@given(EVENTS)
def test_whatever_happens_what_is_proven_is_there_to_fall_back_to(events: list[tuple[str, int]]) -> None:
    """A device that loses every release on trial runs what it proved; floors fall by the offline role alone."""
    state, policy, holds = State(), Policy(), dict[str, str]()
    for kind, number in events:
        before, proven = state, holds.get(state.proven)
        if kind == "policy":
            policy = Policy(policy.version + 1, floor=number, allow_rollback_to=number if number < 3 else None)
        if kind in ("offer", "broken offer"):
            state, action = on_offer(state, Offer(number, f"m{number}", policy), holds=holds)
            assert state.floor >= before.floor or policy.allow_rollback_to == state.floor or not before.policy
            if isinstance(action, Install):
                assert action.slot != (state.proven or state.active)
                assert number >= state.floor
                assert f"m{number}" not in state.failed
                whole = kind == "offer"
                holds = (
                    {**holds, action.slot: f"m{number}"}
                    if whole
                    else {k: v for k, v in holds.items() if k != action.slot}
                )
                state = on_proof(state, action.slot, f"m{number}", passed=whole)
                assert whole or state.failed[-1] == f"m{number}"
        elif kind in ("start", "broken start") and state.active:
            state, tried = on_start(state)
            if isinstance(tried, FallBack) or (kind == "broken start" and state.on_trial and state.proven):
                state = on_fallen_back(state, state.proven, failed=holds.get(state.active, ""))
                assert not state.on_trial
        elif kind == "frame" and state.active:
            state = on_frame(state)
            assert not state.on_trial
        if state.proven == before.proven and proven:
            assert holds[state.proven] == proven, "nothing overwrites what is proven"


def test_an_offer_that_runs_already_changes_nothing() -> None:
    state = State("a", "a")
    offered = replace(state, offered=3, offered_manifest="m3")
    assert on_offer(state, Offer(3, "m3", Policy()), holds={"a": "m3"}) == (offered, Stay())
    assert on_offer(state, Offer(3, "m3", Policy()), holds={}) == (offered, Install("b")), "a slot that rotted is none"


def test_what_failed_here_is_refused_until_it_changes_and_the_oldest_failures_are_forgotten() -> None:
    state = State("a", "a")
    for number in range(MAX_FAILED + 2):
        state = on_proof(state, "b", f"m{number}", passed=False)
    assert len(state.failed) == MAX_FAILED
    assert isinstance(on_offer(state, Offer(9, "m9", Policy()), holds={"a": "old"})[1], Refuse)
    assert isinstance(on_offer(state, Offer(9, "m9 changed", Policy()), holds={"a": "old"})[1], Install)
    assert isinstance(on_offer(state, Offer(0, "m0", Policy()), holds={"a": "old"})[1], Install)
    assert isinstance(on_offer(state.forgiving, Offer(9, "m9", Policy()), holds={"a": "old"})[1], Install)


@pytest.mark.parametrize(
    ("before", "policy", "floor"),
    [
        (State(floor=5, policy=2), Policy(3, floor=7), 7),
        (State(floor=5, policy=2), Policy(3, floor=4), 5),  # a floor rises
        (State(floor=5, policy=2), Policy(3, floor=4, allow_rollback_to=4), 4),  # unless that is signed
        (State(floor=5, policy=3), Policy(3, floor=4, allow_rollback_to=4), 5),  # once
        (State(floor=5, policy=0), Policy(1, floor=2), 2),  # a floor that the device took by itself
        (State(floor=5, policy=3), Policy(3, floor=7), 7),  # as high as any that it has seen
        (State(floor=5, policy=3), Policy(2, floor=7), 7),
        (State(floor=5, policy=3), Policy(2, floor=4, allow_rollback_to=2), 5),
        (State(floor=2, policy=3), Policy(3, floor=7, allow_rollback_to=2), 2),  # lowered, and lowered still
        (State(floor=5, policy=2), Policy(4, floor=3), 5),  # it missed 3, which allowed it
    ],
)
def test_floors(before: State, policy: Policy, floor: int) -> None:
    state, action = on_offer(before, Offer(1, "m1", policy), holds={})
    assert state.floor == floor
    assert isinstance(action, Refuse)
    assert (f">= {floor}", "1") == (action.expected, action.got)


def test_three_starts_without_a_frame() -> None:
    state = State("b", proven="a")
    for number in range(3):
        state, action = on_start(state)
        assert (state.starts, action) == (number + 1, Try("b"))
    state, action = on_start(state)
    assert isinstance(action, FallBack)
    assert action.slot == "a"
    back = on_fallen_back(state, "a", failed="m2")
    assert back == State("a", "a", failed=("m2",))
    assert on_start(replace(back)) == (back, Try("a")), "what is committed may start as often as it likes"


def test_an_offer_that_the_proven_slot_holds_ends_a_trial_without_a_download() -> None:
    on_trial = State("b", proven="a", starts=2)
    state, action = on_offer(on_trial, Offer(1, "m1", Policy()), holds={"a": "m1", "b": "m2"})
    assert action == Stay()
    assert (state.active, state.proven, state.starts) == ("a", "a", 0)
    assert on_offer(on_trial, Offer(3, "m3", Policy()), holds={"a": "m1", "b": "m2"})[1] == Install("b")


def test_a_time_is_believed_as_long_as_its_keys_are() -> None:
    def seen(state: State, issued: int, keys: str) -> tuple[int, str]:
        state, _ = on_offer(state, Offer(1, "m1", Policy(), issued=issued, issued_by=keys), holds={})
        return state.seen, state.seen_by

    assert seen(State(seen=90, seen_by="k1"), 10, "k1") == (90, "k1")
    assert seen(State(seen=90, seen_by="k1"), 10, "k2") == (10, "k2"), "new keys heal a wrong time"
    assert seen(State(seen=90), 10, "k2") == (90, "k2"), "nobody noted whose it was"
    assert seen(State(seen=90, seen_by="k1"), 95, "") == (95, "k1")


def test_floors_and_failures_are_of_one_channel() -> None:
    learnt = State("a", "b", 1, floor=5, policy=2, failed=("m",), offered=5, offered_manifest="m", seen=9, seen_by="k")
    stable = learnt.on_channel("stable")
    assert stable == replace(learnt, channel="stable"), "what an older agent wrote is taken for this channel's"
    assert stable.on_channel("stable") == stable
    assert stable.on_channel("beta") == State("a", "b", 1, seen=9, seen_by="k", channel="beta")
