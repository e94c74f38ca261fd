"""How the agent and its self-test run as processes of their own: a checked list, no shell, an environment made here.

Decides what such a process may see of its surroundings: the package's own folder and nothing else (no proxies, no
credentials). An agent that a person starts reaches its server as that person's variables say. Refuses a bundle whose
self-test crashes, hangs or takes too much: to the caller that is a failed one; and to wait for a server for ever.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import edgewright
from edgewright.addresses import proxies, spare_loopback
from edgewright.errors import DeviceUnreachable, StoreUnavailable
from edgewright.runtime.selftest import SelfTest

SelfTester = Callable[[Path], SelfTest]
"""The folder of a checked bundle => its self-test."""
SELFTEST_TIMEOUT_S = 60.0
_CPU_LIMIT_S = 45
_FILE_LIMIT_BYTES = 1 << 20  # its own result, should somebody redirect it
_MEMORY_LIMIT_BYTES = 1 << 30
"""Address space, not resident: a 1.6 MB detector at 320 px takes 182 MB of it, 82 MB resident (measured)."""
_PR_SET_PDEATHSIG = 1
ENGINES_MEMORY_BYTES = 4 << 30
"""Of the process that tries every engine there is."""


def agent_command(*arguments: str) -> list[str]:
    """-P: what lies in the current folder is not imported."""
    return [sys.executable, "-P", "-m", "edgewright.device", *arguments]


def agent_environment() -> dict[str, str]:
    """One BLAS thread: nothing in the agent multiplies matrices outside ONNX Runtime, and each costs address space."""
    package_root = Path(edgewright.__file__).resolve().parents[1]
    return {
        "PATH": os.defpath,
        "PYTHONPATH": str(package_root),
        "PYTHONUTF8": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def network_environment() -> Mapping[str, str]:
    """How this process reaches a server: its own variables, this machine's addresses excepted from any proxy."""
    if proxies(os.environ):
        spare_loopback(os.environ)
    return os.environ


def limit_this_process(*, memory_bytes: int = _MEMORY_LIMIT_BYTES) -> None:
    """For a process of its own, before it loads a model: bounded memory, time and files, no core dump."""
    for kind, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, _CPU_LIMIT_S),
        (resource.RLIMIT_FSIZE, _FILE_LIMIT_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def end_with(parent: int) -> None:
    """Have Linux end this process when `parent`, which began it, ends, however: prctl(2), PR_SET_PDEATHSIG.

    Called by the process itself: nothing may run between fork and exec in a program that has threads.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it had ended before
        os.kill(os.getpid(), signal.SIGTERM)


def selftest_in_child(slot: Path) -> SelfTest:
    """The self-test of the bundle in this folder; whatever happens to the child is a result.

    Raises StoreUnavailable where somebody ended it: the device is being shut down, and nothing is to blame.
    """
    done = run_child("self-test", str(slot), "--json", timeout_s=SELFTEST_TIMEOUT_S)
    if isinstance(done, str):
        return SelfTest.failed(f"the self-test {done}")
    if -done.returncode in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        raise StoreUnavailable("the self-test was ended from outside", got=_ending(done), where=slot)
    try:
        return SelfTest.from_json(json.loads(done.stdout))
    except (ValueError, TypeError, KeyError):
        return SelfTest.failed(f"the self-test's process ended with {_ending(done)}")


def run_child(*arguments: str, timeout_s: float) -> subprocess.CompletedProcess[bytes] | str:
    """An agent's command in a process of its own; what went wrong where it did not end in time."""
    try:
        return subprocess.run(
            agent_command(*arguments),
            env=agent_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {timeout_s:g} s"


def _ending(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        return f"signal {signal.Signals(-done.returncode).name}"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return f"exit code {done.returncode}" + (f": {said[-1][:300]}" if said else "")


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """However slowly a server speaks: a byte now and then, in a handshake or a head, resets every other limit.

    In a program's main thread alone, where alone a signal can end what waits; elsewhere it does nothing. Raises
    DeviceUnreachable when the time is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(*_: object) -> None:
        raise DeviceUnreachable(f"{what} took too long", expected=f"at most {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
