"""A small fleet of processes: devices' loops, a release server over HTTP, a collector over TLS and by a broker.

The collector is of the test's own process: one of its own would step rollouts by the clock of a busy machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from PIL import Image

from edgewright.device.files import Files
from edgewright.device.home import Home, open_home
from edgewright.device.outbox import opened
from edgewright.device.slots import Slots
from edgewright.fleet.register import Told, events_of, members
from edgewright.release.repository import publish_release
from edgewright.settings import Settings, read_settings
from tasks.serve.collector import collector_served, invited, register_of
from tasks.serve.fleet import Fleet, begin_rollout, fleet_of, step_rollout
from tests.cells import cell_picture, write_bundle
from tests.conftest import free_port
from tests.infra.places import CONTAINERS, PROGRAMS, ROOT

PROJECT, CHANNEL = "belt", "stable"
PATIENCE_S = 240.0
_START_S, _STOP_S = 60.0, 20.0
_ENVIRONMENT = {
    "PATH": f"{PROGRAMS}:{Path(sys.executable).parent}:/usr/bin:/bin",
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "HOME": os.environ.get("HOME", "/tmp"),
}


@dataclass(frozen=True)
class SmallFleet:
    """Attributes:
    n_devices: those of the end tell their events by the broker, `n_by_broker` of them.
    broker: `@FILE` with the address of one, for the collector and for them.
    every_s: between two updates of a device.
    """

    folder: Path
    n_devices: int
    n_by_broker: int = 0
    broker: str = ""
    every_s: int = 1

    @property
    def home(self) -> Path:
        """Of releases, collector and register."""
        return self.folder / "home"

    @property
    def settings(self) -> Settings:
        return read_settings({"EDGEWRIGHT_HOME": str(self.home)})

    @property
    def names(self) -> list[str]:
        return [f"line-{number}" for number in range(self.n_devices)]

    @property
    def by_broker(self) -> list[str]:
        return self.names[self.n_devices - self.n_by_broker :]

    def device(self, name: str) -> Home:
        return open_home(self.folder / name, files=Files())

    @property
    def known(self) -> Fleet:
        return fleet_of(self.settings, PROJECT, CHANNEL)

    @property
    def ended(self) -> bool:
        rollout = self.known.rollout
        return rollout is not None and rollout.ended

    @property
    def running(self) -> list[int]:
        made = [name for name in self.names if (self.folder / name / "device.json").exists()]
        slots = [Slots(self.device(name)) for name in made]
        found = [each.bundle(each.state().active) for each in slots]
        return sorted(bundle.manifest.release for bundle in found if bundle)

    def publish(self, release: int, **changes: float) -> None:
        (self.folder / str(release)).mkdir()
        publish_release(
            write_bundle(self.folder / str(release), release=release, **changes),
            repository=self.home / "releases" / PROJECT,
            keys=self.home / "keys" / PROJECT,
            channel=CHANNEL,
            now=datetime.now(UTC),
            roll_out=release == 1,
        )

    def roll_out(self, release: int, **changes: float) -> None:
        self.publish(release, **changes)
        begin_rollout(self.settings, PROJECT, CHANNEL, release=release, stages=(0.01, 0.5, 1.0), dwell_s=0.0)

    @contextmanager
    def served(self) -> Iterator[None]:
        releases, log = [sys.executable, "-m", "edgewright.cli", "serve-releases"], self.folder / "releases.log"
        with (
            _process(releases, {**_ENVIRONMENT, "EDGEWRIGHT_HOME": str(self.home)}, log=log),
            collector_served(self.settings, port=free_port(), broker=self.broker, say=lambda line: None),
        ):
            await_that(lambda: bool(log.read_text()), within_s=_START_S)
            yield

    @contextmanager
    def devices_run(self) -> Iterator[None]:
        """What each says lies beside its folder: a pipe that nobody reads would stop it."""
        feed = self.folder / "feed"
        feed.mkdir()
        Image.fromarray(cell_picture(0, 1)).save(feed / "0.png")
        with ExitStack() as held:
            for name in self.names:
                token, words = self.folder / f"{name}.token", {"channel": CHANNEL, "tier": "full", "device": name}
                token.write_text(invited(self.settings, PROJECT, **words, life_s=600.0).to_text())
                given = {
                    "DEVICE_HOME": str(self.folder / name),
                    "DEVICE_TOKEN": str(token),
                    "DEVICE_FEED": str(feed),
                    "DEVICE_EVERY_S": str(self.every_s),
                    **({"DEVICE_MQTT": self.broker} if name in self.by_broker else {}),
                }
                loop, log = [str(CONTAINERS / "device_loop.sh")], self.folder / f"{name}.log"
                held.enter_context(_process(loop, {**_ENVIRONMENT, **given}, log=log))
            yield

    def await_first_figures(self) -> None:
        """All run the first release, and have told what they detect."""

        def told() -> bool:
            return sum(said.detections is not None for said in self.known.told.values()) == self.n_devices

        await_that(told)
        assert self.running == [1] * self.n_devices

    def step_until(self, done: Callable[[], bool]) -> str:
        """What the last step said."""
        said = ""

        def stepped() -> bool:
            nonlocal said
            said = step_rollout(self.settings, PROJECT, CHANNEL).why
            return done()

        await_that(stepped, every_s=1.0, otherwise=lambda: f"{said}, {self.running}")
        return said

    def see_a_bad_one_withdrawn(self) -> None:
        """Release 2: signed, passes its golden pictures in the factory, and is blind in the field."""
        self.roll_out(2, gain=0.3)
        assert "0.00 detections a frame" in self.step_until(lambda: self.ended)
        self.step_until(lambda: self.running == [1] * self.n_devices)

    def see_it_reach_all(self, release: int) -> None:
        said = self.step_until(lambda: self.running == [release] * self.n_devices and self.ended)
        assert "every stage is done" in said

    def check_in(self) -> None:
        """Each tells all that it has, by the line that it has. Its loop has ended."""
        for name in self.names:
            command = ["edgewright-device", "check-in", "--home", str(self.folder / name)]
            subprocess.run(command, env=_ENVIRONMENT, check=True, capture_output=True, timeout=60)

    def require_each_event_once(self) -> list[list[Told]]:
        """Of each device what it told, after `check_in`: number by number, a chain of states up to the one it is in."""
        with register_of(self.settings) as engine, engine.begin() as connection:
            known = members(connection, PROJECT)
            assert [(member.device, member.rewound) for member in known] == [(name, 0) for name in self.names]
            told = [events_of(connection, PROJECT, name) for name in self.names]
        for name, events in zip(self.names, told, strict=True):
            home = self.device(name)
            with opened(home) as outbox:
                assert outbox.count() == 0, f"{name} has something to tell"
            assert [event.seq for event in events] == list(range(1, len(events) + 1)), f"of {name}"
            changes = [json.loads(one.body) for one in events if one.kind == "state"]
            assert all(later["before"] == earlier["after"] for earlier, later in pairwise(changes)), f"of {name}"
            assert changes[-1]["after"] == json.loads(Slots(home).state().to_bytes())["state"], f"of {name}"
        return told


def releases_told(events: Sequence[Told]) -> list[int]:
    """What a device said that it ran."""
    return sorted({json.loads(one.body)["release"] for one in events if one.kind == "report"} - {0})


def await_that(
    holds: Callable[[], bool],
    *,
    within_s: float = PATIENCE_S,
    every_s: float = 0.5,
    otherwise: Callable[[], str] = lambda: "it never came",
) -> None:
    over = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < over, otherwise()
        time.sleep(every_s)


@contextmanager
def _process(command: list[str], environment: dict[str, str], *, log: Path) -> Iterator[None]:
    with log.open("w") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
