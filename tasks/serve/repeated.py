"""What servers do while they serve: work that is done again and again beside them, and wait for their end.

Decides that work goes on whatever went wrong, which is said: nobody would notice that it had stopped. Refuses nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def wait_until_ended(say: Callable[[str], None]) -> None:
    """Until Ctrl-C, or SIGTERM where the command takes it for that."""
    say("Ctrl-C ends it")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        say("ending")


@contextmanager
def repeated(work: Callable[[], None], *, every_s: float, say: Callable[[str], None]) -> Iterator[None]:
    """First after `every_s`, in a thread, until the block ends; what has begun is ended."""
    ended = threading.Event()

    def again() -> None:
        while not ended.wait(every_s):
            try:
                work()
            except Exception as error:  # noqa: BLE001 - a server's own loop, as the agent's
                say(f"Failed    {type(error).__name__}: {error}; tried again in {every_s:g} s")

    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
