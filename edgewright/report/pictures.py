"""Pictures of the page: JPEG in the page itself, boxes as elements over them, crisp at any size.

Decides how many pictures a section shows and how small they are coded so that the page keeps its size.

    gallery = Gallery(classes=("nut", "screw"), budget_bytes=2_200_000, n_pictures=40)
    gallery.figure(picture)
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage

from edgewright.report.data import Picture
from edgewright.runtime.boxes import Image
from edgewright.runtime.draw import box_label, color_of

MAX_SIDE_PX = 512
_MAX_BOXES = 300
_GAP_PX = 4
_STEPS = ((MAX_SIDE_PX, 84), (MAX_SIDE_PX, 72), (384, 70), (320, 60), (224, 50), (128, 40))
"""(longer side px, JPEG quality), tried in order until a picture fits."""
_BASE64_BYTES = 4 / 3


@dataclass(frozen=True)
class BoxMark:
    """A box as an element over the picture: where it lies and its color, as CSS; `sides` keep its label inside."""

    style: str
    label: str
    sides: str


@dataclass(frozen=True)
class Figure:
    """A picture as it stands in the page.

    Attributes:
        source: a data URI.
        words: what the picture shows, for those who do not see it.
        width, height: px of the picture that the boxes belong to.
    """

    source: str
    words: str
    width: int
    height: int
    boxes: tuple[BoxMark, ...]
    caption: str


@dataclass(frozen=True)
class Gallery:
    """The pictures of one page share a budget.

    Attributes:
        budget_bytes: for all pictures together, as they stand in the page.
        n_pictures: how many share it.
    """

    classes: tuple[str, ...]
    budget_bytes: int
    n_pictures: int

    @property
    def colors(self) -> list[tuple[str, str]]:
        """(class, color), for the legend."""
        return [(name, color_of(number)) for number, name in enumerate(self.classes)]

    def figure(self, picture: Picture) -> Figure:
        height, width = picture.image.shape[:2]
        marks = tuple(self._marks(picture))
        return Figure(self._data_uri(picture.image), self.describe(picture), width, height, marks, picture.caption)

    def describe(self, picture: Picture) -> str:
        """The alternative text: what the picture shows, in words."""
        counts = Counter(self._name(int(class_id)) for class_id in picture.boxes.class_id)
        found = ", ".join(f"{n} {name}" for name, n in sorted(counts.items())) or "no boxes"
        return f"{picture.caption}: {found}" if picture.caption else found

    def _marks(self, picture: Picture) -> Iterator[BoxMark]:
        """At most _MAX_BOXES, the strongest ones last."""
        height, width = picture.image.shape[:2]
        boxes = picture.boxes.clip((width, height))
        for index in np.argsort(boxes.score, kind="stable")[-_MAX_BOXES:].tolist():
            x1, y1, x2, y2 = boxes.xyxy[index].tolist()
            style = (
                f"left:{x1 / width:.2%};top:{y1 / height:.2%};"
                f"width:{(x2 - x1) / width:.2%};height:{(y2 - y1) / height:.2%};"
                f"--c:{color_of(int(boxes.class_id[index]))}"
            )
            sides = ("in" if y1 < 0.09 * height else "", "end" if x1 > 0.7 * width else "")
            label = box_label(self._name(int(boxes.class_id[index])), float(boxes.score[index]))
            yield BoxMark(style, label, " ".join(filter(None, sides)))

    def _name(self, class_id: int) -> str:
        return self.classes[class_id] if class_id < len(self.classes) else f"class {class_id}"

    def _data_uri(self, image: Image) -> str:
        share_bytes = self.budget_bytes / max(1, self.n_pictures) / _BASE64_BYTES
        payload = b""
        for side_px, quality in _STEPS:
            payload = _encode_jpeg(image, side_px=side_px, quality=quality)
            if len(payload) <= share_bytes:
                break
        return f"data:image/jpeg;base64,{base64.b64encode(payload).decode()}"


def beside(left: Image, right: Image, *, height_px: int) -> Image:
    """Two pictures at one height, a white gap between them."""
    gap = np.full((height_px, _GAP_PX, 3), 255, np.uint8)
    return np.hstack([_at_height(left, height_px), gap, _at_height(right, height_px)])


def _at_height(image: Image, height_px: int) -> Image:
    height, width = image.shape[:2]
    wh = (max(1, round(width * height_px / height)), height_px)
    return np.asarray(PillowImage.fromarray(image).resize(wh, PillowImage.Resampling.LANCZOS))


def _encode_jpeg(image: Image, *, side_px: int, quality: int) -> bytes:
    picture = PillowImage.fromarray(image)
    picture.thumbnail((side_px, side_px), PillowImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
