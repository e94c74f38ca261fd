"""One look at every picture: its digest, its pixels, its hash; by this process, or by several where there are many.

Decides who looks: fewer than MANY pictures are looked at here, for a process takes half a second to begin. Results come
in the order of the names, whoever was faster, so that the same bytes give the same data set. A hand is asked for a few
pictures at a time: by their paths where it sees this machine's files, else by their bytes; it answers in lines, with a
picture's bytes behind its line only where they are not the file's own. Where a hand is lost over several pictures, they
are asked for one by one; one over which two more are lost is quarantined. Where hands end before they have begun, no
picture is blamed.

    for look in looks(source, names, max_pixels=40_000_000, hands=ProcessHands(2)): look.picture or look.reason
"""

from __future__ import annotations

import io
import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from edgewright.artifacts import sha256_bytes
from edgewright.data.checks import CheckedPicture, check_picture
from edgewright.data.codec import SOURCE
from edgewright.data.sources import Source, Unusable
from edgewright.errors import EdgewrightError, SourceError
from edgewright.fanout.hands import Hand, HandLost, Hands, Make
from edgewright.fanout.processes import ALONE

MANY = 400
MAX_PICTURE_BYTES = 256_000_000
PROGRAM = "edgewright.data.looking"
_CHUNK = 16
_CHUNK_BYTES = 8_000_000
"""Of pictures that travel: more are not sent at once, but for a single one."""
_AHEAD = 3
"""Chunks a hand that wait for their turn: what is in memory at most is that many pictures' labels and odd bytes."""
_TRIES = 3
"""Hands that may end before they have begun, one after another."""
_ENDS_DECODER = "the picture ends its decoder"


@dataclass(frozen=True)
class Look:
    """Attributes: sha256: of the file; empty where it was not read. picture: None where `reason` says why not."""

    name: str
    sha256: str = ""
    picture: CheckedPicture | None = None
    reason: str = ""


def looks(
    source: Source, names: Sequence[str], *, max_pixels: int, codec: str = SOURCE, hands: Hands = ALONE
) -> Iterator[Look]:
    """In the order of the names.

    Raises:
        SourceError: a file cannot be read.
        HandLost: none of the hands begins.
        InputError: no cluster answers, or a hand would make something else.
    """
    workers = hands.beside(0) if len(names) >= MANY else 1
    if workers < 2:
        yield from (look_at(source, name, max_pixels=max_pixels, codec=codec) for name in names)
        return
    with ExitStack() as stack:
        crew = _Crew(source, hands, max_pixels, codec)
        threads = stack.enter_context(ThreadPoolExecutor(workers))
        stack.callback(crew.end)
        for _ in range(workers):
            crew.hire()
        chunks = deque(_chunks(source, names, max_bytes=None if hands.here else _CHUNK_BYTES))
        waiting: deque[Future[list[Look]]] = deque()
        while chunks or waiting:
            while chunks and len(waiting) < workers * _AHEAD:
                waiting.append(threads.submit(crew.look, chunks.popleft()))
            yield from map(crew.filled, waiting.popleft().result())


def look_at(source: Source, name: str, *, max_pixels: int, codec: str = SOURCE) -> Look:
    """In this process. Raises SourceError where the file cannot be read."""
    try:
        payload = source.read(name, max_bytes=MAX_PICTURE_BYTES)
    except Unusable as error:
        return Look(name, reason=str(error))
    return _look_into(name, payload, max_pixels=max_pixels, codec=codec)


def _look_into(name: str, payload: bytes, *, max_pixels: int, codec: str) -> Look:
    sha256 = sha256_bytes(payload)
    try:
        return Look(name, sha256, check_picture(payload, max_pixels=max_pixels, codec=codec))
    except Unusable as error:
        return Look(name, sha256, reason=str(error))


def _chunks(source: Source, names: Sequence[str], *, max_bytes: int | None) -> Iterator[list[str]]:
    chunk: list[str] = []
    bytes_in_chunk = 0
    for name in names:
        size = _size(source.files[name]) if max_bytes is not None else 0
        if chunk and (len(chunk) == _CHUNK or bytes_in_chunk + size > (max_bytes or 0)):
            yield chunk
            chunk, bytes_in_chunk = [], 0
        chunk.append(name)
        bytes_in_chunk += size
    yield chunk


