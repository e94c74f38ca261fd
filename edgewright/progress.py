"""How long work reports on itself: a callback, so that no room prints, logs or knows who listens."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[int, int, str], None]
"""`(done, total, what)`: e.g. `(120, 600, "GAN step, loss 0.41")`. Called at most a few times a second."""


def silent(done: int, total: int, what: str) -> None:
    """For callers that do not listen."""
