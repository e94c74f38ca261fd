"""A device's life: it detects on its feed, updates itself beside that, and tells how it goes.

Decides when: an update is asked for every `every_s` seconds, a tenth more or less so that many devices do not ask at
once, in a process of its own, so that no download holds the detecting up; what was detected is reported as often. A
release that was installed runs as soon as the update has ended; one on trial is committed before an update is asked
for, or has had a round to come to a frame. Refuses to end for anything that may pass: a server that is away, a refused
release, a feed that gives nothing are said, and tried again.

    with open_feed("rtsp://camera/stream", say=print) as feed:
        Watch(home, feed, out, every_s=60.0, say=print).run(until=lambda: False)
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgewright.device.cloud import Cloud, with_escalation
from edgewright.device.drift import Looking, drift_of, keep_window
from edgewright.device.engine import engine_for
from edgewright.device.escalation import Counts
from edgewright.device.feed import Feed
from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.home import Home, locked
from edgewright.device.keeping import Keeping, policy_of, with_policy
from edgewright.device.process import agent_command
from edgewright.device.report import DeviceReport, keep
from edgewright.device.runner import FeedReport, run_feed
from edgewright.device.sighting import Message, OnSighting
from edgewright.device.slots import Slots
from edgewright.device.standing import as_started, running
from edgewright.device.start import Started, commit, start, take_back
from edgewright.device.tier import keep_after_round
from edgewright.errors import ArtifactCorrupt, EdgewrightError, HomeBusy, InputError
from edgewright.runtime.engines import Engine

_POLL_S, _SPREAD = 0.2, 0.1
_AWAY_S, _END_S = 5.0, 10.0
Until = Callable[[], bool]


class Errand:
    """A command of the agent, beside this process, which it does not outlive: it may hold the home's lock."""

    def __init__(self, home: Home, *command: str) -> None:
        self._command = agent_command("--with", str(os.getpid()), *command, "--home", str(home.root))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def begin(self) -> None:
        """Where it does not run already."""
        if not self.running:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=sys.stderr)

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
    watchers: of each frame. on_round: told what was kept to be reported.
    answered: told what a larger model answered, from another thread; None: nobody would hear it, and none is asked.
    """

    home: Home
    feed: Feed
    out: Path
    every_s: float
    say: Callable[[str], None]
    threads: int | None = None
    limit_ms: float | None = None
    watchers: Sequence[OnSighting] = ()
    on_round: Callable[[DeviceReport], None] = lambda _: None
    answered: Callable[[Message], None] | None = None

    def __post_init__(self) -> None:
        self._update = Errand(self.home, "update")
        self._telling = Errand(self.home, "check-in", "--waiting")
        self._due, self._said = 0.0, ""
        self._updating = False
        self._looking = Looking()
        self._keeping: Keeping | None = None
        self._kept_by: tuple[str, FramesPolicy | None] | None = None
        self._cloud: Cloud | None = None
        self._asked_by: tuple[str, FramesPolicy | None] | None = None
        self._started: Started | None = None
        self._came_to_a_frame = False

    def run(self, *, until: Until) -> None:
        try:
            while not until():
                try:
                    self._step(until)
                except OSError as error:  # a disk that is full, read-only or broken
                    self._news(f"the disk cannot be used: {error}")
                    self._rest(until, lambda: time.monotonic() >= self._due)
                    self._due = time.monotonic() + self.every_s
        finally:
            if self._cloud:
                self._cloud.close()
            for errand in (self._update, self._telling):
                errand.end()
            if self._started is not None and not self._came_to_a_frame:
                with suppress(OSError, EdgewrightError), locked(self.home):
                    take_back(Slots(self.home))  # it was told to end, or had no picture: no fault of a release on trial

    def _step(self, until: Until) -> None:
        if self._started is None or (self._replaced() and not self._update.running):
            if not Slots(self.home).state().active:
                self._look()
                self._rest(until, lambda: not self._update.running)  # it installs what is to run
            self._started, self._came_to_a_frame = self._start(), False
        seen = self._started is not None and self._round(self._started, until)
        self._look()
        if not (seen and self.feed.live):
            self._rest(until, lambda: time.monotonic() >= self._due or self._newly_installed())

    def _look(self) -> None:
        """Begin an update where one is due."""
        if time.monotonic() >= self._due:
            self._update.begin()
            self._due = time.monotonic() + self.every_s * random.uniform(1 - _SPREAD, 1 + _SPREAD)

    def _start(self) -> Started | None:
        try:
            with locked(self.home):
                started = start(Slots(self.home))
            self._looking = Looking()
        except EdgewrightError as error:
            self._news(str(error))
            return None
        if started.fell_back:
            self._news(started.fell_back)
        return started

    def _round(self, started: Started, until: Until) -> bool:
        """Until the next update is due, or another release is to run, or the feed ends; whether a frame was seen."""
        began: float | None = None
        keeping, cloud = self._keeping_of(started), self._cloud_of(started)
        beside = [each for each in (keeping, cloud) if each]
        committed = False

        def ended() -> bool:
            nonlocal began
            began = time.monotonic() if began is None else began  # a model takes a while to load
            if committed:  # an update would keep the release on trial from being committed
                self._look()
            over = self.feed.live and time.monotonic() > began + self.every_s
            return until() or over or self._newly_installed()

        def on_frame(_: int) -> None:
            nonlocal committed
            self._came_to_a_frame = True
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
                # What is detected here is told before anybody else is asked.
                watchers=(
                    self._looking,
                    *((keeping,) if keeping else ()),
                    *self.watchers,
                    *((cloud,) if cloud else ()),
                ),
                floor=min((each.floor for each in beside), default=None),
                unwritten=self._news,
            )
            if keeping:
                keeping.flush()
        except ArtifactCorrupt as error:  # the model, and no frame: it is begun again, of which one on trial has three
            self._news(str(error))
            self._keep(started, None, unseen=str(error))
            self._started, self._came_to_a_frame = None, True
            return False
        except InputError as error:
            if not until():
                self._news(str(error))
                self._keep(started, None, unseen=str(error))
            return False
        self._said = ""
        if not self.threads:  # a person's choice is no measure of the tier
            keep_after_round(self.home, started.bundle, feed.times)
        keep_window(self.home, started.bundle.manifest_sha256, self._looking)
        self._keep(started, feed, escalated=cloud.told() if cloud else None)
        return True

    def _keeping_of(self, started: Started) -> Keeping | None:
        """By the newest policy; the same as before where neither that nor the release changed."""
        wanted = (started.bundle.manifest_sha256, policy_of(self.home))
        if wanted != self._kept_by:
            self._kept_by = wanted
            self._keeping = with_policy(self.home, started.bundle, say=self.say)
        return self._keeping

    def _cloud_of(self, started: Started) -> Cloud | None:
        """As `_keeping_of`."""
        wanted = (started.bundle.manifest_sha256, policy_of(self.home))
        if wanted != self._asked_by:
            self._asked_by = wanted
            if self._cloud:
                self._cloud.close()
            self._cloud = with_escalation(self.home, started.bundle, tell=self.answered, say=self.say)
        return self._cloud

    def _keep(
        self,
        started: Started,
        feed: FeedReport | None,
        *,
        unseen: str = "",
        escalated: Counts | None = None,
    ) -> None:
        """A report, which the next update tells, or what is sent now where that is a while away."""
        report = replace(
            as_started(running(self.home, "run"), started),
            feed=feed,
            unseen=unseen,
            drift=drift_of(self.home, started.bundle.manifest_sha256).why,
            escalated=escalated,
        )
        if why := keep(self.home, report):
            self._news(why)
        if self._due - time.monotonic() > _AWAY_S and not self._update.running:
            self._telling.begin()
        self.on_round(report)

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
        except OSError as error:  # with the next round; what detects goes on
            self._news(f"the release cannot be committed: {error}")
        return True

    def _replaced(self) -> bool:
        """Whether another release is to run than the one that does."""
        slots = Slots(self.home)
        active = slots.state().active
        return self._started is None or slots.manifest_sha256(active) != self._started.bundle.manifest_sha256

    def _newly_installed(self) -> bool:
        """Asked at each frame: the disk is looked at where an update has just ended."""
        before, self._updating = self._updating, self._update.running
        return before and not self._updating and self._replaced()

    def _rest(self, until: Until, over: Until) -> None:
        while not until() and not over():
            time.sleep(_POLL_S)

    def _news(self, sentence: str) -> None:
        """The same is said once, until a frame was seen again."""
        if sentence != self._said:
            self.say(sentence)
        self._said = sentence
