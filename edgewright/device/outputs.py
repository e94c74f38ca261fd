"""Where detections go beside the device's own folder.

    -                                 JSON lines on standard output
    http://host/path, https://…       a webhook: POST of a list of messages, JSON
    mqtt://host/topic, mqtts://…      a broker, a message a frame (extra `mqtt`)
    @FILE                             the address is the first line of a file, where it holds a password

A message is `{"device", "release", "at", "frame", "detections"}`, or with `error` where a frame could not be read. What
a larger model answered in time comes as a second one, with `by`, `model` and `latency_ms` (`cloud.py`).

Decides that nobody who listens holds the detecting up: what cannot be told now waits, MAX_WAITING messages at most, of
which the oldest goes first, and what was lost is counted. Refuses any other address. Nothing here is kept across a
restart: what has to arrive goes through the outbox.

    with open_outputs(["-", "http://127.0.0.1:9000/seen"], device_id="line-1", say=print) as outputs:
        outputs.tell(sighting)
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO, Protocol
from urllib.parse import unquote, urlsplit

from edgewright.addresses import checked, shown, why
from edgewright.device.feed import address_in
from edgewright.device.sighting import Message, Sighting
from edgewright.errors import InputError

MAX_WAITING, MAX_MESSAGES = 1_000, 100
_TIMEOUT_S, _CLOSE_S = 10.0, 5.0
_LONGEST_PAUSE_S = 30.0
STDOUT = "-"
_MQTT = ("mqtt", "mqtts")
Say = Callable[[str], None]


class Output(Protocol):
    """Law: `tell` returns at once."""

    def tell(self, message: Message) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Outputs:
    """All that were asked for."""

    each: tuple[Output, ...] = ()

    def tell(self, sighting: Sighting) -> None:
        self.pass_on(sighting.message)

    def pass_on(self, message: Message) -> None:
        """From any thread."""
        for output in self.each:
            output.tell(message)


@contextmanager
def open_outputs(addresses: Sequence[str], *, device_id: str, say: Say) -> Iterator[Outputs]:
    """`say` is told when an output fails and how much of it was lost. Raises InputError, MissingExtra."""
    with ExitStack() as held:
        opened = []
        for address in map(address_in, addresses):
            output = _opened(address, device_id=device_id, say=say)
            held.callback(output.close)
            opened.append(output)
        yield Outputs(tuple(opened))


def _opened(address: str, *, device_id: str, say: Say) -> Output:
    scheme = urlsplit(address).scheme
    if address == STDOUT:
        return JsonLines(sys.stdout)
    if scheme in _MQTT:
        from edgewright.device.mqtt import Broker  # paho is an extra

        return Broker(address, device_id=device_id, say=say)
    if scheme in ("http", "https"):
        return Webhook(address, say=say)
    raise InputError("not an output", expected="-, http(s)://…, mqtt(s)://host/topic", got=shown(address))


def line_of(message: Message) -> str:
    return json.dumps(message, sort_keys=True)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A message that is sent elsewhere would be a question without it, and take the password along."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class JsonLines:
    """A line a message, each there to be read as soon as it is written."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._one_at_a_time = stream, threading.Lock()

    def tell(self, message: Message) -> None:
        with self._one_at_a_time:
            print(line_of(message), file=self._stream, flush=True)

    def close(self) -> None:
        pass


class Webhook:
    """Messages to an address, as many at once as wait."""

    def __init__(self, address: str, *, say: Say, patience_s: float = _CLOSE_S) -> None:
        self._address, self._user = _without_user(checked(address))
        self._say, self._patience_s = say, patience_s
        self._told = self._delivered = 0  # each counted in one thread
        self._waiting: deque[Message] = deque(maxlen=MAX_WAITING)
        self._changed = threading.Condition()
        self._ended_at: float | None = None
        self._failed = ""
        self._thread = threading.Thread(target=self._deliver, name="webhook", daemon=True)
        self._thread.start()

    def tell(self, message: Message) -> None:
        with self._changed:
            self._told += 1
            self._waiting.append(message)  # the oldest goes where there are too many
            self._changed.notify()

    def close(self) -> None:
        """What waits is told for so many seconds more."""
        with self._changed:
            self._ended_at = time.monotonic() + self._patience_s
            self._changed.notify()
        self._thread.join(self._patience_s)
        if lost := self._told - self._delivered:
            self._say(f"{lost} messages did not reach {shown(self._address)}")

    def _deliver(self) -> None:
        pause_s = 1.0
        while not self._over():
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended_at is not None)
                messages = [self._waiting.popleft() for _ in range(min(MAX_MESSAGES, len(self._waiting)))]
            if not messages:
                continue
            problem = self._post(messages)
            self._note(problem)
            if not problem:
                self._delivered += len(messages)
                pause_s = 1.0
                continue
            with self._changed:  # newer ones may have come in between: of all that wait the oldest go
                room = MAX_WAITING - len(self._waiting)
                self._waiting.extendleft(reversed(messages[-room:] if room else []))
                self._changed.wait_for(lambda: self._ended_at is not None, timeout=pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _over(self) -> bool:
        ended = self._ended_at
        return ended is not None and (not self._waiting or time.monotonic() > ended)

    def _post(self, messages: list[Message]) -> str:
        """Why it was not taken; "" where it was."""
        request = urllib.request.Request(  # noqa: S310 - http or https: `checked` refuses other schemes
            self._address,
            data=json.dumps(messages, sort_keys=True).encode(),
            headers={"Content-Type": "application/json", **self._user},
            method="POST",
        )
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_S):
                return ""
        except (OSError, HTTPException, ValueError) as error:  # the last: an address that HTTP cannot say
            return why(error)

    def _note(self, problem: str) -> None:
        if problem and problem != self._failed:
            self._say(f"{shown(self._address)} does not take messages: {problem}; they wait")
        elif self._failed and not problem:
            self._say(f"{shown(self._address)} takes messages again")
        self._failed = problem


def _without_user(address: str) -> tuple[str, dict[str, str]]:
    """The address, and the header that says who asks (RFC 7617), where it names a user."""
    place = urlsplit(address)
    if not place.username:
        return address, {}
    named = f"{unquote(place.username)}:{unquote(place.password or '')}".encode()
    bare = place._replace(netloc=place.netloc.rpartition("@")[2]).geturl()
    return bare, {"Authorization": f"Basic {b64encode(named).decode()}"}
