"""One look at every picture: its digest, its pixels, its hash; by this process, or by several where there are many.

Decides who looks: fewer than MANY pictures are looked at here, for a process takes half a second to begin. Results come
in the order of the names, whoever was faster, so that the same bytes give the same data set. A worker reads paths on
its input and answers in lines, the first of them empty, when it is there, with a picture's bytes behind its line only
where they are not the file's own; it ends when its input does. A picture that ends two workers is quarantined, and
another one goes on; where they end before they are there, no picture is blamed.

    for look in looks(source, names, max_pixels=40_000_000, workers=2): look.picture or look.reason
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from edgewright.artifacts import sha256_bytes
from edgewright.data.checks import CheckedPicture, check_picture
from edgewright.data.sources import Source, Unusable
from edgewright.errors import EdgewrightError, SourceError
from edgewright.processes import end_children

MANY = 400
MAX_PICTURE_BYTES = 256_000_000
_CHUNK = 16
_AHEAD = 3
"""Chunks a worker that wait for their turn: what is in memory at most is that many pictures' labels and odd bytes."""
_END_WITHIN_S = 5.0
_ENDS_DECODER = "the picture ends its decoder"


@dataclass(frozen=True)
class Look:
    """Attributes: sha256: of the file; empty where it was not read. picture: None where `reason` says why not."""

    name: str
    sha256: str = ""
    picture: CheckedPicture | None = None
    reason: str = ""


def looks(source: Source, names: Sequence[str], *, max_pixels: int, workers: int = 1) -> Iterator[Look]:
    """In the order of the names. Raises SourceError where a file cannot be read; EdgewrightError: no worker begins."""
    if workers < 2 or len(names) < MANY:
        yield from (look_at(source, name, max_pixels=max_pixels) for name in names)
        return
    with ExitStack() as stack:
        crew = _Crew(source, max_pixels)
        stack.callback(crew.end)
        hands = stack.enter_context(ThreadPoolExecutor(workers))
        stack.callback(crew.stop)
        crew.begin(workers)
        chunks = deque(names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK))
        waiting: deque[Future[list[Look]]] = deque()
        while chunks or waiting:
            while chunks and len(waiting) < workers * _AHEAD:
                waiting.append(hands.submit(crew.look, chunks.popleft()))
            yield from map(crew.filled, waiting.popleft().result())


def look_at(source: Source, name: str, *, max_pixels: int) -> Look:
    """In this process. Raises SourceError where the file cannot be read."""
    sha256 = ""
    try:
        payload = source.read(name, max_bytes=MAX_PICTURE_BYTES)
        sha256 = sha256_bytes(payload)
        return Look(name, sha256, check_picture(payload, max_pixels=max_pixels))
    except Unusable as error:
        return Look(name, sha256, reason=str(error))


class _Crew:
    """Worker processes; each is spoken to by one thread at a time."""

    def __init__(self, source: Source, max_pixels: int) -> None:
        self._source, self._max_pixels = source, max_pixels
        self._free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._all: list[subprocess.Popen[bytes]] = []
        self._there: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def begin(self, workers: int) -> None:
        for _ in range(workers):
            self._free.put(self._hire())

    def stop(self) -> None:
        """No further picture is begun, and nobody waits for one."""
        self._stopped = True
        for worker in self._all:
            worker.terminate()

    def end(self) -> None:
        for worker in self._all:
            for stream in (worker.stdin, worker.stdout):
                with suppress(BrokenPipeError):  # of one that ended before it was asked
                    if stream:
                        stream.close()
        end_children(self._all, within_s=_END_WITHIN_S)

    def look(self, names: Sequence[str]) -> list[Look]:
        """At one chunk. A picture whose bytes stay the file's own comes without them: see `filled`."""
        found: list[Look] = []
        worker, doubted = self._free.get(), ""
        try:
            while len(found) < len(names) and not self._stopped:
                found += self._asked(worker, names[len(found) :])
                if len(found) < len(names) and not self._stopped:  # it ended at the next one, or for another reason
                    name = names[len(found)]
                    if name == doubted:
                        found.append(Look(name, reason=_ENDS_DECODER))
                    worker, doubted = self._hire(), name
        finally:
            self._free.put(worker)
        return found

    def filled(self, look: Look) -> Look:
        """With the file's own bytes where a worker sent none; looked at here where it could not read the file."""
        if look.picture is None and not look.reason:
            return look_at(self._source, look.name, max_pixels=self._max_pixels)
        if look.picture is None or look.picture.payload:
            return look
        payload = self._source.read(look.name, max_bytes=MAX_PICTURE_BYTES)
        return Look(look.name, look.sha256, CheckedPicture(**{**vars(look.picture), "payload": payload}))

    def _hire(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", __name__, str(self._max_pixels)]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._all.append(worker)
        return worker

    def _is_there(self, worker: subprocess.Popen[bytes]) -> bool:
        """Waits until it is; no where all were asked to end. Raises EdgewrightError where it ended of itself."""
        if worker not in self._there and worker.stdout is not None:
            if worker.stdout.readline():
                self._there.add(worker)
            elif not self._stopped:
                raise EdgewrightError(
                    "a process that looks at pictures ended before it began",
                    got=f"exit code {worker.wait()}",
                    where=" ".join(map(str, worker.args)) if isinstance(worker.args, list) else None,
                    next_step="see what it wrote; where memory is short, end other programs",
                )
        return worker in self._there

    def _asked(self, worker: subprocess.Popen[bytes], names: Sequence[str]) -> Iterator[Look]:
        """What the worker answers until it ends."""
        if worker.stdin is None or worker.stdout is None or not self._is_there(worker):
            return
        lines = [json.dumps([name, str(self._source.files[name])]) for name in names]
        try:
            worker.stdin.write("".join(f"{line}\n" for line in lines).encode())
            worker.stdin.flush()
            for name in names:
                answer = worker.stdout.readline()
                if not answer.endswith(b"\n"):
                    return
                yield _read_answer(name, json.loads(answer), worker.stdout)
        except (BrokenPipeError, ValueError):
            return


def _read_answer(name: str, answer: dict[str, Any], stream: IO[bytes]) -> Look:
    picture = answer["picture"]
    if picture is None:
        return Look(name, answer["sha256"], reason=answer["reason"])
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in picture.items()}
    return Look(name, answer["sha256"], CheckedPicture(**values, payload=stream.read(answer["bytes"])))


def _answer(look: Look, *, own: bool) -> bytes:
    """One line; and the picture's bytes, where they are not the file's own."""
    picture = look.picture
    payload = b"" if picture is None or own else picture.payload
    values = picture and {one.name: getattr(picture, one.name) for one in fields(picture) if one.name != "payload"}
    told = {"sha256": look.sha256, "reason": look.reason, "picture": values, "bytes": len(payload)}
    return json.dumps(told).encode() + b"\n" + payload


def main(max_pixels: int) -> None:
    """A worker: paths in, answers out, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever began it closes its input
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        name, path = json.loads(line)
        source = Source("", {name: Path(path)})
        try:
            look = look_at(source, name, max_pixels=max_pixels)
        except SourceError:
            look = Look(name)  # whoever asked will meet the same, and say so
        own = look.picture is not None and sha256_bytes(look.picture.payload) == look.sha256
        sys.stdout.buffer.write(_answer(look, own=own))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
