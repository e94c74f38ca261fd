"""Who makes a stage's shards beside it: processes of this machine, or a Ray cluster's nodes.

Decides by the settings alone, never by what is installed. It is in no cache key: the bytes are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgewright.fanout.hands import Hands
from edgewright.fanout.processes import ProcessHands
from edgewright.settings import Settings


@contextmanager
def hands_of(settings: Settings) -> Iterator[Hands]:
    """For one stage; a Ray that was begun for it ends with it. Raises MissingExtra where Ray is not installed."""
    if settings.fanout != "ray":
        yield ProcessHands(settings.threads)
        return
    from edgewright.fanout.on_ray import RayHands

    with RayHands(settings.ray_address, threads=settings.threads) as hands:
        yield hands
