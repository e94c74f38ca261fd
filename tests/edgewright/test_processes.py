"""Who lives: real processes, ended, killed, unreaped, deaf."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgewright.processes import ProcessIdentity, end_children, end_process, identity_of, is_alive, runs

_SLEEP = "import time; print('up', flush=True); time.sleep(60)"
_DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + _SLEEP


@contextmanager
def process(code: str = _SLEEP, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is up; killed and reaped afterwards."""
    started = subprocess.Popen(
        [sys.executable, "-c", code, "--a-name"], stdout=subprocess.PIPE, env={**os.environ, **environment}
    )
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == b"up\n"
        yield started
    finally:
        started.kill()
        started.communicate()


def known(pid: int) -> ProcessIdentity:
    found = identity_of(pid)
    assert found is not None
    return found


def test_an_identity_can_be_written_down_and_read_by_another_process() -> None:
    with process() as started:
        code = f"from edgewright.processes import identity_of; print(identity_of({started.pid}).began_s)"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert is_alive(ProcessIdentity(started.pid, float(told)))


def test_a_process_that_nobody_has_reaped_is_dead() -> None:
    with process() as started:
        identity = known(started.pid)
        started.kill()
        deadline = time.monotonic() + 10
        while is_alive(identity) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not is_alive(identity)
        assert identity_of(started.pid) is None


def test_a_pid_that_was_given_again_is_another_process() -> None:
    with process() as started:
        identity = known(started.pid)
        assert identity.began_s is not None
        earlier = ProcessIdentity(started.pid, identity.began_s - 0.5)
        assert (is_alive(identity), is_alive(earlier)) == (True, False)
        end_process(earlier, within_s=0.1)
        assert is_alive(identity), "another process of that pid is left alone"
        assert is_alive(ProcessIdentity(started.pid, None)), "whoever has it, where the beginning is not known"


@pytest.mark.parametrize(
    ("argument", "environment", "expected"),
    [
        ("--a-name", {"HOUSE": "a"}, True),
        ("--a-name", {"HOUSE": "b"}, False),  # of another home
        ("--a", {"HOUSE": "a"}, False),  # a whole argument, not a part of one
    ],
)
def test_a_command_is_known_by_argument_and_environment(
    argument: str, environment: dict[str, str], expected: bool
) -> None:
    with process(HOUSE="a") as started:
        identity = known(started.pid)
        assert runs(identity, argument, environment=environment) is expected
    assert not runs(identity, argument, environment=environment)


@pytest.mark.parametrize(("code", "status"), [(_SLEEP, -15), (_DEAF, -9)])
def test_a_process_is_asked_first_and_then_ended(code: str, status: int) -> None:
    with process(code) as started:
        end_process(known(started.pid), within_s=0.5)
        assert started.wait(10) == status
    with process(code) as started:
        end_children([started], within_s=0.5)
        assert started.returncode == status


def test_ending_what_is_gone_does_nothing() -> None:
    with process() as started:
        identity = known(started.pid)
    end_process(identity, within_s=0.1)
    assert identity_of(started.pid) != identity
