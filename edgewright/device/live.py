"""Cameras, network streams and video files, by OpenCV, which is imported here alone.

Decides that what is looked at is what is seen now: a thread takes every frame from the camera, and hands over the next
one after it was asked. Whatever came meanwhile is counted as missed. A stream that is lost is asked for again, after a
second, then two, up to half a minute. Refuses a file or an address from which not one frame comes.

A camera of this machine (V4L2) was never at hand: what reads it is OpenCV alone. Streams were run against a real RTSP
server.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from edgewright.addresses import shown
from edgewright.device.feed import CAMERA, DEVICES, Closed, Frame, jpeg_of, never, picture_of
from edgewright.errors import InputError, MissingExtra
from edgewright.runtime.boxes import Image

_OPEN_MS, _READ_MS = 10_000, 10_000
_POLL_S, _CLOSE_S = 0.2, 25.0
_LONGEST_PAUSE_S = 30.0


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        what = "cameras, streams and videos need OpenCV"
        raise MissingExtra(what, got=error, next_step="pip install 'edgewright[video]'") from error
    return cv2


def _frame(name: str, rgb: Image, *, at: float | None) -> Frame:
    return Frame(name, at, lambda _: picture_of(rgb), lambda: jpeg_of(picture_of(rgb).rgb))


def _rgb(bgr: Any) -> Image:
    return np.ascontiguousarray(bgr[:, :, ::-1], dtype=np.uint8)


class Video(Closed):
    """A video file: every frame, as fast as they are looked at."""

    live = False
    missed = 0

    def __init__(self, path: Path) -> None:
        self._cv2, self._path = _opencv(), path

    def check(self) -> None:
        next(self.frames())

    def frames(self, *, until: Callable[[], bool] = never) -> Iterator[Frame]:
        capture = self._cv2.VideoCapture(str(self._path))
        number = 0
        try:
            while not until():
                read, bgr = capture.read()
                if not read:
                    break
                yield _frame(f"{self._path.stem}-{number:08d}.jpg", _rgb(bgr), at=None)
                number += 1
        finally:
            capture.release()
        if not number and not until():
            raise InputError("no frame can be read from the feed", where=self._path, next_step="play it")


class Stream(Closed):
    """Frames of a camera, one at a time, each the newest."""

    live = True

    def __init__(self, address: str, *, say: Callable[[str], None] | None = None) -> None:
        self.missed = self._seen = 0
        self._cv2, self._address, self._say = _opencv(), address, say
        self._changed = threading.Condition()
        self._wanted, self._began, self._ending = False, False, threading.Event()
        self._newest: Image | None = None
        self._problem = ""
        self._thread = threading.Thread(target=self._grab, name="feed", daemon=True)

    def check(self) -> None:
        next(self.frames())

    def frames(self, *, until: Callable[[], bool] = never) -> Iterator[Frame]:
        if not self._began:
            self._began = True
            self._thread.start()
        while not until():
            with self._changed:
                self._wanted = True
                self._changed.wait_for(lambda: self._newest is not None or self._over, timeout=_POLL_S)
                newest, self._newest = self._newest, None
                over = self._over
            if newest is not None:
                now = datetime.now(UTC)
                yield _frame(f"{now:%Y%m%dT%H%M%S.%f}.jpg", newest, at=now.timestamp())
            elif over:
                raise InputError("no frame comes from the feed", got=over, where=shown(self._address))

    def close(self) -> None:
        self._ending.set()
        if self._began:
            self._thread.join(_CLOSE_S)  # a read may wait until its own limit

    @property
    def _over(self) -> str:
        """Why no frame is waited for; "" where one is."""
        return "" if self._say else self._problem

    def _open(self) -> Any:
        limits = [self._cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS, self._cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_MS]
        return self._cv2.VideoCapture(self._address, self._cv2.CAP_FFMPEG, limits)

    def _grab(self) -> None:
        pause_s = 1.0
        while not self._ending.is_set():
            seen, problem = self._followed()
            self._lost(problem or ("it was lost" if seen else "it cannot be opened"))
            pause_s = 1.0 if seen else min(2 * pause_s, _LONGEST_PAUSE_S)
            self._ending.wait(pause_s)

    def _followed(self) -> tuple[int, str]:
        """Frames that came until no more did, and what was wrong, where that is known: a watching device goes on."""
        before, capture = self._seen, self._open()
        try:
            self._follow(capture)
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises
            return self._seen - before, f"{type(error).__name__}: {error}"
        finally:
            capture.release()
        return self._seen - before, ""

    def _follow(self, capture: Any) -> None:
        while not self._ending.is_set() and capture.grab():
            self._seen += 1
            if not self._wanted:
                self.missed += 1
                continue
            read, bgr = capture.retrieve()
            if not read:
                break
            self._found(_rgb(bgr))

    def _found(self, rgb: Image) -> None:
        with self._changed:
            again, self._problem = bool(self._problem), ""
            self._newest, self._wanted = rgb, False
            self._changed.notify_all()
        if again and self._say:
            self._say(f"the feed {shown(self._address)} is back")

    def _lost(self, problem: str) -> None:
        with self._changed:
            news, self._problem = problem != self._problem, problem
            self._changed.notify_all()
        if news and self._say and not self._ending.is_set():
            self._say(f"no frame comes from the feed {shown(self._address)}: {problem}; waiting for it")


class Camera(Stream):
    """A camera of this machine."""

    def __init__(
        self, device: int, wished: dict[str, float], *, address: str, say: Callable[[str], None] | None
    ) -> None:
        super().__init__(address, say=say)
        self._device, self._wished = device, wished

    @classmethod
    def of(cls, address: str, *, say: Callable[[str], None] | None = None) -> Camera:
        """Raises InputError where the address is no camera's."""
        number, _, query = address.removeprefix(CAMERA).removeprefix(DEVICES).partition("?")
        known = ("width", "height", "fps")
        try:
            wished = {name: float(value) for name, value in parse_qsl(query, strict_parsing=bool(query))}
            if not set(wished) <= {*known} or not all(map(math.isfinite, wished.values())):
                raise ValueError(f"only {', '.join(known)} can be wished")
            return cls(int(number), wished, address=address, say=say)
        except ValueError as error:
            expected = "camera:0, or camera:0?width=1280&height=720&fps=15"
            raise InputError("not a camera", expected=expected, got=f"{address}: {error}") from error

    def _open(self) -> Any:
        capture = self._cv2.VideoCapture(self._device, self._cv2.CAP_V4L2)
        named = {"width": "FRAME_WIDTH", "height": "FRAME_HEIGHT", "fps": "FPS"}
        for name, value in self._wished.items():
            capture.set(getattr(self._cv2, f"CAP_PROP_{named[name]}"), value)
        return capture
