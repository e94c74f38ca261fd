"""Disks that fail: the device's file port, whose power is cut or that takes no more, at a call of a given number.

Decides what is left after that. A cut raises PowerCut, which nothing in the agent catches; a disk that is full,
read-only or broken raises what the system would, and goes on so.

    for at in TornFiles.points(counted):
        with pytest.raises(PowerCut):
            work(TornFiles(at))
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from edgewright.device.files import Files


class PowerCut(BaseException):
    """Not an Exception: nothing in the agent may catch it and go on."""


class FastFiles(Files):
    """Waits for no disk: which bytes survive is decided here, not by the machine that runs the tests."""

    def fsync(self, stream: IO[bytes]) -> None:
        pass

    def fsync_dir(self, path: Path) -> None:
        pass

    def database(self, path: Path) -> sqlite3.Connection:
        """What sqlite syncs, and what a power cut or a broken disk makes of that, is test_outbox_power.py's."""
        connection = super().database(path)
        connection.execute("PRAGMA synchronous = OFF")
        connection.set_authorizer(_asks_for_no_sync)
        return connection


def _asks_for_no_sync(action: int, name: str | None, value: str | None, *_: object) -> int:
    asks = action == sqlite3.SQLITE_PRAGMA and name == "synchronous"
    return sqlite3.SQLITE_IGNORE if asks else sqlite3.SQLITE_OK


class CutFiles(FastFiles):
    """The power fails before call number `at`. Attributes: called: the names of the calls until then."""

    kind = "cut off"
    at_calls: frozenset[str] = frozenset({"open", "write", "fsync", "rename", "fsync_dir", "make_dir", "remove"})
    """Where that is another failure than its base's."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.called: list[str] = []

    @classmethod
    def points(cls, counted: CutFiles) -> list[int]:
        """The numbers of calls to fail at, of what was counted."""
        return [number for number, name in enumerate(counted.called, 1) if name in cls.at_calls]

    def _cut(self) -> None:
        raise PowerCut(f"call {len(self.called)}")

    def _call(self, name: str, half: Callable[[], object], whole: Callable[[], Any]) -> Any:
        self.called.append(name)
        if len(self.called) == self.at:
            half()
            self._cut()
        return whole()

    def open(self, path: Path) -> IO[bytes]:
        return self._call("open", _nothing, lambda: Files.open(self, path))  # type: ignore[no-any-return]

    def write(self, stream: IO[bytes], piece: bytes) -> None:
        self._call("write", _nothing, lambda: Files.write(self, stream, piece))

    def fsync(self, stream: IO[bytes]) -> None:
        self._call("fsync", _nothing, _nothing)

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename", _nothing, lambda: Files.rename(self, old, new))

    def fsync_dir(self, path: Path) -> None:
        self._call("fsync_dir", _nothing, _nothing)

    def make_dir(self, path: Path) -> None:
        self._call("make_dir", _nothing, lambda: Files.make_dir(self, path))

    def remove(self, path: Path) -> None:
        self._call("remove", _nothing, lambda: Files.remove(self, path))


def _nothing() -> None:
    pass


class TornFiles(CutFiles):
    """A write that is cut leaves half its bytes."""

    kind, at_calls = "torn", frozenset({"write"})

    def write(self, stream: IO[bytes], piece: bytes) -> None:
        half = piece[: len(piece) // 2]
        self._call("write", lambda: stream.write(half), lambda: Files.write(self, stream, piece))


class LossyFiles(CutFiles):
    """What was not synced is lost: contents without fsync, names without fsync of their folder.

    The harshest disk that POSIX allows: every unsynced change is undone, in reverse order.
    """

    kind = "unsynced lost"

    def __init__(self, at: int | None = None) -> None:
        super().__init__(at)
        self._undo: list[tuple[Path, Callable[[], None]]] = []  # (what must be synced, how to lose it)

    def _cut(self) -> None:
        for _, undo in reversed(self._undo):
            undo()
        super()._cut()

    def _synced(self, path: Path) -> None:
        self._undo = [entry for entry in self._undo if entry[0] != path]

    def open(self, path: Path) -> IO[bytes]:
        old = path.read_bytes() if path.exists() else None
        stream = super().open(path)
        self._undo.append((path.parent, lambda: path.unlink(missing_ok=True) if old is None else path.write_bytes(old)))
        self._undo.append((path, lambda: path.write_bytes(b"") if path.exists() else None))
        return stream

    def fsync(self, stream: IO[bytes]) -> None:
        super().fsync(stream)
        self._synced(Path(stream.name))

    def rename(self, old: Path, new: Path) -> None:
        before = new.read_bytes() if new.exists() else None
        moved = old.read_bytes()
        super().rename(old, new)
        self._undo = [entry for entry in self._undo if entry[0] != old]

        def undo() -> None:
            old.write_bytes(moved)
            new.unlink(missing_ok=True) if before is None else new.write_bytes(before)

        self._undo.append((new.parent, undo))

    def fsync_dir(self, path: Path) -> None:
        super().fsync_dir(path)
        self._synced(path)

    def make_dir(self, path: Path) -> None:
        existed = path.exists()
        super().make_dir(path)
        if not existed:
            self._undo.append((path.parent, lambda: shutil.rmtree(path, ignore_errors=True)))

    def remove(self, path: Path) -> None:
        old = path.read_bytes() if path.exists() else None
        super().remove(path)
        if old is not None:
            self._undo.append((path.parent, lambda: path.write_bytes(old)))


CUTS = [CutFiles, TornFiles, LossyFiles]


class FullDisk(TornFiles):
    """From call number `at` on nothing more fits; of a write, half. What takes no room still goes."""

    kind, errno = "full", errno.ENOSPC
    at_calls = frozenset({"open", "write", "fsync", "make_dir"})

    @classmethod
    def from_the_beginning(cls) -> FullDisk:
        return cls(0)

    @property
    def fails(self) -> bool:
        return self.at is not None and len(self.called) >= self.at

    def _call(self, name: str, half: Callable[[], object], whole: Callable[[], Any]) -> Any:
        self.called.append(name)
        if self.fails and name in self.at_calls:
            half()
            raise OSError(self.errno, os.strerror(self.errno))
        return whole()

    def make_dir(self, path: Path) -> None:
        if path.is_dir():
            self.called.append("made already")  # which asks for no room, as mkdir(2)
        else:
            super().make_dir(path)

    def database(self, path: Path) -> sqlite3.Connection:
        connection = super().database(path)
        if self.fails:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {max(1, pages)}")
        return connection


class ReadOnlyDisk(FullDisk):
    """From call number `at` on, as a file system that was mounted anew after an error."""

    kind, errno = "read-only", errno.EROFS
    at_calls = CutFiles.at_calls - {"fsync_dir"}

    def write(self, stream: IO[bytes], piece: bytes) -> None:
        CutFiles.write(self, stream, piece)

    def database(self, path: Path) -> sqlite3.Connection:
        if not self.fails:
            return FastFiles.database(self, path)
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)


class BrokenDisk(FullDisk):
    """Call number `at` fails, and that alone."""

    kind, errno = "EIO", errno.EIO
    at_calls = CutFiles.at_calls

    @classmethod
    def from_the_beginning(cls) -> BrokenDisk:
        return cls(1)

    @property
    def fails(self) -> bool:
        return len(self.called) == self.at

    def make_dir(self, path: Path) -> None:
        CutFiles.make_dir(self, path)

    def database(self, path: Path) -> sqlite3.Connection:
        return FastFiles.database(self, path)


ERRORS = [FullDisk, ReadOnlyDisk, BrokenDisk]
