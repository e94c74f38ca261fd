"""A device of the rehearsal: the agent's own code on a simulated line, round after round.

Decides nothing of its own: what runs, what is kept and whether something changed is the agent's. Remembers what was
found on every frame, so that accuracy over time can be told afterwards. Refuses what the agent refuses.

    device = WatchedDevice(home, feed, out=folder)
    device.start()
    device.watch(windows=45, frames=20)
    device.seen[-1].boxes
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgewright.device.drift import Drift, Looking, drift_of, keep_window
from edgewright.device.engine import engine_for
from edgewright.device.home import Home, locked
from edgewright.device.keeping import Keeping, with_policy
from edgewright.device.report import send
from edgewright.device.runner import FeedReport, run_feed
from edgewright.device.sighting import Sighting
from edgewright.device.slots import Slots
from edgewright.device.standing import as_started, running
from edgewright.device.start import Started, commit, start
from edgewright.errors import DeviceUnreachable, InputError
from edgewright.rehearsal.line import LineFeed
from edgewright.runtime.boxes import Boxes


@dataclass(frozen=True)
class SeenFrame:
    """Attributes: boxes: px, what was found from the threshold on. doubted: below it, where a policy wants to know."""

    name: str
    at: float
    release: int
    boxes: Boxes
    doubted: Boxes


@dataclass
class WatchedDevice:
    """Attributes: out: a folder for what a run of the agent writes. said: sentences of the agent."""

    home: Home
    feed: LineFeed
    out: Path
    seen: list[SeenFrame] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    _started: Started | None = None
    _keeping: Keeping | None = None
    _looking: Looking = field(default_factory=Looking)
    _last: FeedReport | None = None

    @property
    def release(self) -> int:
        return self._started.bundle.manifest.release if self._started else 0

    @property
    def drift(self) -> Drift:
        return drift_of(self.home, self._started.bundle.manifest_sha256 if self._started else "")

    @property
    def classes(self) -> tuple[str, ...]:
        return self._must_run().bundle.manifest.spec.classes

    def take_seen(self) -> list[SeenFrame]:
        """What was seen since the last time."""
        taken, self.seen = self.seen, []
        return taken

    def start(self) -> None:
        """What the slots hold now, with the policy of now. Raises as the agent's start does."""
        with locked(self.home):
            self._started = start(Slots(self.home))
        self._looking = Looking()
        self._keeping = with_policy(self.home, self._started.bundle, say=self.said.append)

    def watch(self, *, windows: int, frames: int, until: Callable[[], bool] = lambda: False) -> int:
        """Rounds of so many frames each, until one of them ends with what is waited for; how many there were."""
        for number in range(1, windows + 1):
            self._round(frames)
            if until():
                return number
        return windows

    def tell(self) -> None:
        """What the last round came to, and hard frames, to the collector. Raises DeviceUnreachable: why not."""
        started = self._must_run()
        here = as_started(running(self.home, "run"), started)
        report = replace(here, feed=self._last, drift=self.drift.why)
        if why := send(self.home, report):
            raise DeviceUnreachable("the collector was not told", got=why, where=self.home.config.collector_url)

    def _round(self, frames: int) -> None:
        started = self._must_run()
        self._last = run_feed(
            started.bundle,
            self.feed,
            self.out,
            files=self.home.files,
            on_frame=lambda _: None,
            limit=frames,
            engine=engine_for(self.home, started.bundle),
            device_id=self.home.config.device_id,
            watchers=(self._looking, *((self._keeping,) if self._keeping else ()), self._remember),
            floor=self._keeping.floor if self._keeping else None,
        )
        if self._keeping:
            self._keeping.flush()
        with locked(self.home):
            commit(Slots(self.home))
        keep_window(self.home, started.bundle.manifest_sha256, self._looking)

    def _remember(self, sighting: Sighting) -> None:
        seen = sighting.seen
        if seen is not None:
            self.seen.append(
                SeenFrame(sighting.frame.name, sighting.frame.at or 0.0, self.release, seen.boxes, seen.doubted)
            )

    def _must_run(self) -> Started:
        if self._started is None:
            raise InputError("the device was not started", where=self.home.root)
        return self._started
