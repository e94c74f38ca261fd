from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgewright.device.offer import Course
from edgewright.errors import InputError
from edgewright.fleet.rollout import Rollout, Told, begin, halted, resumed, step, withdrawn

DEVICES = [f"line-{number}" for number in range(1000)]
BEFORE = {
    name: Told(0.0, release=8, offered=8, p95_ms=20.0, detections=3 + number % 3, rss_mb=80.0)
    for number, name in enumerate(DEVICES)
}
HOUR = 3600.0


@pytest.fixture
def rollout() -> Rollout:
    return begin("spring", release=9, otherwise=8, told=BEFORE, devices=DEVICES, now=0.0)


def answered(rollout: Rollout, *, at: float, share: float = 1.0, **changes: object) -> dict[str, Told]:
    """Its cohort runs the release, or the first part of it."""
    cohort = rollout.cohort(DEVICES)
    good = {name: replace(BEFORE[name], at=at, release=9, offered=9) for name in cohort[: round(share * len(cohort))]}
    return {**BEFORE, **{name: replace(said, **changes) for name, said in good.items()}}  # type: ignore[arg-type]


def test_a_good_release_goes_from_one_in_a_hundred_to_all(rollout: Rollout) -> None:
    shares, now = [rollout.plan.share], 0.0
    while not rollout.ended:
        now += HOUR
        rollout = step(rollout, answered(rollout, at=now), devices=DEVICES, now=now)
        shares.append(rollout.plan.share)
    assert shares == [0.01, 0.05, 0.25, 1.0, 1.0]
    assert (rollout.plan.state, rollout.why) == (Course.RUNNING, "every stage is done: all devices have it")
    assert step(rollout, BEFORE, devices=DEVICES, now=now + HOUR) == rollout


def test_it_waits_for_the_stage_to_last_and_silence_is_no_success(rollout: Rollout) -> None:
    young = step(rollout, answered(rollout, at=60.0), devices=DEVICES, now=60.0)
    assert (young.plan, young.why.split(":")[0]) == (rollout.plan, "waits")
    quiet = step(rollout, answered(rollout, at=HOUR, share=0.5), devices=DEVICES, now=HOUR)
    assert quiet.plan == rollout.plan
    assert "silence is no success" in quiet.why
    old = step(replace(rollout, since=HOUR), answered(rollout, at=60.0), devices=DEVICES, now=3 * HOUR)
    assert "have not answered" in old.why, "what was said before the stage began does not count"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"failed": True, "release": 8}, "that took it failed"),
        ({"p95_ms": 26.0}, "a frame takes 1.3 times as much"),
        ({"rss_mb": 200.0}, "the agent takes memory 2.5 times"),
        ({"detections": 0.0}, "0.00 detections a frame"),
        ({"detections": 30.0}, "30.00 detections a frame"),
    ],
)
def test_a_bad_release_is_withdrawn_before_its_stage_is_over(
    rollout: Rollout, changes: dict[str, object], said: str
) -> None:
    after = step(rollout, answered(rollout, at=60.0, **changes), devices=DEVICES, now=60.0)
    assert (after.plan.state, after.ended) == (Course.WITHDRAWN, True)
    assert said in after.why
    assert after.plan.chosen(rollout.cohort(DEVICES)[0], running=9) == 8


def test_single_failures_of_many_are_borne_and_of_few_are_not() -> None:
    wide = begin("wide", release=9, otherwise=8, told=BEFORE, devices=DEVICES, now=0.0, stages=(0.5, 1.0))
    told = answered(wide, at=60.0)
    one = wide.cohort(DEVICES)[0]
    told[one] = replace(told[one], failed=True, release=8)
    assert step(wide, told, devices=DEVICES, now=60.0).plan.state is Course.RUNNING
    five = [f"shop-{number}" for number in range(5)]
    small = begin("small", release=9, otherwise=8, told={}, devices=five, now=0.0)
    (canary,) = small.cohort(five)
    assert small.plan.share > 0.01, "of five devices the first stage is one"
    after = step(small, {canary: Told(60.0, 8, 9, failed=True)}, devices=five, now=60.0)
    assert after.plan.state is Course.WITHDRAWN
    assert canary in after.why


