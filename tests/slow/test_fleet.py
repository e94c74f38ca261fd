"""A small fleet of processes: three devices' loops, a release server; a collector over TLS; rollouts that they take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from edgewright.device.files import Files
from edgewright.device.home import open_home
from edgewright.device.slots import Slots
from edgewright.fleet.register import events_of, members, open_register
from edgewright.release import bundle as bundles
from edgewright.release.repository import publish_release
from edgewright.settings import Settings, read_settings
from tasks.serve.collector import collector_served, invited
from tasks.serve.fleet import Fleet, begin_rollout, fleet_of, step_rollout
from tests.cells import cell_picture, write_bundle
from tests.conftest import free_port
from tests.infra.places import CONTAINERS, PROGRAMS, ROOT

pytestmark = pytest.mark.slow

N = 3
PATIENCE_S = 240.0


class SmallFleet:
    """Attributes: home: of releases, collector and register. devices: folders."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.devices = [folder / f"line-{number}" for number in range(N)]
        (folder / "feed").mkdir()
        Image.fromarray(cell_picture(0, 1)).save(folder / "feed/0.png")

    def publish(self, release: int, **changes: float) -> None:
        (self.folder / str(release)).mkdir()
        publish_release(
            write_bundle(self.folder / str(release), release=release, **changes),
            repository=self.home / "releases/belt",
            keys=self.home / "keys/belt",
            channel="stable",
            now=datetime.now(UTC),
            roll_out=release == 1,
        )

    def roll_out(self, release: int) -> None:
        begin_rollout(self.settings, "belt", "stable", release=release, stages=(0.01, 0.5, 1.0), dwell_s=0.0)

    @property
    def known(self) -> Fleet:
        return fleet_of(self.settings, "belt", "stable")

    @property
    def running(self) -> list[int]:
        known = [Slots(open_home(path, files=Files())) for path in self.devices if (path / "device.json").exists()]
        found = [slots.bundle(slots.state().active) for slots in known]
        return sorted(bundle.manifest.release for bundle in found if bundle)

    @contextmanager
    def served(self) -> Iterator[None]:
        """The collector is of this process: one of its own would step rollouts by the clock of a busy machine."""
        with ExitStack() as held:
            releases = [sys.executable, "-m", "edgewright.cli", "serve-releases"]
            process = held.enter_context(_process(releases, {**_ENVIRONMENT, "EDGEWRIGHT_HOME": str(self.home)}))
            assert process.stdout and process.stdout.readline()
            held.enter_context(collector_served(self.settings, port=free_port(), say=lambda line: None))
            for path in self.devices:
                token = self.folder / f"{path.name}.token"
                words = {"channel": "stable", "tier": "full", "device": path.name}
                token.write_text(invited(self.settings, "belt", **words, life_s=600.0).to_text())
                given = {"DEVICE_HOME": str(path), "DEVICE_TOKEN": str(token), "DEVICE_FEED": str(self.folder / "feed")}
                held.enter_context(
                    _process([str(CONTAINERS / "device_loop.sh")], {**_ENVIRONMENT, **given, "DEVICE_EVERY_S": "1"})
                )
            yield

    @property
    def settings(self) -> Settings:
        return read_settings({"EDGEWRIGHT_HOME": str(self.home)})

    def step_until(self, done: Callable[[], bool]) -> str:
        """What the last step said."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            said = step_rollout(self.settings, "belt", "stable").why
            if done():
                return said
            assert time.monotonic() < deadline, f"{said}, {self.running}"
            time.sleep(1)


_ENVIRONMENT = {
    "PATH": f"{PROGRAMS}:{Path(sys.executable).parent}:/usr/bin:/bin",
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "HOME": os.environ.get("HOME", "/tmp"),
}


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def test_a_bad_release_ends_at_the_canary_and_a_good_one_reaches_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bad one is signed, passes its golden pictures in the factory, and is blind in the field."""
    monkeypatch.setattr(bundles, "_report", lambda out: None)  # nobody looks at its golden pictures
    fleet = SmallFleet(tmp_path)
    fleet.publish(1)
    with fleet.served():
        deadline = time.monotonic() + PATIENCE_S
        while sum(said.detections is not None for said in fleet.known.told.values()) < N:
            assert time.monotonic() < deadline, fleet.known
            time.sleep(1)
        assert fleet.running == [1] * N
        fleet.publish(2, gain=0.3)
        fleet.roll_out(2)
        said = fleet.step_until(lambda: fleet.known.rollout.ended)  # type: ignore[union-attr]
        assert "0.00 detections a frame" in said
        fleet.step_until(lambda: fleet.running == [1] * N)
        fleet.publish(3, gain=0.95)
        fleet.roll_out(3)
        said = fleet.step_until(lambda: fleet.running == [3] * N and fleet.known.rollout.ended)  # type: ignore[union-attr]
        assert "every stage is done" in said
    engine = open_register(f"sqlite:///{fleet.home / 'fleet/register.sqlite'}")
    with engine.begin() as connection:
        known = members(connection, "belt")
        assert [(member.device, member.rewound) for member in known] == [(path.name, 0) for path in fleet.devices]
        told = [events_of(connection, "belt", path.name) for path in fleet.devices]
    engine.dispose()
    ran = [{json.loads(one.body)["release"] for one in events if one.kind == "report"} - {0} for events in told]
    assert sorted(map(sorted, ran)) == [[1, 2, 3], *[[1, 3]] * (N - 1)], "the bad one was at the canary alone"
    for events in told:
        changes = [json.loads(one.body) for one in events if one.kind == "state"]
        assert all(later["before"] == earlier["after"] for earlier, later in pairwise(changes)), "none was lost"
