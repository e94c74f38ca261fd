"""Hard frames to the collector, piece by piece: whatever breaks, the next time goes on where it was.

    POST /frames                  {facts}     => {"have": bytes that it has, "done": whether that is all and kept}
    POST /frames/<sha256>?from=N  a piece     => the same

Decides when a frame may go from the disk: when the collector says that it has all of it and kept it, or that it will
not take it; what was kept by a policy that is no longer in force goes unsent. Refuses an answer that claims more than
was sent.

    upload(home, context)
"""

from __future__ import annotations

import ssl
from typing import Any

from edgewright.device.collector import ask
from edgewright.device.home import Home
from edgewright.device.keeping import policy_of
from edgewright.device.spool import Spool, WaitingFrame
from edgewright.errors import UpdateRefused

PIECE_BYTES = 48_000
"""Of a line of a kilobyte a second one still passes within the minute that a collector gives a connection."""


def upload(home: Home, context: ssl.SSLContext) -> int:
    """How many arrived. Raises DeviceUnreachable; UpdateRefused: with the first reason, once all were tried."""
    spool, refused, arrived = Spool(home), list[UpdateRefused](), 0
    spool.tidy(policy_of(home))
    for frame in spool.waiting():
        try:
            _sent(home.config.collector_url, frame, context)
            arrived += 1
        except UpdateRefused as error:
            refused.append(error)  # it would be no other the next time, and in the way of those that come
        spool.remove(frame.sha256)
    if refused:
        raise refused[0]
    return arrived


def _sent(url: str, frame: WaitingFrame, context: ssl.SSLContext) -> None:
    answer = ask(url, "/frames", context=context, body=dict(frame.facts))
    have, done = _told(answer, frame)
    with frame.picture.open("rb") as stream:
        while not done:
            stream.seek(have)
            path = f"/frames/{frame.sha256}?from={have}"
            before = have
            have, done = _told(ask(url, path, context=context, payload=stream.read(PIECE_BYTES)), frame)
            if have <= before and not done:
                raise UpdateRefused("the collector takes no more of a frame", got=have, where=frame.sha256[:12])


def _told(answer: dict[str, Any], frame: WaitingFrame) -> tuple[int, bool]:
    have, done = answer.get("have"), answer.get("done")
    if (
        type(have) is not int
        or type(done) is not bool
        or not 0 <= have <= frame.bytes
        or (done and have != frame.bytes)
    ):
        got = str(answer)[:200]
        raise UpdateRefused("the collector's answer cannot be used", expected="have, done", got=got)
    return have, done
