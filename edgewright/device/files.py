"""The file-system port: every write of the agent goes through these few calls, so that a test can fail each of them;
`edgewright/files.py`, which everybody else writes by, has no such places.

Decides in which order bytes become durable: file, fsync, rename, fsync of the folder. Refuses nothing: an `OSError`
(full, read-only or broken disk) goes to the caller.

>>> Files().replace(Path("state.json"), b"{}")
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import IO

_PIECE_BYTES = 1 << 18


class Files:
    """Law: after `replace(path, payload)` was cut off at any call, `path` holds the old bytes or the new ones."""

    def open(self, path: Path) -> IO[bytes]:
        """A new, empty, unbuffered file: each `write` is one call to the system."""
        return path.open("wb", buffering=0)

    def write(self, stream: IO[bytes], piece: bytes) -> None:
        view = memoryview(piece)
        while view:  # a raw write may take less than it was given
            view = view[stream.write(view) :]

    def fsync(self, stream: IO[bytes]) -> None:
        os.fsync(stream.fileno())

    def rename(self, old: Path, new: Path) -> None:
        """Atomic within a folder; replaces what was there."""
        os.replace(old, new)

    def fsync_dir(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_dir(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def free_bytes(self, path: Path) -> int:
        return shutil.disk_usage(path).free

    def database(self, path: Path) -> sqlite3.Connection:
        """A sqlite file whose transactions are the caller's; waits while another process writes to it."""
        connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        connection.text_factory = lambda text: text.decode(errors="replace")  # a bit that rotted stops no device
        return connection

    def write_new(self, path: Path, payload: bytes) -> None:
        """Durable, not atomic: for files that nobody reads before another file names them."""
        with self.open(path) as stream:
            for start in range(0, len(payload), _PIECE_BYTES):
                self.write(stream, payload[start : start + _PIECE_BYTES])
            self.fsync(stream)

    def replace(self, path: Path, payload: bytes) -> None:
        """Durable and atomic."""
        staged = path.with_name(f"{path.name}.new")
        self.write_new(staged, payload)
        self.rename(staged, path)
        self.fsync_dir(path.parent)
