"""Worker processes: others that make shards of the same work beside the process that began it.

Decides how they are started and ended: `python -m PROGRAM FOLDER PID`, which reads what the work is from `job.json`
there, so that nothing is pickled and another machine that sees the folder and the store can help too. They end when
there is nothing left, when the folder tells them to stop, and when the process that started them is gone; then they
finish the shard in work first, if that takes no longer than FINISH_WITHIN_S. So an interruption loses at most the shard
of the process that is interrupted. A worker that fails loses nothing: its shards are made by the others.

    with Workers(folder, job=canonical_json(job), program="edgewright.synth.worker", at_most=3) as workers:
        workers.start(2)
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from edgewright.files import write_atomically
from edgewright.processes import end_children

FINISH_WITHIN_S = 10.0
"""Time that a worker has for the shard in work once it is not wanted any more."""
JOB_FILE = "job.json"
_STOP = "stop"
_END_WITHIN_S = 5.0


def is_told_to_stop(folder: Path) -> bool:
    return (folder / _STOP).exists()


class Workers:
    """The workers of one work; none is left when the block ends, however it ends.

    Args:
        job: what the work is; PROGRAM reads it.
    """

    def __init__(self, folder: Path, *, job: bytes, program: str, at_most: int) -> None:
        self._folder = folder
        self._job, self._program = job, program
        self._at_most = at_most
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def started(self) -> int:
        return len(self._running)

    @property
    def failed(self) -> int:
        """How many of them ended of themselves before the work was done, and not well; their logs say why."""
        return sum(process.poll() not in (None, 0) for process in self._running)

    def start(self, wanted: int) -> None:
        """Have `wanted` of them, or as many as are allowed. Those that once were started stay."""
        missing = min(wanted, self._at_most) - self.started
        if missing > 0:
            (self._folder / _STOP).unlink(missing_ok=True)  # of a run that was killed while it waited
            write_atomically(self._folder / JOB_FILE, self._job)
        for _ in range(missing):
            with (self._folder / f"worker-{self.started}.log").open("wb") as log:
                command = [sys.executable, "-m", self._program, str(self._folder), str(os.getpid())]
                self._running.append(
                    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and self._running:
                self._let_finish()
        finally:
            end_children(self._running, within_s=_END_WITHIN_S)

    def _let_finish(self) -> None:
        """Have them finish the shards in work, for some seconds at most."""
        stop = self._folder / _STOP
        stop.touch()
        try:
            deadline = time.monotonic() + FINISH_WITHIN_S
            for process in self._running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            stop.unlink(missing_ok=True)
