"""Work that is done again and again beside something else.

Decides nothing. Refuses nothing: what the work raises ends it, and is for the work to say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(work: Callable[[], None], *, every_s: float) -> Iterator[None]:
    """First after `every_s`, in a thread, until the block ends; what has begun is ended."""
    ended = threading.Event()

    def again() -> None:
        while not ended.wait(every_s):
            work()

    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
