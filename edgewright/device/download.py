"""A file of a known length over a line that breaks: what has arrived is kept, and the rest is asked for.

Decides when to ask again, and when to leave it to the next update: after ATTEMPTS that brought nothing, or when the
time is over. No byte that is kept between two updates is trusted: the whole is held against its signed digest, and of
what does not match nothing is kept. Refuses more bytes than were signed, as soon as they come.

    payload = downloaded(source, length=1_800_000, part=part_of(home, sha256))
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError

from edgewright.device.home import Home

ATTEMPTS = 4
PAUSE_S = 0.5
"""Before the second attempt; twice as long before each further one, a half more or less."""
MAX_PARTS = 16
_FOLDER = "parts"

Source = Callable[[int], tuple[int, Iterator[bytes]]]
"""From which byte on => from which byte on it comes, and the bytes. Raises DownloadError, also while they come."""


class TooLate(DownloadError):
    """The time for all of it is over: nothing more is asked for now."""


@dataclass(frozen=True)
class Part:
    """Where the beginning of a file is kept. Attributes: path: its name is the digest of the whole."""

    home: Home
    path: Path

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError:
            return b""

    def keep(self, payload: bytes) -> None:
        """As far as the disk lets it; of more than MAX_PARTS the oldest go."""
        with suppress(OSError):
            self.home.files.make_dir(self.path.parent)
            self.home.files.replace(self.path, payload)
            parts = sorted(self.path.parent.iterdir(), key=lambda path: path.stat().st_mtime_ns)
            for old in parts[:-MAX_PARTS]:
                self.home.files.remove(old)

    def drop(self) -> None:
        if self.path.exists():
            self.home.files.remove(self.path)


def part_of(home: Home, sha256: str) -> Part:
    return Part(home, home.root / _FOLDER / sha256)


def forget_parts(home: Home) -> None:
    """An update is done: what it had not brought to an end is of no use."""
    folder = home.root / _FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        home.files.remove(path)


def downloaded(source: Source, *, length: int, part: Part, sleep: Callable[[float], None] = time.sleep) -> bytes:
    """The file; shorter where the line ended early, and not verified.

    Raises:
        DownloadLengthMismatchError: more than `length` bytes.
        DownloadError: the line breaks again and again; what has arrived is kept.
    """
    have = bytearray(part.read())
    if len(have) > length:
        have.clear()
    in_vain = 0
    while len(have) < length:
        before = len(have)
        try:
            _receive(source, have, length)
            break
        except DownloadLengthMismatchError:
            raise
        except DownloadHTTPError as error:
            if error.status_code != _NOT_SATISFIABLE or not have:
                raise
            have.clear()  # what was kept is no beginning of this file
        except DownloadError as error:
            part.keep(bytes(have))
            in_vain = in_vain + 1 if len(have) <= before else 1
            if in_vain >= ATTEMPTS or isinstance(error, TooLate):
                raise
            sleep(PAUSE_S * 2 ** (in_vain - 1) * random.uniform(0.5, 1.5))
    return bytes(have)


_NOT_SATISFIABLE = 416


def _receive(source: Source, have: bytearray, length: int) -> None:
    start, pieces = source(len(have))
    del have[start:]  # a server that knows no ranges begins anew
    for piece in pieces:
        have += piece
        if len(have) > length:
            raise DownloadLengthMismatchError(f"more than the {length} bytes that are signed")
