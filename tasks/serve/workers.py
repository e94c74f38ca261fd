"""The workers of a machine: one process a pool, begun again where one ends, none left behind.

Decides how a worker is started: in a process group of its own, so that Ctrl-C is its owner's to handle; with the home's
settings; the one of `control` dispatches what its flows call, the others run it where they are. A flow run whose worker
was killed goes on, and tells Prefect itself how it ended. Ends with the workers what they run: a flow run that nobody
watches would go on alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from edgewright.processes import end_children
from edgewright.settings import Settings
from tasks.serve.prefect_server import die_with_parent

CONTROL = "control"
ASK_EVERY_S = 2
"""How often a worker looks for work: what a stage waits for one, at most."""
_AGAIN_AFTER_S = 5.0
_STOP_TIMEOUT_S = 20.0
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Reached:
    """How a worker reaches the servers."""

    prefect: str
    mlflow: str


class Workers:
    """One worker a pool, while the block of `workers_of` lasts."""

    def __init__(
        self, settings: Settings, pools: Iterable[str], *, reached: Reached, say: Callable[[str], None]
    ) -> None:
        self._settings, self._reached, self._say = settings, reached, say
        self._began: dict[str, float] = {}
        self._orphans: list[psutil.Process] = []
        self.processes = {pool: self._start(pool) for pool in pools}

    def look_after(self) -> None:
        """Begin again what has ended, not more than once in a while."""
        for pool, process in self.processes.items():
            ended = process.poll()
            if ended is None or time.monotonic() - self._began[pool] < _AGAIN_AFTER_S:
                continue
            self._say(f"the worker of pool {pool} ended (exit status {ended}) and is begun again: {self.log(pool)}")
            self.processes[pool] = self._start(pool)
            self._orphans += [child for child in psutil.Process().children() if _is_orphan(child)]
        self._orphans = [orphan for orphan in self._orphans if not _reaped(orphan)]

    def log(self, pool: str) -> Path:
        return self._settings.home / "workers" / f"{pool}.log"

    def end(self) -> None:
        """All of them, and what they run. Prefect's worker passes the first signal on and ends at the second."""
        above = [process.pid for process in [*self.processes.values(), *self._orphans]]
        below = [*self._orphans, *(child for pid in above for child in _below(pid))]
        for process in self.processes.values():
            process.terminate()
        end_children(list(self.processes.values()), within_s=_STOP_TIMEOUT_S)
        for child in below:
            if child.is_running():
                child.terminate()
        for child in psutil.wait_procs(below, timeout=_STOP_TIMEOUT_S)[1]:
            child.kill()

    def _start(self, pool: str) -> subprocess.Popen[bytes]:
        self._began[pool] = time.monotonic()
        log = self.log(pool)
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "EDGEWRIGHT_HOME": str(self._settings.home),
            "EDGEWRIGHT_STORE": self._settings.store,
            "EDGEWRIGHT_ROUTER": "pools" if pool == CONTROL else "inline",
            "PREFECT_API_URL": self._reached.prefect,
            "MLFLOW_TRACKING_URI": self._reached.mlflow,
            "PREFECT_WORKER_QUERY_SECONDS": str(ASK_EVERY_S),
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
        }
        command = [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--type", "process"]
        with log.open("ab") as stream:
            return subprocess.Popen(
                [*command, "--pool", pool, "--name", f"{pool} of {os.uname().nodename}"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                preexec_fn=_killed_with_parent,
                process_group=0,
            )


@contextmanager
def workers_of(
    settings: Settings, pools: Iterable[str], *, reached: Reached, say: Callable[[str], None]
) -> Iterator[Workers]:
    """Begun here, ended with the block."""
    workers = Workers(settings, pools, reached=reached, say=say)
    try:
        yield workers
    finally:
        workers.end()


def _killed_with_parent() -> None:
    """For `preexec_fn`: of a milder signal Prefect's worker wants two, and lives on after the one that Linux sends.

    What it runs goes on either way.
    """
    die_with_parent(signal.SIGKILL)


def adopt_orphans() -> None:
    """From now on what is left of a killed process below is a child of this one: prctl(2), PR_SET_CHILD_SUBREAPER.

    Else it would be nobody's, and nobody would end it.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _is_orphan(child: psutil.Process) -> bool:
    """Whether a child of this process runs a flow run: its worker did begin it, and is gone."""
    try:
        return "PREFECT__FLOW_RUN_ID" in child.environ()
    except psutil.Error:
        return False


def _reaped(orphan: psutil.Process) -> bool:
    """Whether it has ended; then it is a zombie no more."""
    try:
        if orphan.status() == psutil.STATUS_ZOMBIE:
            os.waitpid(orphan.pid, os.WNOHANG)
            return True
        return False
    except (psutil.NoSuchProcess, ChildProcessError):
        return True


def _below(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []
