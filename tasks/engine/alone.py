"""Equal work of one home is done by one process at a time.

Two can be at it: a child that was called crashed because nobody had heard of it, and the one that took its place; two
projects that need the same. They would share a folder of checkpoints. Decides by a lock on a file beside that folder,
which the system lets go of when its process dies, however it dies; the file stays, since who waits holds on to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgewright.artifacts.store import store_errors
from edgewright.files import locked, try_locked
from tasks.engine.prefect_log import run_log


@contextmanager
def alone_in(folder: Path, *, stage: str) -> Iterator[bool]:
    """Whether somebody else was at it before, for whom this has waited. The folder is made."""
    with ExitStack() as held:
        lock = folder.with_name(f"{folder.name}.lock")
        with store_errors(str(folder)):
            folder.parent.mkdir(parents=True, exist_ok=True)
            waits = not held.enter_context(try_locked(lock))
        if waits:
            run_log().info("%s: another process is at the same work, which is waited for", stage)
            held.enter_context(locked(lock))
        with store_errors(str(folder)):
            folder.mkdir(exist_ok=True)
        yield waits
