"""Rollouts of a project: begun, stepped, halted and taken back, each change signed before it is kept.

Decides where a rollout is written down, `rollouts/<channel>.json` beside the repository, and which devices it counts:
those of the channel that were heard within LOST_AFTER_S and do what the plan says; of a project that has enrolled
devices, those alone. It is written down first and signed then; what was cut off between the two the next step signs. A
rollout whose plan was replaced by another, as by `release publish --roll-out`, is over. Refuses a second rollout on a
channel while one lives. A person halts and takes back whatever devices said. Nobody who signs waits for a bucket that
another one's step is brought to.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from edgewright.device.offer import Course, Plan
from edgewright.errors import EdgewrightError, InputError, StoreUnavailable
from edgewright.files import READABLE, locked, write_atomically
from edgewright.fleet.reports import read_reports, understood
from edgewright.fleet.rollout import DWELL_S, STAGES, Rollout, Told, begin, step
from edgewright.fleet.twin import twin_of
from edgewright.release.metadata import SignedSet
from edgewright.release.repository import policy_of, set_plan, state_of, tiers_of
from edgewright.release.server import METADATA, REPORTS
from edgewright.settings import Settings
from tasks.serve.collector import history_in, reports_in
from tasks.serve.mirrors import keep_mirrored
from tasks.serve.releases import projects_of

FOLDER = "rollouts"
HISTORY_S = 24 * 3600.0
"""What the page's curves show."""
LOST_AFTER_S = 14 * 24 * 3600.0
"""A device that was silent for so long counts no longer, neither as a success nor as one to wait for."""


@dataclass(frozen=True)
class Fleet:
    """A project's devices on a channel.

    Attributes:
        rollout: the last one; None where there was none.
        signed: the plan that devices are told; None where there is none.
        told: of each device what it said last. unreadable: devices whose report cannot be read, and why.
    """

    project: str
    channel: str
    rollout: Rollout | None
    signed: Plan | None
    told: dict[str, Told]
    unreadable: dict[str, str]

    @property
    def devices(self) -> list[str]:
        return sorted({*self.told, *self.unreadable})

    def counted(self, now: float) -> list[str]:
        """The devices that a rollout counts: those that cannot be read among them, as unknown."""
        heard = (name for name, said in self.told.items() if said.follows and now - said.at <= LOST_AFTER_S)
        return sorted({*heard, *self.unreadable})

    @property
    def superseded(self) -> bool:
        """Whether devices are told another plan than the last rollout's."""
        return self.rollout is not None and (self.signed is None or self.signed.id != self.rollout.plan.id)

    @property
    def lives(self) -> bool:
        return self.rollout is not None and not self.superseded and not self.rollout.ended


def fleet_of(settings: Settings, project: str, channel: str) -> Fleet:
    """Raises InputError for a project that has released nothing; ArtifactCorrupt where its repository is damaged."""
    (repository,) = projects_of(settings, project=project)
    told, unreadable = _heard(settings, repository)
    own = {name: said for name, said in told.items() if said.channel in ("", channel)}
    return Fleet(project, channel, _read(repository, channel), _signed(repository, channel), own, unreadable)


def _heard(settings: Settings, repository: Path) -> tuple[dict[str, Told], dict[str, str]]:
    """Of a project that has enrolled devices theirs alone: anybody can put a report into the box."""
    enrolled = reports_in(settings, repository.name)
    if enrolled is None:
        return read_reports(repository / REPORTS)
    return understood({device: partial(lambda report: report, report) for device, report in enrolled.items()})


def page_of(settings: Settings, project: str, channel: str, *, refresh_s: int = 0) -> str:
    """The fleet as a page. Raises as `fleet_of` does. Args: refresh_s: how often a browser asks again; 0: never."""
    from edgewright.report.fleet import Fleet as Shown
    from edgewright.report.fleet import render_fleet

    fleet, now = fleet_of(settings, project, channel), time.time()
    heard = history_in(settings, project, since=now - HISTORY_S)
    named = {str(number): partial(lambda at, said: (at, said), at, said) for number, (_, at, said) in enumerate(heard)}
    told, _ = understood(named)
    history = [(heard[int(number)][0], said) for number, said in told.items() if said.channel in ("", channel)]
    shown = Shown(
        project,
        channel,
        fleet.told,
        fleet.unreadable,
        fleet.rollout,
        superseded=fleet.superseded,
        history=history,
        now=now,
    )
    return render_fleet(shown, refresh_s=refresh_s)


