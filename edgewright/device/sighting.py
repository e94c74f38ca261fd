"""A frame that was looked at, for whoever wants to know: outputs, the page, what keeps hard frames.

Decides what is told of a frame. Refuses nothing.

    {"device": "line-1", "release": 3, "at": 1764540000.0, "frame": "000.png",
     "detections": [{"class": "nut", "class_id": 0, "score": 0.9, "xyxy": [2.0, 2.0, 30.0, 30.0]}]}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image as PillowImage

from edgewright.device.feed import Frame, jpeg_of
from edgewright.runtime.boxes import Boxes, FloatArray
from edgewright.runtime.draw import draw_boxes
from edgewright.runtime.pictures import DecodedPicture

Message = Mapping[str, Any]
NO_BOXES = Boxes.empty()


@dataclass(frozen=True)
class Seen:
    """What was detected.

    Attributes:
        boxes: px of the picture.
        doubted: the same, of scores below the threshold, where somebody wants to know of them.
        feature: (D,) float32, the network's own of the whole picture; None where the bundle has none.
    """

    picture: DecodedPicture
    boxes: Boxes
    classes: tuple[str, ...]
    doubted: Boxes = NO_BOXES
    feature: FloatArray | None = None

    def drawn(self) -> bytes:
        """A JPEG of the picture with its boxes."""
        return jpeg_of(PillowImage.fromarray(draw_boxes(self.picture.pixels, self.boxes, classes=self.classes)))


@dataclass(frozen=True)
class Sighting:
    """Attributes:
    message: as in this module's example; with `error` instead of detections where the frame could not be read.
    seen: None of such a frame.
    """

    frame: Frame
    message: Message
    seen: Seen | None


OnSighting = Callable[[Sighting], None]


def rows_of(boxes: Boxes, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """As `detections` of a message."""
    rows = zip(boxes.xyxy.tolist(), boxes.class_id.tolist(), boxes.score.tolist(), strict=True)
    return [
        {"xyxy": [round(x, 2) for x in xyxy], "class_id": kind, "class": classes[kind], "score": round(score, 4)}
        for xyxy, kind, score in rows
    ]
