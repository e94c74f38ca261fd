"""A rollout's next step: its state and what devices said => the next state. No network, no clock, no device.

Decides when a release goes to more devices, and when nobody is to run it any longer. It advances where the stage has
lasted, nearly all of its cohort run it and have proven it, and neither the updates nor what they run look worse than
before. A device that has not answered, or no longer says what it measured before, is unknown, which is never success;
a cohort of none proves nothing. It is withdrawn where too many failed, by the rule of two fields that AWS IoT Jobs has
(so many executed, such a share of them failed), or the cohort got slower, blinder or larger than it was. Tiers run
other detectors, so each is judged by itself as well: what a few small devices suffer does not drown in what the others
say. Refuses stages that do not rise to all, and to go on with what was withdrawn; what devices say that is odd is a
reason to wait, and is said.

    rollout = begin("spring", release=9, otherwise=8, now=now)
    rollout = step(rollout, told, devices=enrolled, now=now)
    rollout.plan.share, rollout.why
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median, pstdev
from typing import Any

from edgewright.device.offer import Course, Plan, place_of
from edgewright.errors import InputError

STAGES = (0.01, 0.05, 0.25, 1.0)
"""Shares of the devices. Of few devices the first stage is one device."""
DWELL_S = 1800.0
FAILED_SHARE, FAILED_AFTER, FAILED_LEAST = 0.05, 10, 2
"""Of those that executed, once so many have, or sooner where few are to; of fewer than FAILED_AFTER one is too many."""
UNKNOWN_SHARE, UNKNOWN_OF_TIER = 0.1, 0.5
"""Of a cohort, and of its part in one tier, that may be silent when it advances."""
SLOWER, LARGER, SIGMAS = 1.2, 1.5, 3.0
"""Of its own time and memory before; of the spread of detections a frame before."""
LEAST_MS, LEAST_MB = 2.0, 20.0
"""What a frame, and the agent, may take more whatever the share: of a millisecond a fifth is nothing."""
_LEAST_SPREAD = 0.1
"""Of detections a frame: a fleet that sees the same everywhere is not held to nothing."""


@dataclass(frozen=True)
class Told:
    """What a device said last.

    Attributes:
        at: when it was heard, seconds by the collector's clock.
        release: what runs. offered: what the plan offered it when it asked last.
        failed: it refused what was offered, or fell back from it. on_trial: what runs has detected on nothing yet.
        p95_ms, detections, rss_mb: of a frame, a frame, the process; None where it detected on nothing yet, the first
            also where that were too few frames to tell.
        tier, channel: of the device; "" from an agent that does not say.
        follows: it runs what the plan says, and nobody at the device wished otherwise.
        unseen: why it could detect on nothing. needs_agent: what was released is for a newer agent.
        drift: what changed in what it sees.
        asked: frames that it asked a larger model about since it told before; None where it says nothing of that.
        answered: those that were answered in time.
    """

    at: float
    release: int
    offered: int
    failed: bool = False
    on_trial: bool = False
    p95_ms: float | None = None
    detections: float | None = None
    rss_mb: float | None = None
    tier: str = ""
    channel: str = ""
    follows: bool = True
    unseen: str = ""
    needs_agent: bool = False
    drift: str = ""
    asked: int | None = None
    answered: int = 0


@dataclass(frozen=True)
class Rollout:
    """Law: `Rollout.from_json(r.to_json()) == r`.

    Attributes:
        plan: what is signed and served.
        stages: shares, rising to 1. stage: which of them holds now. since: when it began.
        dwell_s: how long each stage lasts at least.
        before: what devices had said when the rollout began.
        why: the last step, in words.
    """

    plan: Plan
    stages: tuple[float, ...]
    stage: int
    since: float
    dwell_s: float
    before: Mapping[str, Told]
    why: str = ""

    @property
    def ended(self) -> bool:
        """All have it, or nobody is to have it. One that is halted has not ended."""
        return self.plan.state is Course.WITHDRAWN or (self.plan.share >= 1 and self.stage >= len(self.stages))

    def cohort(self, devices: Collection[str]) -> list[str]:
        """Those that are to have the release now."""
        return [device for device in devices if place_of(device, self.plan.id) < self.plan.share]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "plan": self.plan.to_bytes().decode(), "stages": list(self.stages)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Rollout:
        before = {device: Told(**told) for device, told in value["before"].items()}
        plan = Plan.from_bytes(str(value["plan"]).encode())
        return cls(**{**value, "plan": plan, "stages": tuple(value["stages"]), "before": before})


def begin(
    name: str,
    *,
    release: int,
    otherwise: int,
    told: Mapping[str, Told],
    devices: Collection[str],
    now: float,
    stages: Sequence[float] = STAGES,
    dwell_s: float = DWELL_S,
) -> Rollout:
    """Its first stage: at least one device, whatever the share.

    Args:
        otherwise: what all others run; 0: whatever they run.

    Raises:
        InputError: shares that do not rise to 1.
    """
    rising = all(low < high for low, high in zip((0.0, *stages), stages, strict=False))
    if not stages or not rising or stages[-1] != 1:
        raise InputError("not a rollout's stages", expected="shares that rise to 1", got=list(stages))
    if not math.isfinite(dwell_s) or dwell_s < 0:
        raise InputError("not a time that a stage lasts", expected="seconds from 0", got=dwell_s)
    plan = Plan(name, release, share=_share(stages[0], name, devices), otherwise=otherwise)
    before = {
        device: said for device, said in told.items() if otherwise in (0, said.release) and said.release != release
    }
    return Rollout(plan, tuple(stages), 0, now, dwell_s, before, f"begins with {plan.share:.1%} of the devices")


def step(rollout: Rollout, told: Mapping[str, Told], *, devices: Collection[str], now: float) -> Rollout:
    """The next state; the same where there is nothing to do but wait. `told`: of each device what it said last."""
    if rollout.ended or rollout.plan.state is not Course.RUNNING:
        return rollout
    cohort = rollout.cohort(devices)
    heard = {device: told[device] for device in cohort if device in told and told[device].at >= rollout.since}
    executed = {device: said for device, said in heard.items() if _executed(said, device, rollout)}
    tiers = _by_tier(cohort, told)
    if bad := _too_many(executed, cohort) or _bad_tier(rollout, executed, tiers):
        plan = replace(rollout.plan, state=Course.WITHDRAWN)
        return replace(rollout, plan=plan, since=now, why=f"withdrawn at {rollout.plan.share:.1%}: {bad}")
    if not cohort:
        return replace(rollout, why="waits: no device is counted, and none proves nothing")
    unknown = len(cohort) - len(executed)
    if now - rollout.since < rollout.dwell_s:
        return replace(rollout, why=f"waits: {len(executed)} of {len(cohort)} have it, the stage is young")
    if unknown > UNKNOWN_SHARE * len(cohort):
        return replace(rollout, why=f"waits: {unknown} of {len(cohort)} have not answered, and silence is no success")
    if quiet := _quiet_tiers(tiers, executed):
        return replace(rollout, why=f"waits: of tier {quiet} too few have answered, and silence is no success")
    return _advanced(rollout, devices, now)


def halted(rollout: Rollout, *, now: float) -> Rollout:
    """By a person: who has the release keeps it, nobody else takes it. Raises InputError where it has ended."""
    _refuse_ended(rollout)
    return replace(rollout, plan=replace(rollout.plan, state=Course.HALTED), since=now, why="halted by a person")


def resumed(rollout: Rollout, *, now: float) -> Rollout:
    """The stage begins anew. Raises InputError where it was not halted."""
    if rollout.plan.state is not Course.HALTED:
        raise InputError("a rollout that was not halted", expected=Course.HALTED, got=rollout.plan.state)
    return replace(rollout, plan=replace(rollout.plan, state=Course.RUNNING), since=now, why="resumed by a person")


def withdrawn(rollout: Rollout, *, now: float) -> Rollout:
    """By a person: whoever has the release goes back; from all devices too. Twice is once."""
    if rollout.plan.state is Course.WITHDRAWN:
        return rollout
    return replace(rollout, plan=replace(rollout.plan, state=Course.WITHDRAWN), since=now, why="withdrawn by a person")


def _refuse_ended(rollout: Rollout) -> None:
    if rollout.ended:
        raise InputError("a rollout that has ended", got=f"{rollout.plan.id}: {rollout.why}")


def _executed(said: Told, device: str, rollout: Rollout) -> bool:
    """It failed here, or runs, is proven, and tells what it told before."""
    if said.failed:
        return said.offered == rollout.plan.release
    before = rollout.before.get(device)
    silenced = before is not None and any(
        getattr(before, what) is not None and getattr(said, what) is None for what in ("p95_ms", "detections")
    )
    return said.release == rollout.plan.release and not said.on_trial and not silenced


def _advanced(rollout: Rollout, devices: Collection[str], now: float) -> Rollout:
    stage = rollout.stage + 1
    if stage >= len(rollout.stages):
        return replace(rollout, stage=stage, since=now, why="every stage is done: all devices have it")
    share = _share(rollout.stages[stage], rollout.plan.id, devices)
    plan = replace(rollout.plan, share=max(share, rollout.plan.share))
    return replace(rollout, plan=plan, stage=stage, since=now, why=f"advances to {plan.share:.1%} of the devices")


def _share(wanted: float, name: str, devices: Collection[str]) -> float:
    """At least what one device needs: a canary among five is one of them."""
    first = min((place_of(device, name) for device in devices), default=0.0)
    return min(1.0, max(wanted, math.nextafter(first, 1.0)))


def _by_tier(cohort: Sequence[str], told: Mapping[str, Told]) -> dict[str, list[str]]:
    """Tier => its devices of the cohort; of "" those that do not say, or have said nothing yet."""
    tiers: dict[str, list[str]] = {}
    for device in cohort:
        tiers.setdefault(told[device].tier if device in told else "", []).append(device)
    return tiers


def _bad_tier(rollout: Rollout, executed: Mapping[str, Told], tiers: Mapping[str, Sequence[str]]) -> str:
    """What a tier's devices suffer, as a sentence; "" where nothing. One failure of a small tier is no tier's fault."""
    for tier, cohort in sorted(tiers.items()):
        own = {device: executed[device] for device in cohort if device in executed}
        if bad := _too_many(own, cohort, least=FAILED_LEAST) or _worse(rollout, own):
            return f"{bad} (tier {tier})" if tier and len(tiers) > 1 else bad
    return ""


def _quiet_tiers(tiers: Mapping[str, Sequence[str]], executed: Mapping[str, Told]) -> str:
    quiet = (
        tier
        for tier, cohort in sorted(tiers.items())
        if tier and sum(device not in executed for device in cohort) > UNKNOWN_OF_TIER * len(cohort)
    )
    return ", ".join(quiet)


def _too_many(executed: Mapping[str, Told], cohort: Sequence[str], *, least: int = 0) -> str:
    """Why the failures are too many; "" where they are not. Args: least: so many at least; 0: by the cohort's size."""
    failed = sorted(device for device, said in executed.items() if said.failed)
    few = len(cohort) < FAILED_AFTER / FAILED_SHARE
    least = least or (1 if len(cohort) < FAILED_AFTER else FAILED_LEAST)
    enough = len(executed) >= min(FAILED_AFTER, len(cohort)) or few
    if not failed or not enough or len(failed) < max(least, FAILED_SHARE * len(executed)):
        return ""
    named = ", ".join(failed[:3]) + (f" and {len(failed) - 3} more" if len(failed) > 3 else "")
    return f"{len(failed)} of {len(executed)} that took it failed: {named}"


