"""Helpers: hands that make shards of the same work beside this process, be they its processes or a cluster's.

Decides when they are worth their start: when this process's first shard says that the rest would take longer than
HELPERS_AFTER_S. A thread a hand claims shards for it and writes what it answers, so that a node needs no folder of this
machine's; a hand that is lost gives its claim back, and the shard is made again. A helper that fails loses nothing, for
the others make its shards; one that refuses, because it would make something else, ends the work. After an interruption
hands finish the shards in work, if that takes no longer than FINISH_WITHIN_S: it loses at most that of this process.
Where networks compute on an accelerator of this process, a cluster's hands, which have none, are left out.

    folder = ShardFolder(root / job.name, ShardPlan(images, shard_images))
    helped = make_with_help(folder, make, helped_by=Help(hands, "edgewright.synth.worker", job), …)
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from edgewright.errors import ArtifactCorrupt, EdgewrightError, InputError
from edgewright.fanout.hands import Hand, HandLost, Hands
from edgewright.fanout.processes import ALONE
from edgewright.learning.device import best_device
from edgewright.progress import OnProgress
from edgewright.shards.folder import (
    MakeShard,
    OnPicture,
    Shard,
    ShardFolder,
    make_one,
    make_shards,
    shard_from_bytes,
)

HELPERS_AFTER_S = 10.0
"""The remaining work, in seconds of one process, that is worth starting helpers for: they need some seconds."""
FINISH_WITHIN_S = 10.0
"""Time that helpers have for the shards in work once they are not wanted any more."""
_MAX_LOST = 3
"""Hands that one helper may lose before it gives up."""
_REPORT_EVERY_S = 0.5


@dataclass(frozen=True)
class Help:
    """Who may help, and with what: `program` opens `job` and is asked for shards (`folder.serve`).

    Attributes:
        after_s: see HELPERS_AFTER_S.
    """

    hands: Hands
    program: str
    job: bytes
    after_s: float = HELPERS_AFTER_S


@dataclass(frozen=True)
class Helped:
    """How many helpers were started; `failed` of them gave up, the first because of `why`."""

    started: int
    failed: int
    why: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence where some gave up: the work is whole all the same, and took longer."""
        return (f"{self.failed} of {self.started} helpers gave up: {self.why}",) if self.failed else ()


def make_with_help(
    folder: ShardFolder, make: MakeShard, *, helped_by: Help, on_progress: OnProgress, what: str
) -> Helped:
    """Make every shard of the folder, this process too.

    Args:
        what: is made, for the progress.

    Raises:
        InputError: a helper refuses: its machine has not what the job needs, or would make something else.
    """
    with Helpers(folder, helped_by) as helpers:
        watch = _Watch(folder, helpers, on_progress, what=what, after_s=helped_by.after_s)
        make_shards(folder, make, on_picture=watch)
        return helpers.helped


@contextmanager
def shard_root(scratch: Path | None) -> Iterator[Path]:
    """Where shards lie: in the scratch folder, in which they survive; else in one that is gone afterwards."""
    if scratch is not None:
        yield scratch
        return
    with tempfile.TemporaryDirectory(prefix="edgewright-shards-") as temporary:
        yield Path(temporary)


class Helpers:
    """The helpers of one work; none is left when the block ends, however it ends."""

    def __init__(self, folder: ShardFolder, helped_by: Help) -> None:
        self._folder, self._help = folder, helped_by
        self._hands = helped_by.hands if helped_by.hands.here or best_device().type == "cpu" else ALONE
        self._threads: list[threading.Thread] = []
        self._hired: list[Hand] = []
        self._lock = threading.Lock()
        self._stopped, self._ended = threading.Event(), False
        self._errors: list[EdgewrightError] = []

    @property
    def started(self) -> int:
        return len(self._threads)

    @property
    def helped(self) -> Helped:
        errors = list(self._errors)
        return Helped(self.started, len(errors), str(errors[0]) if errors else "")

    def start(self, wanted: int) -> None:
        """Have `wanted` of them, or as many as there are hands for. Those that once were started stay."""
        if wanted <= self.started:
            return
        for number in range(self.started, min(wanted, self._hands.beside(1))):
            thread = threading.Thread(target=self._work, args=(number,), name=f"helper-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def require_willing(self) -> None:
        """Raises the first refusal: others would meet the same, and whoever runs this must act."""
        for error in list(self._errors):
            if isinstance(error, InputError):
                raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        try:
            if error is not None:
                self._join(within_s=FINISH_WITHIN_S)
        finally:
            with self._lock:
                self._ended = True
            for hand in self._hired:
                hand.end()
            self._join(within_s=FINISH_WITHIN_S)

    def _join(self, *, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self, number: int) -> None:
        """A helper's whole life."""
        lost: list[HandLost] = []
        while len(lost) < _MAX_LOST and not self._stopped.is_set():
            try:
                self._work_with(self._hire(number))
                return
            except HandLost as error:
                lost.append(error)
            except EdgewrightError as error:
                self._errors.append(error)
                return
        if not self._stopped.is_set():
            self._errors.append(lost[-1])

    def _work_with(self, hand: Hand) -> None:
        """Until no shard is left that nobody makes: what is lost later, its own helper makes again."""
        folder = ShardFolder(self._folder.path, self._folder.plan)
        try:
            hand.begin()
            while not self._stopped.is_set() and (number := folder.claim_next()) is not None:
                make_one(folder, number, _made_by(hand), on_picture=lambda _: None)
        finally:
            hand.end()

    def _hire(self, number: int) -> Hand:
        with self._lock:
            if self._ended:
                raise HandLost("no hand is wanted any more")
            log = self._folder.path / f"helper-{number}.log"
            self._hired.append(self._hands.hire(self._help.program, self._help.job, log=log))
            return self._hired[-1]


def _made_by(hand: Hand) -> MakeShard:
    def make(indexes: range, on_picture: OnPicture) -> Shard:
        answer = hand.ask(json.dumps([indexes.start, indexes.stop]).encode())
        on_picture(len(indexes))
        try:
            return shard_from_bytes(answer)
        except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
            raise ArtifactCorrupt("a helper answered what is no shard", got=error) from error

    return make


class _Watch:
    """Reports progress, and starts helpers once it is known that they are worth it."""

    def __init__(
        self, folder: ShardFolder, helpers: Helpers, on_progress: OnProgress, *, what: str, after_s: float
    ) -> None:
        self._folder, self._helpers = folder, helpers
        self._on_progress, self._what, self._after_s = on_progress, what, after_s
        self._began = self._reported = time.monotonic()
        self._own = 0

    def __call__(self, in_work: int) -> None:
        self._own += in_work > 0
        now = time.monotonic()
        if in_work and now - self._reported < _REPORT_EVERY_S:
            return
        self._reported = now
        self._helpers.require_willing()
        plan, left = self._folder.plan, self._folder.unfinished()
        missing = sum(len(plan.indexes(number)) for number in left)
        self._on_progress(plan.images - missing + in_work * bool(left), plan.images, self._what)
        if not in_work and self._own:
            remaining_s = missing * (now - self._began) / self._own
            self._helpers.start(len(left) - 1 if remaining_s > self._after_s else 0)