def test_only_what_runs_proven_and_still_tells_its_figures_counts(rollout: Rollout) -> None:
    for changes in ({"on_trial": True}, {"release": 8}, {"p95_ms": None}):
        after = step(rollout, answered(rollout, at=HOUR, **changes), devices=DEVICES, now=HOUR)
        assert (after.plan, after.why.split(":")[0]) == (rollout.plan, "waits"), changes
    nobody = step(rollout, BEFORE, devices=[], now=HOUR)
    assert (nobody.plan, "no device is counted" in nobody.why) == (rollout.plan, True)
    other = answered(rollout, at=60.0, failed=True, offered=7)
    assert step(rollout, other, devices=DEVICES, now=60.0).plan.state is Course.RUNNING, "that is another release's"


def test_devices_are_compared_with_themselves() -> None:
    busy, idle = [f"busy-{n}" for n in range(5)], [f"idle-{n}" for n in range(5)]
    before = {d: Told(0.0, 8, 8, p95_ms=20.0, detections=20.0 if d in busy else 0.5) for d in (*busy, *idle)}
    wide = begin("mixed", release=9, otherwise=0, told=before, devices=before, now=0.0, stages=(1.0,))
    only_busy = {d: replace(before[d], at=60.0, release=9, offered=9) for d in busy}
    after = step(wide, {**before, **only_busy}, devices=[*before], now=60.0)
    assert after.plan.state is Course.RUNNING, "busy places answer first, and see what they saw"
    blind = {d: replace(said, detections=0.0) for d, said in only_busy.items()}
    assert step(wide, {**before, **blind}, devices=[*before], now=60.0).plan.state is Course.WITHDRAWN


SMALL = DEVICES[::40]
"""One in forty is of the tier `basic`, and slow."""
OF_TIERS = {
    name: replace(said, tier="basic", p95_ms=200.0) if name in SMALL else replace(said, tier="full")
    for name, said in BEFORE.items()
}


def of_tiers(rollout: Rollout, **basic: object) -> dict[str, Told]:
    """The cohort runs the release; the small devices of it say `basic` of it."""
    good = {name: replace(OF_TIERS[name], at=60.0, release=9, offered=9) for name in rollout.cohort(DEVICES)}
    for name in (name for name in good if name in SMALL):
        good[name] = replace(good[name], **basic)  # type: ignore[arg-type]
    return {**OF_TIERS, **good}


@pytest.mark.parametrize(
    ("basic", "said"),
    [
        ({}, ""),
        ({"failed": True, "release": 8}, "that took it failed"),  # 1 in 40 of all is not too many, all of a tier is
        ({"p95_ms": 300.0}, "a frame takes 1.5 times as much as before, 1.2 at most (tier basic)"),
        ({"rss_mb": 200.0}, "the agent takes memory 2.5 times as much as before, 1.5 at most (tier basic)"),
        ({"detections": 0.0}, "0.00 detections a frame"),
    ],
)
def test_what_one_tier_suffers_does_not_drown_in_the_others(basic: dict[str, object], said: str) -> None:
    wide = begin("wide", release=9, otherwise=8, told=OF_TIERS, devices=DEVICES, now=0.0, stages=(0.5, 1.0))
    after = step(wide, of_tiers(wide, **basic), devices=DEVICES, now=60.0)
    assert (after.plan.state is Course.WITHDRAWN) == bool(said)
    assert said in after.why
    assert not said or "(tier basic)" in after.why


def test_one_failure_in_a_small_tier_is_borne_as_one_of_many_is() -> None:
    wide = begin("wide", release=9, otherwise=8, told=OF_TIERS, devices=DEVICES, now=0.0, stages=(0.5, 1.0))
    told = of_tiers(wide)
    one = next(name for name in wide.cohort(DEVICES) if name in SMALL)
    told[one] = replace(told[one], failed=True, release=8)
    assert step(wide, told, devices=DEVICES, now=60.0).plan.state is Course.RUNNING