def _worse(rollout: Rollout, executed: Mapping[str, Told]) -> str:
    """What the devices that run the release do worse than before, as a sentence; "" where nothing.

    A device that was of another tier before has nothing that it could be compared with: it ran another detector.
    """
    ran = {
        device: said
        for device, said in executed.items()
        if said.release == rollout.plan.release
        and device in rollout.before
        and rollout.before[device].tier in ("", said.tier)
    }
    for what, value, most, least in (
        ("a frame takes", "p95_ms", SLOWER, LEAST_MS),
        ("the agent takes memory", "rss_mb", LARGER, LEAST_MB),
    ):
        pairs = [
            (after, before)
            for device, said in ran.items()
            if (after := getattr(said, value)) is not None and (before := getattr(rollout.before[device], value))
        ]
        times = median(after / before for after, before in pairs) if pairs else 1.0
        if times > most and median(after - before for after, before in pairs) > least:
            return f"{what} {times:.1f} times as much as before, {most} at most"
    tiers = {said.tier for said in ran.values()}
    return _blinder(ran, {device: said for device, said in rollout.before.items() if said.tier in ("", *tiers)})


def _blinder(ran: Mapping[str, Told], before: Mapping[str, Told]) -> str:
    """Detections a frame, of the same devices before and after, beyond the spread of theirs and their like.

    Where devices had told that what they see has changed, what they found before is no measure: more is no fault then.
    """
    known = [said.detections for said in before.values() if said.detections is not None]
    pairs = [
        (said.detections, was)
        for device, said in ran.items()
        if said.detections is not None and (was := before[device].detections) is not None
    ]
    if not pairs:
        return ""
    after, usual = (sum(each) / len(pairs) for each in zip(*pairs, strict=True))
    spread = max(pstdev(known), _LEAST_SPREAD)
    lost_sight = any(before[device].drift for device, said in ran.items() if said.detections is not None)
    apart = usual - after if lost_sight else abs(after - usual)
    if apart <= SIGMAS * spread / math.sqrt(len(pairs)) + _LEAST_SPREAD * usual:
        return ""
    return f"{after:.2f} detections a frame where there were {usual:.2f}"
