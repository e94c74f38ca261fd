"""What waits in the outbox, told to the collector until nothing does.

Decides which way events go: by HTTPS, or by the broker that the device was told, never by the one because the other
failed; all else goes by HTTPS. Decides when an event may be forgotten: when the collector says that it has it. Where
the collector knows other events by the same numbers, this disk is an older copy of the device's: those get new numbers,
are told, and the collector notices. Refuses an answer that acknowledges nothing and explains nothing.

    with opened(home) as outbox:
        deliver(home, outbox)
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from edgewright.device.collector import ask
from edgewright.device.enroll import renew_identity
from edgewright.device.home import Home, wish_of
from edgewright.device.identity import Identity
from edgewright.device.outbox import Outbox
from edgewright.device.upload import upload
from edgewright.errors import DeviceUnreachable, UpdateRefused

MAX_BEYOND, MAX_ROUNDS = 2**52, 1_000
"""Half of the numbers that there are: one that is told by a slip, or by a liar, leaves room. Messages at a time."""
Tell = Callable[[dict[str, Any]], dict[str, Any]]


def deliver(home: Home, outbox: Outbox) -> None:
    """Events first, then hard frames, within the hours in which files are fetched.

    Raises DeviceUnreachable, UpdateRefused or InputError where it comes to no end; what was told is told."""
    with suppress(DeviceUnreachable, UpdateRefused):  # the old certificate is good for a while
        renew_identity(home)
    context = Identity(home.identity).context()
    with _line(home, context) as tell:
        _deliver(home, outbox, tell)
    if wish_of(home).fetches_at(datetime.now().astimezone().hour):
        upload(home, context)


@contextmanager
def _line(home: Home, context: ssl.SSLContext) -> Iterator[Tell]:
    """What tells events, and returns the answer. Raises DeviceUnreachable where there is none."""
    if not home.config.broker_url:
        yield lambda body: ask(home.config.collector_url, "/events", context=context, body=body)
        return
    from edgewright.device.by_broker import line_by_broker

    with line_by_broker(home) as tell:
        yield tell


def _deliver(home: Home, outbox: Outbox, tell: Tell) -> None:
    for _ in range(MAX_ROUNDS):
        events = outbox.waiting()
        if not events:
            return
        acknowledged, beyond = _told(tell({"events": [event.to_json() for event in events]}))
        sent = {event.seq for event in events}
        outbox.acknowledge(sent & acknowledged)
        # Of what was sent and not taken alone: what waits behind it may be known there by its number, too.
        taken_otherwise = sorted(seq for seq in sent - acknowledged if seq <= beyond)
        outbox.number_beyond(beyond, taken_otherwise)
        if not sent & acknowledged and not taken_otherwise:
            break
    raise DeviceUnreachable("the collector does not take the events", where=home.config.collector_url)


def _told(answer: dict[str, Any]) -> tuple[set[int], int]:
    """(numbers that the collector has, the highest number that it knows)."""
    acknowledged, beyond = answer.get("acknowledged"), answer.get("beyond")
    whole = isinstance(acknowledged, list) and all(type(seq) is int for seq in [*acknowledged, beyond])
    if not whole or not 0 <= beyond < MAX_BEYOND:  # type: ignore[operator]
        got = str(answer)[:200]
        raise UpdateRefused("the collector's answer cannot be used", expected="acknowledged, beyond", got=got)
    return set(acknowledged), int(beyond)  # type: ignore[arg-type]
