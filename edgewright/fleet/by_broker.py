"""The collector's ear at an MQTT broker: what devices tell there counts as what they tell by HTTPS.

Decides nothing about devices: that is `register.py`'s, by the same function. What it hears was signed by the device
whose topic it came on, or it is not read: the broker may lose messages, bring them twice and make up others, and
changes nothing by it. An answer is signed with the collector's own key, given when the register is on the disk, and
says to which message. Refuses, and counts: what is too long, what nobody signed, what a device signed for another's
topic, devices that are not enrolled or were expelled (who are told why, being who they say), and what comes while
MAX_WAITING messages wait for the disk.

    with heard_by_broker("mqtt://127.0.0.1", writer, authority, seal=lambda: seal, figures=figures, say=print):
        ...
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from edgewright.addresses import shown
from edgewright.device.mqtt import Post
from edgewright.device.sealed import DEVICES, HEARD, MAX_MESSAGE_BYTES, TOLD, Seal, sealed, topic_of, unsealed
from edgewright.errors import EdgewrightError, StoreUnavailable, UpdateRefused
from edgewright.fleet.authority import Authority
from edgewright.fleet.collector import keep, parsed, told_in
from edgewright.fleet.figures import Figures
from edgewright.fleet.questions import named
from edgewright.fleet.register import Accepted, Refused
from edgewright.fleet.writer import Writer

MAX_WAITING = 1_000
EVERY_DEVICE = "edgewright/+/+/" + TOLD
Say = Callable[[str], None]


@contextmanager
def heard_by_broker(
    address: str, writer: Writer, authority: Authority, *, seal: Callable[[], Seal], figures: Figures, say: Say
) -> Iterator[None]:
    """Hear in this block, also a broker that comes later or comes back.

    Args: seal: what answers are signed with, asked each time: the certificate is made anew now and then.

    Raises InputError: no broker's address. MissingExtra.
    """
    ear = _Ear(address, writer, authority, seal, figures, say)
    try:
        yield
    finally:
        ear.close()


@dataclass(frozen=True)
class _Asked:
    """Attributes: topic: where the answer goes. of: the message's sha256."""

    topic: str
    of: str


class _Ear:
    def __init__(
        self, address: str, writer: Writer, authority: Authority, seal: Callable[[], Seal], figures: Figures, say: Say
    ) -> None:
        self._writer, self._authority, self._seal, self._figures, self._say = writer, authority, seal, figures, say
        self._shown, self._problem = shown(address), ""
        self._room = threading.Semaphore(MAX_WAITING)
        self._closed = threading.Event()
        self._post = Post(
            address,
            name="collector",
            hears=EVERY_DEVICE,
            max_bytes=MAX_MESSAGE_BYTES,
            on_message=self._came,
            on_state=self._state,
        )

    def close(self) -> None:
        self._closed.set()
        self._post.close()
        self._figures.broker.set(0)

    def _state(self, problem: str) -> None:
        self._figures.broker.set(not problem)
        if problem != self._problem:
            self._problem = problem
            said = f"is not heard: {problem}; asked again" if problem else "is heard"
            self._say(f"Broker    {self._shown} {said}")
        elif not problem:
            self._say(f"Broker    {self._shown} is heard")

    def _came(self, topic: str, message: bytes) -> None:
        try:
            self._hear(topic, message)
        except UpdateRefused:  # nobody to answer: whoever it was is not who they say
            self._refuse("size" if len(message) > MAX_MESSAGE_BYTES else "signature")
        except Refused:
            self._refuse("topic")
        except Exception as error:  # noqa: BLE001 - a server's own loop: one message must not end the hearing
            self._refuse("failed")
            self._say(f"Failed    a message by {self._shown}: {type(error).__name__}: {error}")

    def _hear(self, topic: str, message: bytes) -> None:
        began = time.perf_counter()
        payload, certificate = unsealed(message, topic=topic, authority=self._authority.certificate, usage=DEVICES)
        peer = named(certificate.public_bytes(Encoding.DER))
        if topic != topic_of(peer["project"], peer["device"], TOLD):
            raise Refused(f"{peer['device']} told something on {topic[:200]}")
        asked = _Asked(topic_of(peer["project"], peer["device"], HEARD), sha256(message).hexdigest())
        if not self._room.acquire(blocking=False):
            self._refuse("busy")
            self._answer(asked, {"away": "too many messages wait"})
            return
        try:
            kept = keep(self._writer, peer, told_in(parsed(payload)))
        except (Refused, StoreUnavailable) as error:
            self._room.release()
            self._ended(asked, error)
        else:
            kept.add_done_callback(lambda done: self._done(asked, done, began))

    def _done(self, asked: _Asked, done: Future[Accepted], began: float) -> None:
        """In the thread that writes."""
        self._room.release()
        error = done.exception()
        if error is not None:
            self._ended(asked, error)
            return
        accepted = done.result()
        self._figures.heard(accepted, seconds=time.perf_counter() - began)
        self._answer(asked, {"acknowledged": accepted.acknowledged, "beyond": accepted.beyond})

    def _ended(self, asked: _Asked, error: BaseException) -> None:
        if isinstance(error, Refused):
            self._refuse("device")
            self._answer(asked, {"why": str(error)})
            return
        said = error.what if isinstance(error, EdgewrightError) else type(error).__name__  # without where it lies
        self._answer(asked, {"away": said})

    def _answer(self, asked: _Asked, said: dict[str, Any]) -> None:
        if not self._closed.is_set():
            payload = json.dumps({"of": asked.of, **said}).encode()
            self._post.tell(asked.topic, sealed(payload, topic=asked.topic, seal=self._seal()))

    def _refuse(self, why: str) -> None:
        self._figures.refused_by_broker.labels(why=why).inc()
