"""A server that ends by itself: begun again, without what it left of itself, and given up where that cures nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from edgewright.errors import StageFailed
from tasks.serve.kept import MOST_ENDS, Kept

LEAVES_A_CHILD = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"


def begin(code: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen([sys.executable, "-c", code], stdout=stream, process_group=0)


def test_one_that_lives_is_left_alone(tmp_path: Path) -> None:
    said: list[str] = []
    kept = Kept("it", lambda: begin("import time; time.sleep(600)", tmp_path / "log"), log=tmp_path / "log")
    try:
        before = kept.process
        kept.look_after(said.append)
        assert (kept.process, kept.lives, said) == (before, True, [])
    finally:
        kept.end(within_s=10)
    assert before.returncode == -15


def test_one_that_ends_is_begun_again_without_what_it_left_of_itself(tmp_path: Path) -> None:
    log, said = tmp_path / "log", []
    kept = Kept("it", lambda: begin(LEAVES_A_CHILD, log), log=log)
    first = kept.process
    first.wait()
    left = psutil.Process(int(log.read_text()))
    kept.look_after(said.append)
    try:
        assert said == [f"it ended (exit status 0) and is begun again: {log}"]
        assert kept.process is not first
        psutil.wait_procs([left], timeout=10)
        assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
    finally:
        kept.process.wait()
        os.killpg(kept.process.pid, 9)


def test_one_that_only_ends_is_given_up(tmp_path: Path) -> None:
    log, said = tmp_path / "log", []
    kept = Kept("it", lambda: begin("raise SystemExit(3)", log), log=log)
    for _ in range(MOST_ENDS):
        kept.process.wait()
        kept.look_after(said.append)
    kept.process.wait()
    with pytest.raises(StageFailed, match=r"it ends by itself again and again \(got 4 times .*exit status 3\).*log"):
        kept.look_after(said.append)
    assert len(said) == MOST_ENDS
