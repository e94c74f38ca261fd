"""The agent's own code on a simulated line: a detector of cells looks at parts, which is enough to see what happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.keeping import keep_policy
from edgewright.device.slots import Slots
from edgewright.device.spool import Spool
from edgewright.errors import InputError
from edgewright.rehearsal.line import LineFeed, first_of
from edgewright.rehearsal.watched import WatchedDevice
from edgewright.simulate.camera import SimulatedCamera
from tests.edgewright.device.conftest import Device

Make = Callable[..., Path]
WINDOW = 20


@pytest.fixture
def watched(
    make_bundle: Make, publish: Callable[..., object], make_device: Callable[..., Device], tmp_path: Path
) -> WatchedDevice:
    publish(make_bundle(release=1))
    device = make_device()
    device.update()
    feed = LineFeed(SimulatedCamera(0, wh=(64, 64)), first=first_of(0), began_at=1_790_000_000.0)
    return WatchedDevice(device.home, feed, tmp_path / "out")


def test_a_release_runs_is_committed_and_every_frame_is_remembered(watched: WatchedDevice) -> None:
    with pytest.raises(InputError, match="was not started"):
        watched.watch(windows=1, frames=1)
    watched.start()
    assert watched.watch(windows=2, frames=3) == 2
    assert not Slots(watched.home).state().on_trial
    seen = watched.take_seen()
    assert len(seen) == 6 and {frame.release for frame in seen} == {1} and watched.take_seen() == []
    assert {frame.name for frame in seen} == set(watched.feed.truth)


def test_without_a_policy_nothing_is_kept_and_with_one_what_is_hard(watched: WatchedDevice) -> None:
    watched.start()
    watched.watch(windows=2, frames=WINDOW)
    assert Spool(watched.home).waiting() == []
    keep_policy(watched.home, FramesPolicy(an_hour=60, a_day=3))
    watched.start()
    watched.watch(windows=4, frames=WINDOW)
    kept = Spool(watched.home).waiting()
    assert len(kept) == 3, "a day's share"
    assert all(frame.facts["frame"] in watched.feed.truth for frame in kept)