def _size(path: Path) -> int:
    """Of a file that is gone nothing travels; who looks at it then says so."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Crew:
    """Hands that have begun wait in a queue, each for one thread that asks it."""

    def __init__(self, source: Source, hands: Hands, max_pixels: int, codec: str) -> None:
        self._source, self._hands, self._max_pixels, self._codec = source, hands, max_pixels, codec
        self._free: SimpleQueue[Hand | EdgewrightError] = SimpleQueue()
        self._hired: list[Hand] = []
        self._lock, self._ended = threading.Lock(), False

    def hire(self) -> None:
        """One more, which comes when it has begun: a cluster may have no room for it yet, and the others go on."""
        threading.Thread(target=self._bring, name="looking-begins", daemon=True).start()

    def end(self) -> None:
        """No further picture is begun, and nobody waits for one."""
        with self._lock:
            self._ended = True
        self._free.put(HandLost("no hand is wanted any more"))
        for hand in self._hired:
            hand.end()

    def look(self, names: Sequence[str]) -> list[Look]:
        """At one chunk. A picture whose bytes stay the file's own comes without them: see `filled`."""
        return self._asked(names) or [self._alone(name) for name in names]

    def filled(self, look: Look) -> Look:
        """With the file's own bytes where a hand sent none; looked at here where it could not read the file."""
        if look.picture is None and not look.reason:
            return look_at(self._source, look.name, max_pixels=self._max_pixels, codec=self._codec)
        if look.picture is None or look.picture.payload:
            return look
        payload = self._source.read(look.name, max_bytes=MAX_PICTURE_BYTES)
        return Look(look.name, look.sha256, CheckedPicture(**{**vars(look.picture), "payload": payload}))

    def _alone(self, name: str) -> Look:
        """At one picture, over which a hand was lost, or beside it."""
        found = self._asked([name]) or self._asked([name])
        return found[0] if found else Look(name, reason=_ENDS_DECODER)

    def _asked(self, names: Sequence[str]) -> list[Look]:
        """What a hand answers; nothing where it was lost. Raises what kept the hands from beginning."""
        hand = self._free.get()
        if isinstance(hand, EdgewrightError):
            self._free.put(hand)  # for the others, who wait as well
            raise hand
        try:
            looks = _read_answers(names, hand.ask(_piece(self._source, names, by_path=self._hands.here)))
        except HandLost:
            hand.end()
            if self._ended:
                raise
            self.hire()
            return []
        self._free.put(hand)
        return looks

    def _bring(self) -> None:
        """A hand into the queue, or why none comes."""
        for left in reversed(range(_TRIES)):
            try:
                self._free.put(self._begun())
                return
            except EdgewrightError as error:
                if not left or not isinstance(error, HandLost):
                    self._free.put(error)
                    return

    def _begun(self) -> Hand:
        with self._lock:
            if self._ended:
                raise HandLost("no hand is wanted any more")
            hand = self._hands.hire(PROGRAM, json.dumps([self._max_pixels, self._codec]).encode())
            self._hired.append(hand)
        try:
            hand.begin()
        except EdgewrightError:
            hand.end()
            raise
        return hand


def _piece(source: Source, names: Sequence[str], *, by_path: bool) -> bytes:
    """A line, and the pictures' bytes where they travel."""
    if by_path:
        return json.dumps([[name, str(source.files[name]), 0] for name in names]).encode() + b"\n"
    payloads = [_payload(source, name) for name in names]
    told = [[name, "", len(payload)] for name, payload in zip(names, payloads, strict=True)]
    return json.dumps(told).encode() + b"\n" + b"".join(payloads)


def _payload(source: Source, name: str) -> bytes:
    """Empty where it cannot be had or is too large, which whoever asks finds out again."""
    try:
        return source.read(name, max_bytes=MAX_PICTURE_BYTES)
    except (SourceError, Unusable):
        return b""


def _read_answers(names: Sequence[str], answers: bytes) -> list[Look]:
    stream = io.BytesIO(answers)
    return [_read_answer(name, json.loads(stream.readline()), stream) for name in names]


def _read_answer(name: str, answer: dict[str, Any], stream: io.BytesIO) -> Look:
    picture = answer["picture"]
    if picture is None:
        return Look(name, answer["sha256"], reason=answer["reason"])
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in picture.items()}
    return Look(name, answer["sha256"], CheckedPicture(**values, payload=stream.read(answer["bytes"])))


def _answer(look: Look) -> bytes:
    """One line; and the picture's bytes, where they are not the file's own."""
    picture = look.picture
    own = picture is not None and sha256_bytes(picture.payload) == look.sha256
    payload = b"" if picture is None or own else picture.payload
    values = picture and {one.name: getattr(picture, one.name) for one in fields(picture) if one.name != "payload"}
    told = {"sha256": look.sha256, "reason": look.reason, "picture": values, "bytes": len(payload)}
    return json.dumps(told).encode() + b"\n" + payload


def open_job(payload: bytes) -> Make:
    """What a hand opens: pictures in, by path or by their bytes, and what is seen of them out."""
    max_pixels, codec = json.loads(payload)

    def look(piece: bytes) -> bytes:
        stream = io.BytesIO(piece)
        told = json.loads(stream.readline())
        return b"".join(_answer(_seen(name, path, stream.read(size), max_pixels, codec)) for name, path, size in told)

    return look


def _seen(name: str, path: str, payload: bytes, max_pixels: int, codec: str) -> Look:
    """Nothing where there is nothing to look at: whoever asked will meet the same, and say so."""
    try:
        if path:
            return look_at(Source("", {name: Path(path)}), name, max_pixels=max_pixels, codec=codec)
        return _look_into(name, payload, max_pixels=max_pixels, codec=codec) if payload else Look(name)
    except SourceError:
        return Look(name)
