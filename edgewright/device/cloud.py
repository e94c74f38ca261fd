"""Doubted frames are asked about: a larger model behind a server, beside the detecting and after the local answer.

    POST {to}/detect    a JPEG, pixels alone    => {"model", "detections": [{"class", "score", "xyxy"}]}

Decides how: one frame at a time, in a thread of its own, over one line that is kept; both ends prove who they are by
the fleet's certificates. What the policy hides is hidden before the picture is made small and sent; where that cannot
be done none is sent, and why is said once. Which frames, how many and how long is `escalation.py`'s. An answer in time
is told as a second message, a late one is dropped. Refuses an answer that is too long, too slow or none (`answers.py`).

    with_escalation(home, bundle, tell=outputs.pass_on, say=print)      # a watcher of `run_feed`, or None
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from json import loads
from typing import Literal
from urllib.parse import urlsplit

from PIL import Image as PillowImage

from edgewright.addresses import shown, why
from edgewright.device.answers import MAX_ANSWER_BYTES, answer_of
from edgewright.device.escalation import Counts, Escalation, Verdict
from edgewright.device.feed import jpeg_of
from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.hard import doubt_of
from edgewright.device.hiding import Hide, hiding
from edgewright.device.home import Home
from edgewright.device.identity import identity_of
from edgewright.device.keeping import policy_of
from edgewright.device.sighting import Message, Sighting, rows_of
from edgewright.errors import EdgewrightError, InputError
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.pictures import DecodedPicture

DETECT_PATH = "/detect"
_PORT = 443
_PATIENCE, _OPENED_S, _KEPT_S, _END_S = 2, 5.0, 10.0, 1.0
"""An answer is waited for twice its deadline, to know that it is late; one that was silent for so long is not used."""
_WHOLE_PX = 1 << 16
Say = Callable[[str], None]
Tell = Callable[[Message], None]


class Unanswered(Exception):
    """`what`: late, refused or failed; with why, in a few words."""

    def __init__(self, what: Literal["late", "refused", "failed"], why: str) -> None:
        super().__init__(why)
        self.what = what


class Line:
    """A TLS connection that is kept from one question to the next. Law: `open` and `ask` end within their time."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        place = urlsplit(url)
        self._host, self._port, self._context = place.hostname or "", place.port or _PORT, context
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._used, self._cut = 0.0, False

    def open(self, *, within_s: float = _OPENED_S) -> None:
        """Be ready to be asked: a handshake takes several times as long as a question. Raises Unanswered."""
        with self._within(within_s, over="failed"):
            self._connected(within_s)

    def ask(self, payload: bytes, *, within_s: float) -> bytes:
        """What is answered. Raises Unanswered."""
        with self._within(within_s, over="late"):
            connection = self._connected(within_s)
            connection.request("POST", DETECT_PATH, body=payload, headers={"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            told = response.read(MAX_ANSWER_BYTES + 1)
            whole = response.isclosed()
        self._used = time.monotonic()
        if not whole or response.will_close:
            self.close()
        _check(response.status, told)
        return told

    @contextmanager
    def _within(self, seconds: float, *, over: Literal["late", "failed"]) -> Iterator[None]:
        """Socket timeouts are of one call each: who drips would be waited for on and on."""
        timer = threading.Timer(seconds, self.cut)
        timer.daemon = True
        self._cut = False
        timer.start()
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            self.close()
            late = self._cut or isinstance(error, TimeoutError)
            raise Unanswered(over if late else "failed", "no answer in time" if late else why(error)) from error
        finally:
            timer.cancel()

    def cut(self) -> None:
        """From any thread: whoever waits here waits no longer."""
        self._cut = True
        with suppress(OSError):
            if self._socket is not None:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS's own would take it from who reads

    def close(self) -> None:
        connection, self._connection, self._socket = self._connection, None, None
        if connection is not None:
            connection.close()

    def _connected(self, within_s: float) -> http.client.HTTPConnection:
        if self._connection is not None and not self._is_good():
            self.close()
        if self._connection is None:
            plain = socket.create_connection((self._host, self._port), timeout=within_s)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secured = self._context.wrap_socket(plain, server_hostname=self._host, do_handshake_on_connect=False)
            self._connection = http.client.HTTPConnection(self._host, self._port)
            self._connection.sock = self._socket = secured
            if self._cut:
                raise TimeoutError
            secured.do_handshake()
            self._used = time.monotonic()
        return self._connection

    def _is_good(self) -> bool:
        """What the other end closed can be read from, and so can what nobody asked for."""
        recent = time.monotonic() - self._used < _KEPT_S
        return recent and self._socket is not None and not select.select([self._socket], [], [], 0)[0]


def _check(status: int, told: bytes) -> None:
    if status == HTTPStatus.OK:
        return
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Unanswered("failed", f"it cannot answer now ({status})")
    reason = ""
    with suppress(ValueError, RecursionError, AttributeError):
        reason = str(loads(told).get("why", ""))[:200]
    raise Unanswered("refused", f"it refuses: {reason or status}")


class Cloud:
    """Made by `with_escalation`. A watcher that takes no time: all that takes any is done in its thread."""

    def __init__(
        self, rule: Escalation, line: Line, *, hide: Hide | None, bundle: Bundle, tell: Tell, say: Say
    ) -> None:
        """`hide`: None where nothing is to be hidden, and no px beyond what leaves are read."""
        self._rule, self._line, self._hide, self._spec = rule, line, hide, bundle.manifest.spec
        self._tell, self._say, self._said = tell, say, ""
        self._changed = threading.Condition()
        self._waiting: tuple[Sighting, float] | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="cloud", daemon=True)
        self._thread.start()

    @property
    def floor(self) -> float:
        """The lowest score that it wants to be told of."""
        return self._spec.score_threshold / 2

    def __call__(self, sighting: Sighting) -> None:
        seen = sighting.seen
        if seen is None:
            return
        scores = [*seen.boxes.score.tolist(), *seen.doubted.score.tolist()]
        doubt = doubt_of(scores, threshold=self._spec.score_threshold)
        with self._changed:
            now = time.monotonic()
            if self._rule.consider(doubt, now=now) is Verdict.ASK:
                self._waiting = sighting, now
                self._changed.notify()

    @property
    def asking(self) -> bool:
        """Whether a frame is being asked about."""
        with self._changed:
            return self._rule.asking

    def told(self) -> Counts:
        """What came of it since this was asked last."""
        with self._changed:
            return self._rule.told(now=time.monotonic())

    def close(self) -> None:
        """Whatever is under way: it is not waited for."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._line.cut()
        self._thread.join(_END_S)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._ended)
                waiting, self._waiting = self._waiting, None
                if self._ended or waiting is None:
                    break
            self._consult(*waiting)
        self._line.close()

    def _consult(self, sighting: Sighting, began: float) -> None:
        try:
            picture, small = self._prepared(sighting)
            payload = jpeg_of(small)
        except (EdgewrightError, OSError) as error:
            self._drop(f"a frame is not asked about: {error}")
            return
        try:
            self._line.open()
            with self._changed:
                leaves = not self._ended and self._rule.may_leave(len(payload), now=time.monotonic())
            if not leaves:  # also where the line took its time: it is there for the next one
                self._drop("")
                return
            left_s = began + _PATIENCE * self._rule.deadline_s - time.monotonic()
            told = self._line.ask(payload, within_s=max(left_s, 0.001))
            answer = answer_of(told, wh=small.size, classes=self._spec.classes)
        except (Unanswered, ValueError) as error:
            self._fail(error)
            return
        now = time.monotonic()
        with self._changed:
            in_time = not self._ended and self._rule.answered(now=now)
        if not in_time:
            return
        self._said = ""
        boxes = picture.to_file(answer.boxes.transform(scale=picture.rgb.width / small.width))
        message = {name: value for name, value in sighting.message.items() if name != "detections"}
        whose = {"by": "cloud", "model": answer.model, "latency_ms": round(1000 * (now - began), 1)}
        try:
            self._tell({**message, **whose, "detections": rows_of(boxes, self._spec.classes)})
        except OSError as error:
            self._news(f"an answer was not told: {error}")

    def _prepared(self, sighting: Sighting) -> tuple[DecodedPicture, PillowImage.Image]:
        """What was read, and what leaves: hidden first, then made small, so that nothing is found too small."""
        side = self._rule.policy.side_px
        picture = sighting.frame.read(_WHOLE_PX if self._hide else side)
        small = self._hide(picture.rgb)[0] if self._hide else picture.rgb.copy()
        small.thumbnail((side, side))
        return picture, small

    def _drop(self, sentence: str) -> None:
        with self._changed:
            self._rule.dropped()
        if sentence:
            self._news(sentence)

    def _fail(self, error: Unanswered | ValueError) -> None:
        with self._changed:
            self._rule.failed(error.what if isinstance(error, Unanswered) else "failed", now=time.monotonic())
        said = str(error) if isinstance(error, Unanswered) else f"no answer to go by: {error}"
        if not self._ended:
            self._news(f"{shown(self._rule.policy.to)} does not help: {said}")

    def _news(self, sentence: str) -> None:
        """The same is said once, until an answer came in time."""
        if sentence != self._said:
            self._say(sentence)
        self._said = sentence


def with_escalation(home: Home, bundle: Bundle, *, tell: Tell | None, say: Say) -> Cloud | None:
    """None where nobody is to be asked, or may be, which is said."""
    policy = policy_of(home)
    if policy is None or policy.escalation is None or not policy.escalation.share:
        return None
    try:
        return _opened(home, bundle, policy, tell=tell, say=say)
    except (EdgewrightError, OSError) as error:
        say(f"no frame is asked about: {error}")
        return None


def _opened(home: Home, bundle: Bundle, policy: FramesPolicy, *, tell: Tell | None, say: Say) -> Cloud | None:
    identity = identity_of(home)
    if policy.escalation is None:
        return None
    if tell is None:
        raise InputError("nobody would hear the answer", next_step="an output, --to")
    if identity is None:
        raise InputError("the device belongs to no fleet", next_step="edgewright-device enroll")
    hide = hiding(home, bundle, policy) if policy.blur or policy.blur_bundle else None
    line = Line(policy.escalation.to, identity.context())
    return Cloud(Escalation(policy.escalation), line, hide=hide, bundle=bundle, tell=tell, say=say)