def twin_in(settings: Settings, project: str, channel: str, device: str) -> dict[str, Any]:
    """Raises InputError where the device was never heard; as `fleet_of` does."""
    fleet = fleet_of(settings, project, channel)
    if device not in fleet.told:
        raise InputError("no such device was heard", expected=", ".join(fleet.devices[:5]) or None, got=device)
    signed = SignedSet.read(settings.releases / project / METADATA)
    policy, rollout = policy_of(signed, channel), signed.rollout.signed.version if signed.rollout else 0
    versions = (signed.targets.signed.version, rollout)
    return twin_of(device, plan=fleet.signed, policy=policy, versions=versions, told=fleet.told[device])


def refuse_while_rolled_out(settings: Settings, project: str, channel: str) -> None:
    """Raises InputError where a rollout lives on the channel: to roll out beside it would end it unseen."""
    repository = settings.releases / project
    rollout = _read(repository, channel)
    if rollout and not rollout.ended and Fleet(project, channel, rollout, _signed(repository, channel), {}, {}).lives:
        raise _living(rollout)


def refuse_fewer_tiers(settings: Settings, project: str, channel: str, *, tiers: Collection[str]) -> None:
    """Raises InputError where devices of a tier would be told to run a release that has no bundle for them."""
    repository = settings.releases / project
    if not SignedSet.exists(repository / METADATA):
        return
    plan = _signed(repository, channel)
    rolled_out = tiers_of(SignedSet.read(repository / METADATA), channel).get(settled_release(plan), ())
    lost = [tier for tier in rolled_out if tier not in tiers]
    if lost:
        raise InputError(
            "a release for fewer tiers than the one that devices run",
            expected=", ".join(rolled_out),
            got=", ".join(tiers),
            where=f"{project}, {channel}",
            next_step=f"--set 'tiers.{lost[0]}={{}}' makes one, --set release.roll_out=false permits it without them",
        )


def begin_rollout(
    settings: Settings,
    project: str,
    channel: str,
    *,
    release: int,
    stages: Sequence[float] = STAGES,
    dwell_s: float = DWELL_S,
) -> Rollout:
    """To a first part of the devices that were heard lately.

    Raises:
        InputError: a rollout lives, no device has reported, the release is not permitted, lacks a device's tier or is
            what all run already.
    """
    now = time.time()
    with _one_at_a_time(settings, project) as repository:
        fleet = fleet_of(settings, project, channel)
        if fleet.rollout and fleet.lives:
            raise _living(fleet.rollout)
        devices = fleet.counted(now)
        if not devices:
            raise InputError("no device has reported yet", where=repository / REPORTS)
        current = settled_release(fleet.signed)
        if release == current:
            raise InputError("the release is what all devices are to run already", got=release)
        _refuse_unpermitted(repository, channel, release=release, otherwise=current)
        _refuse_untiered(
            repository, channel, release, {fleet.told[name].tier for name in devices if name in fleet.told}
        )
        made = begin(
            f"{channel}-{release}-{int(now)}",
            release=release,
            otherwise=current,
            told=fleet.told,
            devices=devices,
            now=now,
            stages=stages,
            dwell_s=dwell_s,
        )
        begun = _keep(settings, repository, channel, made)
    keep_mirrored(settings, repository)
    return begun


def step_rollout(settings: Settings, project: str, channel: str) -> Rollout:
    """One step, by what devices have said since. Raises InputError where there is no rollout, or it was superseded."""
    with _one_at_a_time(settings, project) as repository:
        fleet, now = fleet_of(settings, project, channel), time.time()
        rollout = _own(fleet.rollout, fleet.signed, channel)
        stepped = step(rollout, fleet.told, devices=fleet.counted(now), now=now)
        _keep(settings, repository, channel, stepped, rollout)
    keep_mirrored(settings, repository)  # also what an earlier step could not bring there
    return stepped


def running_rollouts(settings: Settings) -> list[tuple[str, str]]:
    """(project, channel) of each that a step may move: neither halted, nor ended, nor superseded.

    One that cannot be read is among them: whoever steps it finds out why.
    """
    paths = sorted(path for repository in projects_of(settings) for path in (repository / FOLDER).glob("*.json"))
    known = [(path.parents[1], path.stem) for path in paths]
    return [(repository.name, channel) for repository, channel in known if _runs(repository, channel)]


