"""A server process that is begun again where it ends by itself, by the same command.

Decides when that is given up: where it ends more than MOST_ENDS times within WITHIN_S, something is wrong that a start
does not cure. Ends what a killed server has left of itself first: MLflow's is two processes, and the one that lives on
holds the port.

    kept = Kept("MLflow", lambda: Popen(…), log=log)        # in a process group of its own
    kept.look_after(say)                                    # every now and then
    kept.end(within_s=10)
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgewright.errors import StageFailed
from edgewright.processes import end_children

MOST_ENDS, WITHIN_S = 3, 300.0


class Kept:
    """One server.

    Args:
        begin: starts it, as the leader of a process group.
        log: where it writes, for messages.
    """

    def __init__(self, name: str, begin: Callable[[], subprocess.Popen[bytes]], *, log: Path) -> None:
        self._name, self._begin, self._log = name, begin, log
        self._ends: list[float] = []
        self.process = begin()

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def look_after(self, say: Callable[[str], None]) -> None:
        """Begin it again where it has ended. Raises StageFailed where that is all it does."""
        status = self.process.poll()
        if status is None:
            return
        now = time.monotonic()
        self._ends = [*(ended for ended in self._ends if now - ended < WITHIN_S), now]
        if len(self._ends) > MOST_ENDS:
            raise StageFailed(
                f"{self._name} ends by itself again and again",
                got=f"{len(self._ends)} times within {WITHIN_S:.0f} s, exit status {status}",
                next_step=f"see {self._log}",
            )
        say(f"{self._name} ended (exit status {status}) and is begun again: {self._log}")
        _end_group(self.process.pid)
        self.process = self._begin()

    def end(self, *, within_s: float) -> None:
        end_children([self.process], within_s=within_s)


def _end_group(leader: int) -> None:
    """What is left of a process group. Children of ours among it are waited for: they hold the port till then."""
    with suppress(ProcessLookupError, ChildProcessError):
        os.killpg(leader, signal.SIGKILL)
        while True:
            os.waitpid(-leader, 0)
