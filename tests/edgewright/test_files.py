"""Files are whole or not there, whatever interrupts the writer; locks end with their holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgewright.files import PRIVATE, READABLE, locked, locked_for_reading, replaced, try_locked, write_atomically

_WRITER = """
import sys; from itertools import count; from pathlib import Path; from edgewright.files import write_atomically
for turn in count():
    write_atomically(Path(sys.argv[1]), b"ab"[turn % 2 : turn % 2 + 1] * (1 << 20))
    if turn == 1:
        print("writing", flush=True)
"""
_HOLDER = """
import sys, time; from pathlib import Path; from edgewright.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def start(code: str, path: Path) -> subprocess.Popen[bytes]:
    """A process that has said its first word."""
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().strip() in (b"writing", b"held")
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("after_s", [0.0, 0.003, 0.011])
def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path, after_s: float) -> None:
    path = tmp_path / "state"
    writer = start(_WRITER, path)
    seen = [path.read_bytes() for _ in range(20)]
    time.sleep(after_s)
    kill(writer)
    for payload in (*seen, path.read_bytes()):
        assert len(payload) == 1 << 20
        assert len(set(payload)) == 1


def test_a_failed_block_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail() -> None:
        with replaced(path) as staged:
            staged.write_bytes(b"half")
            assert path.read_bytes() == b"old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [(left.name, left.read_bytes()) for left in tmp_path.iterdir()] == [("a", b"old")]


@pytest.mark.parametrize(("mode", "expected"), [(PRIVATE, 0o600), (READABLE, 0o644)])
def test_the_mode_is_there_from_the_first_byte_on(tmp_path: Path, mode: int, expected: int) -> None:
    before = os.umask(0o022)
    try:
        with replaced(tmp_path / "key", mode=mode) as staged:
            assert staged.stat().st_mode & 0o777 == expected
        assert (tmp_path / "key").stat().st_mode & 0o777 == expected
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "日" * 85])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, b"1")
    assert (tmp_path / name).read_bytes() == b"1"


@pytest.mark.parametrize("name", ["run.lock", "."])
def test_a_lock_dies_with_its_process(tmp_path: Path, name: str) -> None:
    """On a file and on a folder."""
    holder = start(_HOLDER, tmp_path / name)
    with try_locked(tmp_path / name) as free:
        assert not free
    kill(holder)
    with try_locked(tmp_path / name) as free:
        assert free


def test_who_waits_comes_next(tmp_path: Path) -> None:
    order: list[str] = []

    def wait() -> None:
        with locked(tmp_path / "a"):
            order.append("second")

    with locked(tmp_path / "a"):
        other = threading.Thread(target=wait)
        other.start()
        time.sleep(0.05)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]


def test_readers_share_a_lock_that_a_writer_does_not_get(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"1\n")
    with locked_for_reading(path), locked_for_reading(path), try_locked(path) as free:
        assert not free
    with try_locked(path) as free:
        assert free
