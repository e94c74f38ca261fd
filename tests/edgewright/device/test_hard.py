from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.hard import HARD, NOVEL_BITS, Budget, Chooser, doubt_of, flicker_of, novelty_of
from edgewright.runtime.boxes import Boxes

POLICY = FramesPolicy(an_hour=12, a_day=20)
NOW = 1_780_000_000.0


def box(x: float, *, kind: int = 0, score: float = 0.9) -> Boxes:
    return Boxes.of([[x, 0.0, x + 10.0, 10.0]], class_id=[kind], score=[score])


def test_doubt_is_nearness_to_the_threshold() -> None:
    assert doubt_of([0.3], threshold=0.3) == 1.0
    assert doubt_of([0.375, 0.9], threshold=0.3) == pytest.approx(0.5)
    assert doubt_of([0.225], threshold=0.3) == pytest.approx(0.5)
    assert doubt_of([0.9, 0.1], threshold=0.3) == 0.0


def test_an_object_that_is_missing_between_two_frames_flickers() -> None:
    assert flicker_of(box(0, score=0.8), Boxes.empty(), box(1)) == pytest.approx(0.8)
    assert flicker_of(box(0), box(1), box(2)) == 0.0, "it moved"
    assert flicker_of(box(0), Boxes.empty(), Boxes.empty()) == 0.0, "it left"
    assert flicker_of(box(0), Boxes.empty(), box(0, kind=1)) == 0.0, "another came"
    assert flicker_of(box(0), box(0, kind=1), box(0)) == pytest.approx(0.9), "its class flickers"
    assert flicker_of(Boxes.empty(), Boxes.empty(), box(0)) == 0.0


def test_a_frame_unlike_all_that_is_known_is_new() -> None:
    far = (1 << NOVEL_BITS) - 1
    assert novelty_of(0, []) == 0.0, "there is nothing to say of the first"
    assert novelty_of(0, [far]) >= HARD
    assert novelty_of(0, [far, 1]) == 0.0
    assert novelty_of(0, [(1 << 64) - 1]) == 1.0


def test_hours_and_days_are_handed_out() -> None:
    """An hour's 12 in sixths of two, and 20 a day."""
    budget, taken = Budget(), []
    for minute in range(24 * 60):
        now = NOW + 60.0 * minute
        if budget.allows(POLICY, now):
            budget.taken.append(now)
            taken.append(minute)
    assert [minute for minute in taken if minute < 30] == [0, 1, 10, 11, 20, 21]
    assert len([minute for minute in taken if minute < 60]) == 12
    assert len(taken) == 20
    assert budget.allows(POLICY, NOW + 86_400.0 + 61.0)


def test_a_clock_that_went_back_gives_no_second_budget() -> None:
    budget = Budget(deque([NOW, NOW]))
    assert not budget.allows(POLICY, NOW - 9_999.0)
    assert budget.allows(POLICY, NOW - 9_999.0 + 700.0), "nor none for ever"


def test_a_frame_like_one_that_was_taken_is_not_taken() -> None:
    chooser = Chooser(POLICY)
    assert not chooser.take({"doubt": HARD - 0.01}, 0, now=NOW)
    assert chooser.take({"doubt": 1.0}, 0, now=NOW)
    assert not chooser.take({"doubt": 1.0}, 0b11111, now=NOW), "five bits apart"
    assert chooser.take({"doubt": 0.0, "novelty": 1.0}, 0b111111, now=NOW)
    assert not chooser.take({"doubt": 1.0}, (1 << 64) - 1, now=NOW), "two in ten minutes"
    assert Chooser(replace(POLICY, an_hour=1)).take({"doubt": 1.0}, 0, now=NOW)


def test_what_is_known_stays_apart() -> None:
    chooser = Chooser(POLICY)
    for fingerprint in (0, 1, 3, (1 << 32) - 1):
        chooser.know(fingerprint)
    assert list(chooser.known) == [0, (1 << 32) - 1]
