"""Rollouts of a project: begun, stepped, halted and taken back, each change signed before it is kept.

Decides where a rollout is written down: `rollouts/<channel>.json` beside the repository, under the repository's lock of
its own. The plan is signed first, so that what is kept is never ahead of what devices are told. Refuses a second
rollout on a channel while one lives.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgewright.errors import InputError, StoreUnavailable
from edgewright.files import READABLE, locked, write_atomically
from edgewright.fleet.reports import read_reports
from edgewright.fleet.rollout import DWELL_S, STAGES, Rollout, Told, begin, step
from edgewright.release.repository import set_plan, state_of
from edgewright.release.server import REPORTS
from edgewright.settings import Settings
from tasks.serve.releases import projects_of

FOLDER = "rollouts"


@dataclass(frozen=True)
class Fleet:
    """A project's devices on a channel.

    Attributes:
        rollout: the last one; None where there was none.
        told: of each device what it said last. unreadable: devices whose report cannot be read, and why.
    """

    project: str
    channel: str
    rollout: Rollout | None
    told: dict[str, Told]
    unreadable: dict[str, str]

    @property
    def devices(self) -> list[str]:
        return sorted({*self.told, *self.unreadable})


def fleet_of(settings: Settings, project: str, channel: str) -> Fleet:
    """Raises InputError for a project that has released nothing; ArtifactCorrupt where its repository is damaged."""
    (repository,) = projects_of(settings, project=project)
    told, unreadable = read_reports(repository / REPORTS)
    return Fleet(project, channel, _read(repository, channel), told, unreadable)


def begin_rollout(
    settings: Settings,
    project: str,
    channel: str,
    *,
    release: int,
    stages: Sequence[float] = STAGES,
    dwell_s: float = DWELL_S,
) -> Rollout:
    """To a first part of the devices that have ever reported.

    Raises:
        InputError: a rollout lives, no device has reported, the release is not permitted or is what runs already.
    """
    now = time.time()
    with _one_at_a_time(settings, project) as repository:
        fleet, state = fleet_of(settings, project, channel), state_of(repository)
        if fleet.rollout and not fleet.rollout.ended:
            raise InputError(
                "a rollout lives on this channel",
                got=f"{fleet.rollout.plan.id}: {fleet.rollout.why}",
                next_step="edgewright fleet rollback, or wait for its end",
            )
        if not fleet.devices:
            raise InputError("no device has reported yet", where=repository / REPORTS)
        current = state.plans[channel].release if channel in state.plans else state.releases.get(channel, 0)
        if release == current:
            raise InputError("the release is what all devices are to run already", got=release)
        made = begin(
            f"{channel}-{release}-{int(now)}",
            release=release,
            otherwise=current,
            told=fleet.told,
            devices=fleet.devices,
            now=now,
            stages=stages,
            dwell_s=dwell_s,
        )
        return _keep(settings, repository, channel, made)


def step_rollout(settings: Settings, project: str, channel: str) -> Rollout:
    """One step, by what devices have said since. Raises InputError where there is no rollout."""
    return _change(settings, project, channel, lambda fleet, now: step(
        _live(fleet), fleet.told, devices=fleet.devices, now=now
    ))  # fmt: skip


def change_rollout(settings: Settings, project: str, channel: str, change: Callable[..., Rollout]) -> Rollout:
    """`halted`, `resumed` or `withdrawn`, by a person. Raises InputError where there is no rollout."""
    return _change(settings, project, channel, lambda fleet, now: change(_live(fleet), now=now))


def _change(settings: Settings, project: str, channel: str, change: Callable[[Fleet, float], Rollout]) -> Rollout:
    with _one_at_a_time(settings, project) as repository:
        fleet = fleet_of(settings, project, channel)
        after = change(fleet, time.time())
        return fleet.rollout if after == fleet.rollout else _keep(settings, repository, channel, after)  # type: ignore[return-value]


def _live(fleet: Fleet) -> Rollout:
    if fleet.rollout is None:
        raise InputError(
            "no release is rolled out on this channel", got=fleet.channel, next_step="edgewright fleet rollout RELEASE"
        )
    return fleet.rollout


def _keep(settings: Settings, repository: Path, channel: str, rollout: Rollout) -> Rollout:
    """Signed, then written down; a plan that is signed already is not signed again."""
    if state_of(repository).plans.get(channel) != rollout.plan:
        set_plan(
            rollout.plan,
            repository=repository,
            keys=settings.keys / repository.name,
            channel=channel,
            now=datetime.now(UTC),
            secret=settings.keys_opened_by,
        )
    payload = json.dumps(rollout.to_json(), indent=1, sort_keys=True).encode()
    write_atomically(repository / FOLDER / f"{channel}.json", payload, mode=READABLE)
    return rollout


def _read(repository: Path, channel: str) -> Rollout | None:
    path = repository / FOLDER / f"{channel}.json"
    if not path.exists():
        return None
    try:
        return Rollout.from_json(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError) as error:
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
