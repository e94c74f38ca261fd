"""The power fails, or the disk breaks, at every call of the file port; then a slot runs, and the update completes.

tests/disks.py has the ways in which that happens; a row of SEQUENCES is what the agent was doing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from edgewright.device.core import State
from edgewright.device.files import Files
from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.keeping import policy_of
from edgewright.device.offer import Plan
from edgewright.device.outbox import STATE, opened
from edgewright.device.process import agent_command, agent_environment
from edgewright.device.start import commit, start
from edgewright.errors import EdgewrightError
from edgewright.release.keys import read_keys
from edgewright.release.repository import ReleaseReport, set_plan, set_policy
from tests.cut_points import CountCutPoints
from tests.disks import CUTS, ERRORS, BrokenDisk, CutFiles, FastFiles, FullDisk, PowerCut
from tests.edgewright.device.conftest import Device

Make = Callable[..., Path]
Publish = Callable[..., ReleaseReport]
MakeDevice = Callable[..., Device]
FRAMES = FramesPolicy(an_hour=6)


@dataclass(frozen=True)
class Bench:
    """What a sequence is made ready with: a device named `ready`, and who releases for it."""

    tmp_path: Path
    make_device: MakeDevice
    release: Callable[[int], ReleaseReport]

    @property
    def ready(self) -> Device:
        return self.make_device("ready")

    def policy(self, **changes: object) -> None:
        set_policy(
            lambda before: replace(before, **changes),  # type: ignore[arg-type]
            repository=self.tmp_path / "repository",
            channel="stable",
            now=datetime.now(UTC),
            read=partial(read_keys, self.tmp_path / "keys"),
        )

    def plan(self, plan: Plan) -> None:
        where = {"repository": self.tmp_path / "repository", "keys": self.tmp_path / "keys"}
        set_plan(plan, **where, channel="stable", now=datetime.now(UTC))


@pytest.fixture
def bench(make_bundle: Make, publish: Publish, make_device: MakeDevice, tmp_path: Path) -> Bench:
    return Bench(tmp_path, make_device, lambda number: publish(make_bundle(release=number, gain=1.1 - number / 10)))


def update_and_start(device: Device) -> None:
    device.update()
    device.start_and_commit()


def ready_for_a_first_install(bench: Bench) -> None:
    bench.release(1)


def ready_for_an_update(bench: Bench) -> None:
    bench.release(1)
    update_and_start(bench.ready)
    bench.release(2)


def ready_to_commit(bench: Bench) -> None:
    ready_for_an_update(bench)
    bench.ready.update()
    bench.ready.start()


def ready_to_fall_back(bench: Bench) -> None:
    ready_for_an_update(bench)
    bench.ready.update()
    model = bench.ready.slots.folder("b") / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])


def ready_to_go_back(bench: Bench) -> None:
    """Release 2 is committed, and the floor; then it is signed that the floor falls, and planned that 1 runs."""
    ready_for_an_update(bench)
    bench.policy(floor=2)
    update_and_start(bench.ready)
    bench.policy(floor=1, allow_rollback_to=1)
    bench.plan(Plan("back", 2, 0.0, 1))


def ready_for_a_policy(bench: Bench) -> None:
    bench.release(1)
    update_and_start(bench.ready)
    bench.policy(floor=1, frames=FRAMES)


@dataclass(frozen=True)
class Sequence:
    """Attributes: releases: that may run after a cut; the last of them does in the end."""

    name: str
    prepare: Callable[[Bench], None]
    work: Callable[[Device], object]
    releases: tuple[int, ...]


SEQUENCES = [
    Sequence("install", ready_for_a_first_install, update_and_start, (0, 1)),
    Sequence("update", ready_for_an_update, update_and_start, (1, 2)),
    Sequence("commit", ready_to_commit, lambda device: commit(device.slots), (2,)),
    Sequence("fall back", ready_to_fall_back, Device.start, (0, 1)),
    Sequence("roll back", ready_to_go_back, Device.update, (2, 1)),
    Sequence("policy", ready_for_a_policy, Device.update, (1,)),
]


def of_another_name(bench: Bench, name: str, files: Files) -> Device:
    """A copy of the device that is ready; where none is, a new one."""
    if (bench.tmp_path / "ready").exists():
        shutil.copytree(bench.tmp_path / "ready", bench.tmp_path / name)
    return bench.make_device(name, files=files)


def counted(bench: Bench, sequence: Sequence) -> CutFiles:
    files = CutFiles()
    sequence.work(of_another_name(bench, "counted", files))
    return files


@pytest.mark.power
@pytest.mark.parametrize("disk", CUTS)
@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda sequence: sequence.name)
def test_the_power_fails_at_every_call(
    disk: type[CutFiles], sequence: Sequence, bench: Bench, cut_points: CountCutPoints
) -> None:
    sequence.prepare(bench)
    points = disk.points(counted(bench, sequence))
    for at in points:
        with pytest.raises(PowerCut):
            sequence.work(of_another_name(bench, f"cut-{at}", disk(at)))
        comes_to_itself(bench, sequence, f"cut-{at}")
    cut_points(sequence.name, disk.kind, len(points))


@pytest.mark.power
@pytest.mark.parametrize(
    ("sequence", "disk"),
    # A first install does what an update does, and costs as much: one kind of it.
    [(sequence, disk) for sequence in SEQUENCES for disk in ERRORS if sequence.name != "install" or disk is BrokenDisk],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_disk_breaks_at_every_call(
    disk: type[FullDisk], sequence: Sequence, bench: Bench, cut_points: CountCutPoints
) -> None:
    """It detects while the disk is broken, and goes on once it is well."""
    sequence.prepare(bench)
    points = disk.points(counted(bench, sequence))
    for at in points:
        name = f"cut-{at}"
        with suppress(OSError, EdgewrightError):
            sequence.work(of_another_name(bench, name, disk(at)))
        if (bench.tmp_path / "ready").exists():
            while_broken = bench.make_device(name, files=FastFiles())
            while_broken.home = replace(while_broken.home, files=disk.from_the_beginning())
            assert while_broken.start().selftest.passed, f"call {at}: it does not start on such a disk"
        comes_to_itself(bench, sequence, name)
    cut_points(sequence.name, disk.kind, len(points))


def comes_to_itself(bench: Bench, sequence: Sequence, name: str) -> None:
    """A valid model runs; what was under way ends; every change of state is told, once, and none is missing between."""
    device = bench.make_device(name, files=FastFiles())
    assert device.running in sequence.releases, f"{name}: no slot loads"
    found = device.slots.state()
    if found.active:
        assert device.start().selftest.passed, name
    sequence.work(device)
    device.start_and_commit()
    assert (device.running, device.slots.state().on_trial) == (sequence.releases[-1], False), name
    if sequence.name == "policy":
        assert policy_of(device.home) == FRAMES and device.slots.state().floor == 1, name
    told_once(device, found, name)
    shutil.rmtree(device.home.root)


def told_once(device: Device, found: State, where: str) -> None:
    with opened(device.home) as outbox:
        outbox.note(device.slots.state())
        changes = [event.body for event in outbox.waiting(STATE)]
    assert changes[0]["before"] is None, where
    assert all(later["before"] == earlier["after"] for earlier, later in pairwise(changes)), where
    assert all(each["before"] != each["after"] for each in changes), where
    assert json.loads(found.to_bytes())["state"] in [each["after"] for each in changes], where


@pytest.mark.parametrize("after_s", [0.35, 0.6, 1.0])
def test_kill_9_in_the_middle_of_an_update(
    make_bundle: Make, publish: Publish, make_device: MakeDevice, after_s: float
) -> None:
    publish(make_bundle(release=1))
    device = make_device()
    update_and_start(device)
    publish(make_bundle(release=2, gain=0.9))
    command = agent_command("update", "--home", str(device.home.root))
    agent = subprocess.Popen(command, env=agent_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    agent.kill()
    agent.wait()
    assert start(device.slots).selftest.passed  # with the self-test's own process
    commit(device.slots)
    update_and_start(device)
    assert device.running == 2