def test_a_device_that_changed_its_tier_is_not_compared_with_what_it_was() -> None:
    wide = begin("wide", release=9, otherwise=8, told=OF_TIERS, devices=DEVICES, now=0.0, stages=(0.5, 1.0))
    told = of_tiers(wide)
    moved = [name for name in wide.cohort(DEVICES) if name not in SMALL]
    smaller = {name: replace(told[name], tier="basic", p95_ms=200.0, detections=0.1) for name in moved}
    after = step(wide, {**told, **smaller}, devices=DEVICES, now=60.0)
    assert after.plan.state is Course.RUNNING, "ten times as slow, by another detector"
    silent = {name: replace(OF_TIERS[name], tier="") for name in OF_TIERS}
    untold = begin("wide", release=9, otherwise=8, told=silent, devices=DEVICES, now=0.0, stages=(0.5, 1.0))
    after = step(untold, of_tiers(untold, p95_ms=300.0), devices=DEVICES, now=60.0)
    assert after.plan.state is Course.WITHDRAWN, "an agent that did not say its tier was of the one that it says now"


def test_a_tier_that_is_silent_is_waited_for_though_the_others_are_many() -> None:
    wide = begin("wide", release=9, otherwise=8, told=OF_TIERS, devices=DEVICES, now=0.0, stages=(0.5, 1.0))
    told = {name: replace(said, at=HOUR) for name, said in of_tiers(wide).items()}
    quiet = {name: OF_TIERS[name] for name in SMALL}
    after = step(wide, {**told, **quiet}, devices=DEVICES, now=HOUR)
    assert (after.plan, after.why) == (
        wide.plan,
        "waits: of tier basic too few have answered, and silence is no success",
    )
    assert step(wide, told, devices=DEVICES, now=HOUR).plan.share == 1.0


@pytest.mark.parametrize("stages", [(), (0.5,), (0.5, 0.2, 1.0), (0.0, 1.0), (0.5, 1.0, 1.5), (float("nan"), 1.0)])
def test_stages_rise_to_all(stages: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="not a rollout's stages"):
        begin("odd", release=9, otherwise=8, told=BEFORE, devices=DEVICES, now=0.0, stages=stages)


def test_what_a_person_does(rollout: Rollout) -> None:
    stopped = halted(rollout, now=60.0)
    assert step(stopped, answered(rollout, at=HOUR), devices=DEVICES, now=HOUR) == stopped
    again = resumed(stopped, now=HOUR)
    assert again.plan == rollout.plan
    assert step(again, answered(again, at=3 * HOUR), devices=DEVICES, now=3 * HOUR).plan.share == 0.05
    with pytest.raises(InputError, match="was not halted"):
        resumed(again, now=HOUR)
    back = withdrawn(rollout, now=60.0)
    assert (back.plan.state, withdrawn(back, now=90.0)) == (Course.WITHDRAWN, back)
    for change, said in ((resumed, "was not halted"), (halted, "has ended")):
        with pytest.raises(InputError, match=said):
            change(back, now=90.0)


def test_it_is_kept_as_json(rollout: Rollout) -> None:
    assert Rollout.from_json(json.loads(json.dumps(rollout.to_json()))) == rollout


@pytest.mark.parametrize(("detections", "course"), [(30.0, Course.RUNNING), (0.0, Course.WITHDRAWN)])
def test_more_is_found_again_where_devices_had_told_of_drift(detections: float, course: Course) -> None:
    """What they found on a changed scene is no measure of what is there; that nothing is found still is one."""
    drifted = {name: replace(said, drift="light was 0.4, and is 0.1") for name, said in BEFORE.items()}
    begun = begin("spring", release=9, otherwise=8, told=drifted, devices=DEVICES, now=0.0)
    told = {**drifted, **answered(begun, at=HOUR, detections=detections)}
    assert step(begun, told, devices=DEVICES, now=HOUR).plan.state is course
