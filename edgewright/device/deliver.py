"""What waits in the outbox, told to the collector until nothing does.

Decides when an event may be forgotten: when the collector says that it has it. Where the collector knows other events
by the same numbers, this disk is an older copy of the device's: what waits gets new numbers, is told, and the collector
notices. Refuses an answer that acknowledges nothing and explains nothing.

    with opened(home) as outbox:
        deliver(home, outbox)
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from edgewright.device.collector import ask
from edgewright.device.enroll import renew_identity
from edgewright.device.home import Home
from edgewright.device.identity import Identity
from edgewright.device.outbox import Outbox
from edgewright.errors import DeviceUnreachable, UpdateRefused

MAX_SEQ = 2**53


def deliver(home: Home, outbox: Outbox) -> None:
    """Raises DeviceUnreachable, UpdateRefused or InputError where it comes to no end; what was told is told."""
    with suppress(DeviceUnreachable, UpdateRefused):  # the old certificate is good for a while
        renew_identity(home)
    context = Identity(home.identity).context()
    while events := outbox.waiting():
        body = {"events": [event.to_json() for event in events]}
        answer = ask(home.config.collector_url, "/events", context=context, body=body)
        acknowledged, beyond = _told(answer)
        known = acknowledged & {event.seq for event in events}
        outbox.acknowledge(known)
        if not outbox.number_beyond(beyond) and not known:
            raise DeviceUnreachable("the collector took none of the events", where=home.config.collector_url)


def _told(answer: dict[str, Any]) -> tuple[set[int], int]:
    """(numbers that the collector has, the highest number that it knows)."""
    acknowledged, beyond = answer.get("acknowledged"), answer.get("beyond")
    whole = isinstance(acknowledged, list) and all(type(seq) is int for seq in [*acknowledged, beyond])
    if not whole or not 0 <= beyond < MAX_SEQ:  # type: ignore[operator]
        raise UpdateRefused("the collector's answer cannot be used", expected="acknowledged, beyond", got=answer)
    return set(acknowledged), int(beyond)  # type: ignore[arg-type]
