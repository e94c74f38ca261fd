"""Hands: others that make pieces of a stage's work. One interface; behind it stand processes of this machine
(`processes.py`) and a Ray cluster (`on_ray.py`).

Decides what a hand is: somewhere a *program* is open, a module whose `open_job(job)` gives a function from bytes to
bytes, and is asked for one piece at a time. What an answer is follows from job and piece alone, so a hand that is lost
costs time and no byte: another one is asked the same. Refuses a hand that would make something else.

    hand = hands.hire("edgewright.synth.worker", job)
    hand.begin()                                       # it is there, and has opened the job
    hand.ask(b"[0, 50]")
    hand.end()
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from edgewright.errors import EdgewrightError, as_it_was

Make = Callable[[bytes], bytes]
"""A piece => what was made of it."""
_MADE, _FAILED = b"\x01", b"\x00"


class HandLost(EdgewrightError):
    """The process ended, or its machine is gone: another may be asked the same."""


class Hand(Protocol):
    """One that makes a piece at a time. Who waits for it while it is ended gets HandLost."""

    def begin(self) -> None:
        """Wait until it has opened the job. Raises HandLost, or what opening raised of edgewright's own errors."""

    def ask(self, piece: bytes) -> bytes:
        """Raises HandLost, or what making raised of edgewright's own errors; any other ends the hand."""

    def end(self) -> None:
        """At once, from any thread, as often as one likes."""


class Hands(Protocol):
    """Where hands come from. `here`: they see this machine's files and its accelerator."""

    @property
    def here(self) -> bool: ...

    def beside(self, busy: int) -> int:
        """How many may work at once beside `busy` processes of this machine that work already."""

    def hire(self, program: str, job: bytes, *, log: Path | None = None) -> Hand:
        """One more. Waits for nothing.

        Args:
            log: a file for what it writes, where it is a process of this machine; by default it writes where this does.
        """


class Opened:
    """A program where it is open: a hand's other end. What is raised of edgewright's own errors becomes an answer; any
    other ends the process."""

    def __init__(self) -> None:
        self._make: Make | None = None

    def begin(self, program: str, job: bytes) -> bytes:
        """Open the job. The answer is empty, or the error."""
        try:
            self._make = cast(Make, importlib.import_module(program).open_job(job))
        except EdgewrightError as error:
            return _failed(error)
        return _MADE

    def ask(self, piece: bytes) -> bytes:
        if self._make is None:
            return _failed(EdgewrightError("a hand was asked before it had opened a job"))
        try:
            return _MADE + self._make(piece)
        except EdgewrightError as error:
            return _failed(error)


def _failed(error: EdgewrightError) -> bytes:
    return _FAILED + json.dumps([error.kind, str(error)]).encode()


def read_answer(answer: bytes) -> bytes:
    """What was made, whichever way it came. Raises the error that was raised there."""
    if answer[:1] == _MADE:
        return answer[1:]
    kind, message = json.loads(answer[1:])
    raise as_it_was(kind, message)