def _runs(repository: Path, channel: str) -> bool:
    try:
        rollout, signed = _read(repository, channel), _signed(repository, channel)
    except EdgewrightError:
        return True
    told = Fleet(repository.name, channel, rollout, signed, {}, {})
    return told.lives and rollout is not None and rollout.plan.state is Course.RUNNING


def change_rollout(settings: Settings, project: str, channel: str, change: Callable[..., Rollout]) -> Rollout:
    """`halted`, `resumed` or `withdrawn`, by a person, whatever devices said.

    Raises InputError where there is no rollout, it was superseded, or the change does not apply to it.
    """
    with _one_at_a_time(settings, project) as repository:
        rollout = _own(_read(repository, channel), _signed(repository, channel), channel)
        changed = _keep(settings, repository, channel, change(rollout, now=time.time()), rollout)
    keep_mirrored(settings, repository)
    return changed


def settled_release(plan: Plan | None) -> int:
    """What a device runs that a new rollout leaves out; 0: whatever it runs.

    Of a rollout that came to all it is the release. Of one that was withdrawn or did not come to its end it is what ran
    before: what was taken back must not come back as what all others run.
    """
    if plan is None:
        return 0
    return plan.release if plan.state is Course.RUNNING and plan.share >= 1 else plan.otherwise


def _own(rollout: Rollout | None, signed: Plan | None, channel: str) -> Rollout:
    """The channel's rollout, as far as devices are told it."""
    if rollout is None:
        raise InputError(
            "no release is rolled out on this channel", got=channel, next_step="edgewright fleet rollout RELEASE"
        )
    if signed is None or signed.id != rollout.plan.id:
        raise InputError(
            "the rollout was superseded: devices are told another plan",
            expected=rollout.plan.id,
            got=signed.id if signed else "none",
            next_step="edgewright fleet rollout RELEASE",
        )
    return rollout


def _living(rollout: Rollout) -> InputError:
    return InputError(
        "a rollout lives on this channel",
        got=f"{rollout.plan.id}: {rollout.why}",
        next_step="edgewright fleet rollback, or wait for its end",
    )


def _refuse_unpermitted(repository: Path, channel: str, *, release: int, otherwise: int) -> None:
    """What would not be signed is not written down either."""
    state = state_of(repository)
    permitted, floor = (
        state.permitted.get(channel, ()),
        state.policies[channel].floor if channel in state.policies else 0,
    )
    for each in filter(None, (release, otherwise)):
        if each not in permitted:
            expected = ", ".join(map(str, permitted))
            raise InputError("a release that is not permitted on the channel", expected=expected, got=each)
        if each < floor:
            raise InputError("a release below the channel's floor", expected=f">= {floor}", got=each)


def _refuse_untiered(repository: Path, channel: str, release: int, tiers: set[str]) -> None:
    has = tiers_of(SignedSet.read(repository / METADATA), channel).get(release, ())
    lacks = sorted(tier for tier in filter(None, tiers) if tier not in has)
    if lacks:
        next_step = f"edgewright release publish BUNDLE --tier {lacks[0]}"
        raise InputError(
            "a release that is not permitted for all devices",
            expected=", ".join(lacks),
            got=release,
            next_step=next_step,
        )


def _signed(repository: Path, channel: str) -> Plan | None:
    return state_of(repository).plans.get(channel)


def _keep(
    settings: Settings, repository: Path, channel: str, rollout: Rollout, before: Rollout | None = None
) -> Rollout:
    """Written down, then signed; what is so already is not done again."""
    if rollout != before:
        payload = json.dumps(rollout.to_json(), indent=1, sort_keys=True).encode()
        write_atomically(repository / FOLDER / f"{channel}.json", payload, mode=READABLE)
    if _signed(repository, channel) != rollout.plan:
        set_plan(
            rollout.plan,
            repository=repository,
            keys=settings.keys / repository.name,
            channel=channel,
            now=datetime.now(UTC),
            secret=settings.keys_opened_by,
        )
    return rollout


def _read(repository: Path, channel: str) -> Rollout | None:
    path = repository / FOLDER / f"{channel}.json"
    if not path.exists():
        return None
    try:
        return Rollout.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError("the rollout cannot be read", got=error, where=path) from error


@contextmanager
def _one_at_a_time(settings: Settings, project: str) -> Iterator[Path]:
    (repository,) = projects_of(settings, project=project)
    folder = repository / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            yield repository
    except OSError as error:
        raise StoreUnavailable("cannot write down the rollout", got=error, where=folder) from error
