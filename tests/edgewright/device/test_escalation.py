"""The laws of asking, whatever comes in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.device.escalation import (
    FAILURES,
    LONGEST_PAUSE_S,
    PAUSE_S,
    WINDOW,
    Breaker,
    Counts,
    Escalation,
    Link,
    Share,
    Standing,
    Verdict,
)
from edgewright.device.frames_policy import EscalationPolicy

FAR = 1_000.0
"""Seconds by which a link has something to give."""


def rule(**changes: Any) -> Escalation:
    given: dict[str, Any] = {"share_per_mille": 1_000, "deadline_ms": 200, "bytes_an_hour": 3_600_000, **changes}
    return Escalation(EscalationPolicy("https://gate:8475", **given))


@given(
    share=st.one_of(st.just(0.0), st.floats(0.001, 1)), wanted=st.lists(st.booleans(), min_size=1, max_size=3 * WINDOW)
)
def test_no_share_is_above_the_cap(share: float, wanted: list[bool]) -> None:
    """Neither of all frames so far nor of the last WINDOW."""
    own, taken = Share(share), list[bool]()
    for each in wanted:
        may = own.look()
        if may and each:
            own.take()
        taken.append(may and each)
        assert sum(taken) <= share * len(taken)
        window = max(WINDOW, len(taken)) if 0 < share < 1 / WINDOW else WINDOW
        assert sum(taken[-window:]) <= share * min(window, len(taken))


def test_a_share_that_is_not_taken_is_not_saved_for_a_flood() -> None:
    own = Share(0.1)
    for _ in range(10 * WINDOW):
        own.look()
    taken = 0
    for _ in range(WINDOW):
        if own.look():
            own.take()
            taken += 1
    assert taken == WINDOW // 10


@given(
    steps=st.lists(st.tuples(st.floats(0, 900), st.integers(0, 1_000_000)), max_size=60),
    budget=st.integers(1, 4_000_000),
)
def test_in_no_hour_more_bytes_leave_than_may(steps: list[tuple[float, int]], budget: int) -> None:
    link, now, left = Link(budget), 0.0, list[tuple[float, int]]()
    for wait, n_bytes in steps:
        now += wait
        if link.take(n_bytes, now=now):
            left.append((now, n_bytes))
        assert sum(n for at, n in left if now - at <= 3600) <= budget * (1 + 1e-9)


def test_a_link_gives_nothing_anew_after_a_restart_or_for_a_clock_that_goes_back() -> None:
    link = Link(3_600_000)
    assert not link.take(1, now=5.0)
    assert link.take(800, now=6.0) and not link.take(800, now=6.0)
    assert not link.take(100_000, now=1.0) and not link.take(100_000, now=6.0)


events = st.lists(st.tuples(st.sampled_from(["frame", "good", "bad", "drop"]), st.floats(0, 700)), max_size=200)


@given(events=events)
def test_one_probe_at_a_time_and_none_before_its_pause_is_over(events: list[tuple[str, float]]) -> None:
    own, now, asking, failures = Breaker(), 0.0, 0, 0
    pause, opened_at = PAUSE_S, None
    for event, wait in events:
        now += wait
        if event == "frame" and own.allows(now) and (own.standing(now) is not Standing.CLOSED or not asking):
            if opened_at is not None:
                assert not asking, "a second probe"
                assert now >= opened_at + pause, "before the pause is over"
            own.begin(now)
            asking = 1
        elif event == "good" and asking:
            own.succeed()
            asking, failures, pause, opened_at = 0, 0, PAUSE_S, None
        elif event == "bad" and asking:
            own.fail(now)
            asking, failures = 0, failures + 1
            if opened_at is not None:
                pause, opened_at = min(2 * pause, LONGEST_PAUSE_S), now
            elif failures >= FAILURES:
                opened_at = now
        elif event == "drop" and asking:
            own.drop()
            asking = 0
        assert (own.standing(now) is Standing.CLOSED) == (opened_at is None)


def test_after_three_failures_it_pauses_and_one_good_answer_closes_it() -> None:
    own, now = rule(), FAR
    own.consider(0.0, now=0.0)
    for _ in range(FAILURES):
        assert own.consider(1.0, now=now) is Verdict.ASK and own.may_leave(10, now=now)
        own.failed("failed", now=now)
    assert own.consider(1.0, now=now + PAUSE_S - 1) is Verdict.OPEN
    probe = now + PAUSE_S
    assert own.consider(1.0, now=probe) is Verdict.ASK and own.standing(now=probe) is Standing.HALF_OPEN
    assert own.consider(1.0, now=probe) is Verdict.BUSY
    own.failed("failed", now=probe)
    assert own.consider(1.0, now=probe + 2 * PAUSE_S - 1) is Verdict.OPEN, "a probe that fails doubles the pause"
    again = probe + 2 * PAUSE_S
    assert own.consider(1.0, now=again) is Verdict.ASK and own.may_leave(10, now=again)
    assert own.answered(now=again + 0.1) and own.standing(now=again) is Standing.CLOSED
    counts = own.told(now=again)
    assert (counts.asked, counts.answered, counts.failed, counts.bytes) == (4, 1, 4, 40)
    assert own.told(now=again) == Counts()


def test_what_keeps_a_frame_here_is_said() -> None:
    own = rule(share_per_mille=500, doubt_percent=70)
    assert own.consider(0.69, now=0.0) is Verdict.SURE
    assert own.consider(0.7, now=FAR) is Verdict.ASK
    assert own.consider(0.7, now=FAR) is Verdict.BUSY
    assert not own.may_leave(10_000_000, now=FAR), "more than the link ever holds"
    own.dropped()
    assert own.consider(1.0, now=FAR) is Verdict.ASK, "and a smaller one is tried"
    own.dropped()
    assert own.consider(1.0, now=FAR) is Verdict.SHARE, "what was dropped counts for the share"
    assert own.told(now=FAR) == Counts()
    slow = rule(bytes_an_hour=3_600)
    slow.consider(1.0, now=0.0)
    assert not slow.may_leave(500, now=0.1)
    slow.dropped()
    assert slow.consider(1.0, now=1.0) is Verdict.LINK
    assert slow.consider(1.0, now=FAR) is Verdict.ASK


def test_a_late_answer_is_none_and_a_failure_to_the_breaker() -> None:
    own = rule(deadline_ms=200)
    own.consider(0.0, now=0.0)
    for number in range(FAILURES):
        at = FAR + number
        assert own.consider(1.0, now=at) is Verdict.ASK and own.may_leave(10, now=at)
        assert not own.answered(now=at + 0.201)
    assert own.told(now=FAR + 3).late == FAILURES and own.standing(now=FAR + 3) is Standing.OPEN
    late = rule()
    late.consider(1.0, now=FAR)
    assert not late.may_leave(1, now=FAR + 0.2), "there is no time left: nothing leaves"


def test_counts_are_said_and_read_again() -> None:
    counts = Counts(asked=3, answered=1, late=1, failed=1, bytes=90, breaker="open")
    assert Counts.from_json({**counts.to_json(), "of_later": 1}) == counts
    assert (
        str(counts) == "asked about 3 frames: 1 answered in time, 1 late, 1 failed, 90 bytes left; the breaker is open"
    )
    with pytest.raises(KeyError):
        Counts.from_json({"asked": 1})
