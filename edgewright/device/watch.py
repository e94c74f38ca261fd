"""A device's life: it detects on its feed, updates itself beside that, and tells how it goes.

Decides when: an update is asked for every `every_s` seconds, a tenth more or less so that many devices do not ask at
once, in a process of its own, so that no download holds the detecting up; what was detected is reported as often. A
release that was installed runs as soon as the update has ended. Refuses to end for anything that may pass: a server
that is away, a refused release, a feed that gives nothing are said, and tried again.

    with open_feed("rtsp://camera/stream", say=print) as feed:
        Watch(home, feed, out, every_s=60.0, say=print).run(until=lambda: False)
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgewright.device.engine import engine_for
from edgewright.device.feed import Feed
from edgewright.device.home import Home, locked
from edgewright.device.process import agent_command
from edgewright.device.report import keep
from edgewright.device.runner import FeedReport, run_feed
from edgewright.device.sighting import OnSighting
from edgewright.device.slots import Slots
from edgewright.device.standing import running
from edgewright.device.start import Started, commit, start
from edgewright.errors import ArtifactCorrupt, EdgewrightError, HomeBusy, InputError
from edgewright.runtime.engines import Engine

_POLL_S, _SPREAD = 0.2, 0.1
_END_S = 10.0
Until = Callable[[], bool]


class Updates:
    """`edgewright-device update`, now and then, beside this process."""

    def __init__(self, home: Home, every_s: float) -> None:
        self._home, self._every_s = home, every_s
        self._process: subprocess.Popen[bytes] | None = None
        self._due = 0.0

    def look(self) -> None:
        """Begin one where one is due."""
        if not self.running and time.monotonic() >= self._due:
            command = agent_command("update", "--home", str(self._home.root))
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            self._due = time.monotonic() + self._every_s * random.uniform(1 - _SPREAD, 1 + _SPREAD)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def rest_s(self) -> float:
        """Until the next is due."""
        return max(0.0, self._due - time.monotonic())

    def end(self) -> None:
        if self._process is not None and self.running:
            self._process.terminate()  # at any moment: the agent is atomic
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@dataclass
class Watch:
    """Attributes:
    threads: of ONNX Runtime; None: the engine that was measured. limit_ms: as `run_feed` takes it.
    say: told in a sentence what does not go as it should.
    watchers: of each frame.
    """

    home: Home
    feed: Feed
    out: Path
    every_s: float
    say: Callable[[str], None]
    threads: int | None = None
    limit_ms: float | None = None
    watchers: Sequence[OnSighting] = ()
    _said: str = field(default="", init=False)
    _started: Started | None = field(default=None, init=False)

    def run(self, *, until: Until) -> None:
        updates = Updates(self.home, self.every_s)
        try:
            while not until():
                updates.look()
                if self._started is None or self._replaced():
                    self._rest(until, lambda: not updates.running)  # it may install what is to run
                    self._started = self._start()
                if self._started is None:
                    self._rest(until, lambda: updates.rest_s == 0)
                    continue
                self._round(until, updates)
                if not self.feed.live:
                    self._rest(until, lambda: updates.rest_s == 0 or (not updates.running and self._replaced()))
        finally:
            updates.end()

    def _start(self) -> Started | None:
        try:
            with locked(self.home):
                started = start(Slots(self.home))
        except (InputError, ArtifactCorrupt, HomeBusy) as error:
            self._news(str(error))
            return None
        if started.fell_back:
            self._news(started.fell_back)
        return started

    def _round(self, until: Until, updates: Updates) -> None:
        """Until the next update is due, or another release is to run, or the feed ends."""
        started = self._started
        if started is None:
            return
        over = time.monotonic() + self.every_s
        updating = updates.running

        def ended() -> bool:
            nonlocal updating
            updates.look()
            before, updating = updating, updates.running
            return until() or time.monotonic() > over or (before and not updating and self._replaced())

        committed = False

        def on_frame(_: int) -> None:
            nonlocal committed
            committed = committed or self._commit()

        try:
            feed = run_feed(
                started.bundle,
                self.feed,
                self.out,
                files=self.home.files,
                on_frame=on_frame,
                until=ended,
                engine=Engine(threads=self.threads) if self.threads else engine_for(self.home, started.bundle),
                limit_ms=self.limit_ms,
                device_id=self.home.config.device_id,
                watchers=self.watchers,
            )
        except InputError as error:
            if not until():
                self._news(str(error))
                self._keep(started, None, unseen=str(error))
            return
        self._said = ""
        self._keep(started, feed)

    def _keep(self, started: Started, feed: FeedReport | None, *, unseen: str = "") -> None:
        """A report, which the next update tells."""
        report = replace(running(self.home, "run"), selftest=started.selftest, feed=feed, unseen=unseen)
        if why := keep(self.home, replace(report, fell_back=started.fell_back)):
            self._news(why)

    def _commit(self) -> bool:
        """Whether the release that runs is committed, or is no longer the one to commit."""
        try:
            with locked(self.home):
                if not self._replaced():
                    commit(Slots(self.home))
        except HomeBusy:
            return False  # an update: at the next frame
        except EdgewrightError as error:
            self._news(str(error))
            return False
        return True

    def _replaced(self) -> bool:
        """Whether another release is to run than the one that does."""
        slots = Slots(self.home)
        active = slots.state().active
        return self._started is None or slots.manifest_sha256(active) != self._started.bundle.manifest_sha256

    def _rest(self, until: Until, over: Until) -> None:
        while not until() and not over():
            time.sleep(_POLL_S)

    def _news(self, sentence: str) -> None:
        """The same is said once, until a frame was seen again."""
        if sentence != self._said:
            self.say(sentence)
        self._said = sentence
