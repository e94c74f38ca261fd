"""Video => still frames as PNG files, every n-th, with the time group that each belongs to.

Decides that frames close in time are one group: neighbors are near-copies, and a split between them is a leak. OpenCV
comes with the `train` extra and is imported here alone. Refuses a file that gives no frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewright.data.codec import encode_png
from edgewright.errors import MissingExtra, SourceError
from edgewright.runtime.boxes import Image

_ASSUMED_FPS = 25.0  # PAL; only where a container does not say


@dataclass(frozen=True)
class Frame:
    name: str
    path: Path
    group: str


def extract_frames(video: Path, target: Path, *, step: int, group_s: float, prefix: str = "") -> list[Frame]:
    """Every `step`-th frame. Names say the frame's number, groups its time; both begin with `prefix`.

    Raises:
        MissingExtra: OpenCV is not installed.
        SourceError: the file cannot be decoded.
    """
    frames: list[Frame] = []
    for number, at_s, image in each_frame(video, step=step):
        path = target / f"frame-{number:08d}.png"
        path.write_bytes(encode_png(image))
        frames.append(Frame(f"{prefix}{path.name}", path, f"{prefix}time-{math.floor(at_s / group_s):06d}"))
    return frames


def each_frame(video: Path, *, step: int) -> Iterator[tuple[int, float, Image]]:
    """Number, seconds since the beginning and picture of every `step`-th frame, one after another.

    Raises:
        MissingExtra: OpenCV is not installed.
        SourceError: not one frame can be decoded.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra(
            "reading a video needs OpenCV", got=error, where=video, next_step="pip install 'edgewright[train]'"
        ) from error
    capture = cv2.VideoCapture(str(video))
    try:
        fps = capture.get(cv2.CAP_PROP_FPS)
        fps = fps if math.isfinite(fps) and fps > 0 else _ASSUMED_FPS
        number, found = 0, False
        while capture.grab():
            if number % step == 0:
                decoded, bgr = capture.retrieve()
                if decoded:
                    found = True
                    yield number, number / fps, np.asarray(bgr[:, :, ::-1], dtype=np.uint8)
            number += 1
    finally:
        capture.release()
    if not found:
        raise SourceError("no frame can be read from the video", where=video, next_step="play it, or convert it to mp4")
