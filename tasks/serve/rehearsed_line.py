"""A small real fleet on a simulated line: enrolled over TLS, updated by TUF, watched, told a policy, rolled out to.

Decides the order in which a rehearsal happens to devices: they see the line as it was until they know what is usual;
the line changes, and they have their time to notice; then offline keys let them keep hard frames; in the end a release
is rolled out, to one of them first. Everything between is the agent's, the collector's and the release repository's own
code. Servers of the rehearsal listen on loopback and end with it. Refuses a home whose collector is served by another
process.

    with line_of(settings, "rehearsal-night-0", config, seed=0, name="r1") as line:
        line.begin()
        line.see_the_day()
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from edgewright.device.enroll import enroll
from edgewright.device.files import Files
from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.home import init_home, open_home
from edgewright.fleet.rollout import Rollout
from edgewright.rehearsal.line import EVERY_S, LineFeed, first_of
from edgewright.rehearsal.plan import WINDOW, RehearsalConfig
from edgewright.rehearsal.watched import SeenFrame, WatchedDevice
from edgewright.release.gateway import run_agent
from edgewright.release.keys import Keys, read_keys, roles_in
from edgewright.release.repository import set_policy
from edgewright.release.server import serve_releases
from edgewright.settings import Settings
from edgewright.simulate.camera import SimulatedCamera
from edgewright.simulate.shift import shift_named
from tasks.serve.collector import WHERE_FILE, collector_served, invited
from tasks.serve.fleet import begin_rollout, step_rollout
from tasks.serve.ports import free_port

CHANNEL = "stable"
ROUND = 100
"""Frames of a round once nothing has to be noticed."""
_UPDATE_S, _LIFE_S = 300.0, 3600.0
_SIXTHS, _PART_S = 6, 600
_STAGES, _STEPS = (0.01, 1.0), 12
OnStep = Callable[[str], None]


@dataclass
class Line:
    """Attributes: devices: in order. url: of the project's releases. on_step: told what happens."""

    settings: Settings
    project: str
    config: RehearsalConfig
    seed: int
    folder: Path
    url: str
    on_step: OnStep
    devices: list[WatchedDevice] = field(default_factory=list)

    @property
    def camera(self) -> SimulatedCamera:
        """Of the changed line."""
        return SimulatedCamera(self.seed, shift=shift_named(self.config.shift))

    def begin(self) -> None:
        """Enroll every device and bring it to what is released."""
        self._keep_frames(None)
        began_at = time.time() - 24 * 3600.0
        for number in range(self.config.devices):
            name = f"{self.folder.name}-{number}"
            token = invited(
                self.settings,
                self.project,
                channel=CHANNEL,
                tier="full",
                device=name,
                life_s=_LIFE_S,
                releases_url=self.url,
            )
            home = enroll(self.settings.devices / name, token, files=Files())
            feed = LineFeed(SimulatedCamera(self.seed), first=first_of(number), began_at=began_at)
            self.devices.append(WatchedDevice(home, feed, self.folder / name))
            self.on_step(f"{name} joins the fleet")
        self.update()

    def rejoin(self, *, camera: SimulatedCamera, after: int) -> None:
        """The same devices, in another process maybe: each goes on `after` so many frames of its own."""
        for number in range(self.config.devices):
            name = f"{self.folder.name}-{number}"
            known = open_home(self.settings.devices / name, files=Files())
            config = replace(known.config, server_url=self.url)  # of now: its port is another one
            home = init_home(known.root, trust_root=known.trust_root, config=config, files=Files())
            feed = LineFeed(camera, first=first_of(number) + after, began_at=time.time() - 3600.0)
            self.devices.append(WatchedDevice(home, feed, self.folder / name))
        self.update()

    def update(self) -> None:
        """Each device pulls by itself, and starts what it then has."""
        for device in self.devices:
            own = device.home
            run_agent("update", home=own.root, device_id=own.config.device_id, timeout_s=_UPDATE_S)
            device.start()

    def see_the_day(self) -> None:
        for device in self.devices:
            device.watch(windows=self.config.day_windows, frames=WINDOW)
            device.tell()
            self.on_step(f"{device.home.config.device_id} knows what is usual")

    def notice(self) -> list[int | None]:
        """The line changes; after how many frames each device noticed, None where it did not."""
        camera = self.camera
        noticed: list[int | None] = []
        for device in self.devices:
            device.feed.camera = camera
            windows = device.watch(
                windows=self.config.alarm_windows,
                frames=WINDOW,
                until=lambda device=device: bool(device.drift.why),  # type: ignore[misc]
            )
            device.tell()
            noticed.append(WINDOW * windows if device.drift.why else None)
            self.on_step(f"{device.home.config.device_id}: {device.drift.why or 'noticed nothing'}")
        return noticed

    def keep_hard_frames(self) -> dict[str, list[SeenFrame]]:
        """A policy is signed, and devices see the line under it; what each saw meanwhile, by device."""
        each = self.config.frames // len(self.devices)
        kept = max(1, self.config.kept // len(self.devices))
        parts = -(-int(each * EVERY_S) // _PART_S)  # an hour's share is handed out in sixths
        self._keep_frames(FramesPolicy(an_hour=_SIXTHS * -(-kept // parts), a_day=kept))
        self.update()
        seen = {}
        for device in self.devices:
            before = len(device.seen)
            device.watch(windows=-(-each // ROUND), frames=ROUND)
            device.tell()
            seen[device.home.config.device_id] = device.seen[before:]
            self.on_step(f"{device.home.config.device_id} sent its hard frames")
        self._keep_frames(None)
        return seen

    def roll_out(self, release: int) -> Rollout:
        """To one device first, then to all; the rollout as it ended, or as it stood after _STEPS steps."""
        for device in self.devices:  # what was usual before is the changed line
            device.watch(windows=1, frames=ROUND)
            device.tell()
        rollout = begin_rollout(self.settings, self.project, CHANNEL, release=release, stages=_STAGES, dwell_s=0.0)
        for _ in range(_STEPS):
            self.on_step(rollout.why)
            if rollout.ended:
                break
            self.update()
            for device in self.devices:
                device.watch(windows=1, frames=ROUND)
                device.tell()
            rollout = step_rollout(self.settings, self.project, CHANNEL)
        return rollout

    def see(self, frames: int) -> None:
        for device in self.devices:
            device.watch(windows=-(-frames // ROUND), frames=ROUND)

    def _keep_frames(self, policy: FramesPolicy | None) -> None:
        keys = self.settings.keys / self.project

        def read(roles: tuple[str, ...]) -> Keys:
            here = roles_in(keys)
            return read_keys(keys, [role for role in roles if role in here], secret=self.settings.keys_opened_by)

        set_policy(
            lambda before: replace(before, frames=policy),
            repository=self.settings.releases / self.project,
            channel=CHANNEL,
            now=datetime.now(UTC),
            read=read,
        )


@contextmanager
def line_of(
    settings: Settings, project: str, config: RehearsalConfig, *, seed: int, name: str, folder: Path, on_step: OnStep
) -> Iterator[Line]:
    """Its servers run in this block. Raises as `collector_served` does, and InputError where nothing is released.

    Args:
        name: of its devices, with a number each. folder: for what they write.
    """
    own_port = 0 if (settings.fleet / WHERE_FILE).exists() else free_port()
    with (
        serve_releases(settings.releases, host="127.0.0.1", port=0) as releases,
        collector_served(settings, say=on_step, port=own_port),
    ):
        yield Line(settings, project, config, seed, folder / name, f"{releases.url}/{project}", on_step)
