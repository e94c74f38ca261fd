"""Events to the collector by way of an MQTT broker, which is believed nothing.

    edgewright/PROJECT/DEVICE/told     {"id", "events"}                                 signed by the device
    edgewright/PROJECT/DEVICE/heard    {"of", "acknowledged", "beyond"}                 signed by the collector
                                       {"of", "why"}: refused; {"of", "away"}: cannot answer now

`of` is the sha256 of the message that is answered: an answer to another one, or one that was heard before, is none.
Decides whose answer counts: a collector's, with a certificate of the authority that the device's token named, for the
host that the device was enrolled at. All else that the broker brings is passed over, so that who forges answers does
not keep the right one out. Refuses to wait longer than ANSWER_S.

    with line_by_broker(home) as tell:
        tell({"events": []})
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from queue import Empty, SimpleQueue
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from edgewright.addresses import shown
from edgewright.device.feed import address_in
from edgewright.device.home import Home
from edgewright.device.identity import AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE
from edgewright.device.mqtt import Post
from edgewright.device.sealed import (
    COLLECTORS,
    HEARD,
    MAX_MESSAGE_BYTES,
    TOLD,
    Seal,
    is_for,
    project_in,
    seal_in,
    sealed,
    topic_of,
    unsealed,
)
from edgewright.errors import DeviceUnreachable, InputError, UpdateRefused

CONNECTED_S, ANSWER_S = 10.0, 15.0
MAX_PASSED_OVER = 1_000
"""Answers to one message that do not hold: more is a broker that nobody can work with."""


@contextmanager
def line_by_broker(home: Home) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """What tells events, and returns the collector's answer.

    Raises:
        DeviceUnreachable: the broker does not answer, refuses, goes away, or brings no answer that holds.
        UpdateRefused: the collector refuses, and says why.
        InputError: the device's identity, or the broker's address, cannot be read. MissingExtra.
    """
    line = _Line(home)
    try:
        line.await_heard()
        yield line.tell
    finally:
        line.close()


class _Line:
    def __init__(self, home: Home) -> None:
        address = address_in(home.config.broker_url)
        self._seal, self._authority = _identity(home)
        project, device = project_in(x509.load_der_x509_certificate(self._seal.certificate)), home.config.device_id
        self._told, self._heard = topic_of(project, device, TOLD), topic_of(project, device, HEARD)
        self._host, self._shown = urlsplit(home.config.collector_url).hostname or "", shown(address)
        self._came: SimpleQueue[bytes | str] = SimpleQueue()  # a message, or what became of the line
        self._post = Post(
            address,
            name=device,
            hears=self._heard,
            max_bytes=MAX_MESSAGE_BYTES,
            on_message=lambda _, payload: self._came.put(payload),
            on_state=self._came.put,
        )

    def close(self) -> None:
        self._post.close()

    def await_heard(self) -> None:
        until = time.monotonic() + CONNECTED_S
        while self._next(until, "the broker does not answer") != "":
            pass  # an answer to somebody who asked before

    def tell(self, body: dict[str, Any]) -> dict[str, Any]:
        message = sealed(json.dumps({"id": token_hex(16), **body}).encode(), topic=self._told, seal=self._seal)
        self._post.tell(self._told, message)
        of, until = sha256(message).hexdigest(), time.monotonic() + ANSWER_S
        for _ in range(MAX_PASSED_OVER):
            came = self._next(until, "the collector does not answer by the broker")
            answer = self._answer(came) if isinstance(came, bytes) else {}
            if answer.get("of") == of:
                return self._said(answer)
        raise DeviceUnreachable("the broker brings answers that do not hold", where=self._shown)

    def _next(self, until: float, otherwise: str) -> bytes | str:
        """A message, or "" where the line stands. Raises DeviceUnreachable where it broke, or after `until`."""
        try:
            came = self._came.get(timeout=max(until - time.monotonic(), 0.0))
        except Empty as error:
            raise DeviceUnreachable(otherwise, got="no answer in time", where=self._shown) from error
        if isinstance(came, str) and came:
            raise DeviceUnreachable("the broker does not take messages", got=came, where=self._shown)
        return came

    def _answer(self, message: bytes) -> dict[str, Any]:
        """Of a collector of this fleet; of nobody else anything."""
        try:
            payload, certificate = unsealed(message, topic=self._heard, authority=self._authority, usage=COLLECTORS)
            answer = json.loads(payload)
        except (UpdateRefused, ValueError, RecursionError):
            return {}
        return answer if is_for(certificate, self._host) and isinstance(answer, dict) else {}

    def _said(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "away" in answer:
            raise DeviceUnreachable("the collector cannot answer now", got=str(answer["away"])[:500], where=self._shown)
        if "why" in answer:
            raise UpdateRefused("the collector refuses", got=str(answer["why"])[:500], where=self._shown)
        return answer


def _identity(home: Home) -> tuple[Seal, x509.Certificate]:
    """What the device signs with, and whom it believes."""
    key, certificate, authority = (home.identity / name for name in (KEY_FILE, CERTIFICATE_FILE, AUTHORITY_FILE))
    try:
        return (
            seal_in(key.read_bytes(), certificate.read_bytes()),
            x509.load_pem_x509_certificate(authority.read_bytes()),
        )
    except (OSError, ValueError) as error:
        raise InputError(
            "the device's identity cannot be used", got=error, where=home.identity, next_step="enroll it again"
        ) from error
