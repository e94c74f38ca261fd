"""Processes as hands: asked and answered in bytes, errors keep their words, and who is gone is called lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.fanout import processes
from edgewright.fanout.hands import HandLost
from edgewright.fanout.processes import ALONE, ProcessHand, ProcessHands

Hired = Callable[..., AbstractContextManager[ProcessHand]]


@pytest.fixture
def hired(program: str) -> Hired:
    """`with hired(job, log) as hand`."""

    @contextmanager
    def hire(job: bytes, log: Path | None = None) -> Iterator[ProcessHand]:
        hand = ProcessHands(2).hire(program, job, log=log)
        try:
            yield hand
        finally:
            hand.end()
            assert hand.process.returncode is not None

    return hire


def test_one_process_answers_every_piece(hired: Hired) -> None:
    large = bytes(3_000_000)
    with hired(b"job ") as hand:
        hand.begin()
        answers = [hand.ask(piece) for piece in (b"", b"one", large)]
    pid = str(hand.process.pid).encode()
    assert answers == [pid + b":job " + piece for piece in (b"", b"one", large)]


def test_an_error_of_ours_keeps_its_words_and_the_hand_goes_on(hired: Hired) -> None:
    with hired(b"job ") as hand:
        hand.begin()
        with pytest.raises(ArtifactCorrupt, match=r"no such piece \(got fail\)"):
            hand.ask(b"fail")
        assert hand.ask(b"again").endswith(b"again")


def test_a_job_that_is_refused_is_refused_where_it_was_given(hired: Hired) -> None:
    with hired(b"refuse") as hand, pytest.raises(InputError, match=r"not this job\. Next: another one"):
        hand.begin()


@pytest.mark.parametrize(("job", "code"), [(b"break", 1), (b"end", 7)])
def test_one_that_ends_before_it_begins_is_lost_and_its_log_says_why(
    hired: Hired, job: bytes, code: int, tmp_path: Path
) -> None:
    log = tmp_path / "hand.log"
    with hired(job, log) as hand, pytest.raises(HandLost, match=rf"before it began \(got exit code {code}"):
        hand.begin()
    assert ("nobody expected this" in log.read_text()) == (job == b"break")


def test_one_that_ends_in_its_work_is_lost(hired: Hired, tmp_path: Path) -> None:
    with hired(b"job", tmp_path / "log") as hand:
        hand.begin()
        hand.ask(b"piece")
        with pytest.raises(HandLost, match=r"in its work \(got exit code 7"):
            hand.ask(b"end")
        with pytest.raises(HandLost):
            hand.ask(b"piece")
    assert "what libraries say" in (tmp_path / "log").read_text(), "and not among the answers"


def test_who_waits_for_a_hand_that_is_ended_hears_of_it(hired: Hired) -> None:
    lost: list[HandLost] = []

    def wait(hand: ProcessHand) -> None:
        try:
            hand.begin()
            hand.ask(b"[0, 1]")
        except HandLost as error:
            lost.append(error)

    with hired(b"shards:600") as hand:
        waiting = threading.Thread(target=wait, args=(hand,))
        waiting.start()
        hand.end()
        waiting.join(30)
    assert len(lost) == 1 and not waiting.is_alive()


_PARENT = """
import sys
from edgewright.fanout.processes import ProcessHands
hand = ProcessHands(2).hire("programs", b"job")
hand.begin()
print(hand.process.pid, flush=True)
sys.stdin.read()
"""


def test_it_ends_when_who_began_it_is_killed(program: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin and parent.stdout
    hand = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30
    while hand.is_running() and hand.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("threads", "busy", "left"), [(4, 0, 4), (4, 1, 3), (1, 1, 0), (1, 2, 0)])
def test_how_many_may_work_beside_others(threads: int, busy: int, left: int) -> None:
    assert ProcessHands(threads).beside(busy) == left


def test_alone_is_alone() -> None:
    assert ALONE.here and ALONE.beside(1) == 0


def test_where_no_python_begins_it_is_lost(hired: Hired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.sys, "executable", "/bin/false")
    with hired(b"job") as hand, pytest.raises(HandLost, match="exit code 1"):
        hand.begin()
