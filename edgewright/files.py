"""Files that are whole or not there, and locks that die with their process.

Decides when something is written: when its bytes are on the disk, and only then does its name point at them. Refuses
nothing: an `OSError` goes to the caller, who knows what was to be written. The standard library alone, so that every
room can use it; the device's agent writes by a port of its own, where a test fails every single call.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder) / "state" / "run.json"
...     write_atomically(path, b"{}")
...     path.read_bytes(), [left.name for left in path.parent.iterdir()]
(b'{}', ['run.json'])
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE, READABLE = 0o600, 0o666
"""For this user alone; for whomever the umask lets read, as what is served to others."""


def write_atomically(path: Path, payload: bytes, *, mode: int = PRIVATE) -> None:
    """Replace a file in one step: a reader sees the old bytes or the new ones, after a power cut too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path, mode=mode) as staged:
        write_durably(staged, payload)
    sync(path.parent)


@contextmanager
def replaced(path: Path, *, mode: int = PRIVATE) -> Iterator[Path]:
    """An empty file beside `path` that takes its place when the block ends well, and is gone when it does not.

    Atomic, not durable: for what can be made again, and is checked when it is read.
    """
    # Not the whole name: with what is added it may be longer than a name can be.
    staged = path.with_name(f".{path.name[:32]}-{secrets.token_hex(6)}")
    os.close(os.open(staged, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    try:
        yield staged
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def write_durably(path: Path, payload: bytes) -> None:
    """On the disk when this returns, but not in one step: for files that nobody reads before another names them."""
    with path.open("wb") as stream:
        stream.write(payload)
        stream.flush()
        os.fsync(stream.fileno())


def sync(path: Path) -> None:
    """Have a file's bytes, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One holder at a time, the others wait. `path` is a folder, or a file that is made where there is none."""
    with _open_for_lock(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def locked_for_reading(path: Path) -> Iterator[None]:
    """Any number of readers of a file that is there, while nobody holds it `locked`."""
    with path.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        yield


@contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Whether the lock could be had; nobody waits. The system lets go of it when the process dies, however it dies."""
    with _open_for_lock(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        else:
            free = True
        yield free


@contextmanager
def try_locked_for_reading(path: Path) -> Iterator[bool]:
    """Whether a reader may have the file, which is there; nobody waits."""
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        else:
            free = True
        yield free


@contextmanager
def _open_for_lock(path: Path) -> Iterator[int]:
    # A file is opened for writing: NFS grants an exclusive lock on no other descriptor.
    how = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, how, READABLE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
