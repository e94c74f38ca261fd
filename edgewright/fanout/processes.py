"""Hands that are processes of this machine: `python -m edgewright.fanout.processes PROGRAM`.

Decides how they are spoken to: a length and so many bytes, the job first, then a piece and its answer in turn. What
their libraries print goes where their errors go. They end when whoever began them does. An interruption at a terminal
is not theirs: whoever began them says when it is over.

    ProcessHands(threads=4).hire("edgewright.synth.worker", job, log=Path("hand-0.log"))
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from edgewright.fanout.hands import HandLost, Opened, read_answer
from edgewright.processes import end_children

_LENGTH = struct.Struct(">Q")
_END_WITHIN_S = 5.0


@dataclass(frozen=True)
class ProcessHands:
    """Attributes: threads: how many processes may work at once, those that are busy already among them."""

    threads: int
    here: ClassVar[bool] = True

    def beside(self, busy: int) -> int:
        return max(0, self.threads - busy)

    def hire(self, program: str, job: bytes, *, log: Path | None = None) -> ProcessHand:
        return ProcessHand(program, job, log=log)


ALONE = ProcessHands(1)
"""No hands but one's own."""


class ProcessHand:
    """One process; asked by one thread at a time."""

    def __init__(self, program: str, job: bytes, *, log: Path | None = None) -> None:
        self._job = job
        self._ending = threading.Lock()
        command = [sys.executable, "-m", __name__, program]
        with ExitStack() as stack:
            errors = stack.enter_context(log.open("ab")) if log else None
            try:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, process_group=0
                )
            except OSError as error:  # no more processes, or no memory for one
                raise HandLost("a process could not be begun", got=error.strerror, where=sys.executable) from error

    def begin(self) -> None:
        read_answer(self._spoken(self._job, "a process ended before it began"))

    def ask(self, piece: bytes) -> bytes:
        return read_answer(self._spoken(piece, "a process ended in its work"))

    def end(self) -> None:
        self.process.terminate()
        with self._ending:
            end_children([self.process], within_s=_END_WITHIN_S)
            for stream in (self.process.stdin, self.process.stdout):
                with suppress(BrokenPipeError):  # of one that ended before it was asked
                    if stream:
                        stream.close()

    def _spoken(self, said: bytes, lost: str) -> bytes:
        try:
            if self.process.stdin and self.process.stdout:
                _write(self.process.stdin, said)
                answer = _read(self.process.stdout)
                if answer is not None:
                    return answer
        except (OSError, ValueError):  # the pipe is broken, or was closed by `end`
            pass
        raise HandLost(
            lost,
            got=f"exit code {self.process.wait()}",
            where=" ".join(map(str, self.process.args)) if isinstance(self.process.args, list) else None,
            next_step="see what it wrote; where memory is short, end other programs",
        )


def _write(stream: IO[bytes], payload: bytes) -> None:
    stream.write(_LENGTH.pack(len(payload)))
    stream.write(payload)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes | None:
    """None where the other side ended."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    payload = stream.read(length)
    return payload if len(payload) == length else None


def main(program: str) -> None:
    """A hand: the job in, then pieces in and answers out, until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    job = _read(sys.stdin.buffer)
    if job is None:
        return
    opened = Opened()
    with suppress(BrokenPipeError), answers:
        _write(answers, opened.begin(program, job))
        while (piece := _read(sys.stdin.buffer)) is not None:
            _write(answers, opened.ask(piece))


if __name__ == "__main__":
    main(sys.argv[1])
