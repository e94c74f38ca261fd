"""Pictures of the page: JPEG in the page itself, boxes as elements over them, crisp at any size.

Decides how many pictures a section shows and how small they are coded so that the page keeps its size.

    gallery = Gallery(classes=("nut", "screw"), budget_bytes=2_200_000, n_pictures=40)
    gallery.figure(picture)
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterator, Sequence
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
_SHOWN_PX, _LETTER_PX, _PADDING_PX, _LINE_PX, _SLACK = 300, 6.4, 10, 15, 0.01
"""A hero picture at its narrowest, and its labels' type, as in `page.css`."""
_SIDES = ("", "in", "below", "end", "in end", "below end")


@dataclass(frozen=True)
class BoxMark:
    """A box as an element over the picture: where it lies and its color, as CSS.

    Attributes:
        sides: where its label stands, as CSS classes; None where there is no room: it is told by the mouse alone.
    """

    style: str
    label: str
    sides: str | None


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
        order = np.argsort(boxes.score, kind="stable")[-_MAX_BOXES:].tolist()
        shares = boxes.xyxy / np.array([width, height] * 2, dtype=np.float32)
        labels = [box_label(self._name(int(boxes.class_id[i])), float(boxes.score[i])) for i in range(len(boxes))]
        sides = place_labels(shares[order[::-1]].tolist(), [labels[i] for i in order[::-1]], ratio=width / height)[::-1]
        for index, side in zip(order, sides, strict=True):
            x1, y1, x2, y2 = shares[index].tolist()
            style = (
                f"left:{x1:.2%};top:{y1:.2%};width:{x2 - x1:.2%};height:{y2 - y1:.2%};"
                f"--c:{color_of(int(boxes.class_id[index]))}"
            )
            yield BoxMark(style, labels[index], side)

    def _name(self, class_id: int) -> str:
        return self.classes[class_id] if class_id < len(self.classes) else f"class {class_id}"

    def _data_uri(self, image: Image) -> str:
        share_bytes = self.budget_bytes / max(1, self.n_pictures) / _BASE64_BYTES
        payload = b""
        for side_px, quality in _STEPS:
            payload = encode_jpeg(image, side_px=side_px, quality=quality)
            if len(payload) <= share_bytes:
                break
        return f"data:image/jpeg;base64,{base64.b64encode(payload).decode()}"


def place_labels(boxes: Sequence[Sequence[float]], labels: Sequence[str], *, ratio: float) -> list[str | None]:
    """Where each box's label stands so that none covers another; the first ones choose first.

    Tried in turn: above the box, inside its top, below it, at its left or right end. A picture is taken to be shown
    _SHOWN_PX wide; wider, its labels cover less of it.

    Args:
        boxes: x1, y1, x2, y2 as shares of the picture. ratio: its width by its height.

    >>> place_labels([[0.1, 0.4, 0.3, 0.6], [0.12, 0.4, 0.3, 0.6]], ["nut", "nut"], ratio=1.0)
    ['', 'in']
    """
    taken: list[tuple[float, float, float, float]] = []
    found: list[str | None] = []
    for box, label in zip(boxes, labels, strict=True):
        size = ((_LETTER_PX * len(label) + _PADDING_PX) / _SHOWN_PX, _LINE_PX * ratio / _SHOWN_PX)
        places = ((side, _label_box(side, box, size)) for side in _SIDES)
        free = next(((side, place) for side, place in places if _fits(place, taken)), None)
        found.append(free[0] if free else None)
        taken += [free[1]] if free else []
    return found


def _label_box(side: str, box: Sequence[float], size: tuple[float, float]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    left = x2 - size[0] if "end" in side else x1
    top = y1 if "in" in side else y2 if "below" in side else y1 - size[1]
    return left, top, left + size[0], top + size[1]


def _fits(place: tuple[float, float, float, float], taken: Sequence[tuple[float, float, float, float]]) -> bool:
    """Within the picture, and over no other label."""
    if min(place[:2]) < -_SLACK or max(place[2:]) > 1 + _SLACK:
        return False
    return not any(
        place[0] < other[2] and other[0] < place[2] and place[1] < other[3] and other[1] < place[3] for other in taken
    )


def beside(left: Image, right: Image, *, height_px: int) -> Image:
    """Two pictures at one height, a white gap between them."""
    gap = np.full((height_px, _GAP_PX, 3), 255, np.uint8)
    return np.hstack([_at_height(left, height_px), gap, _at_height(right, height_px)])


def _at_height(image: Image, height_px: int) -> Image:
    height, width = image.shape[:2]
    wh = (max(1, round(width * height_px / height)), height_px)
    return np.asarray(PillowImage.fromarray(image).resize(wh, PillowImage.Resampling.LANCZOS))


def encode_jpeg(image: Image, *, side_px: int, quality: int) -> bytes:
    picture = PillowImage.fromarray(image)
    picture.thumbnail((side_px, side_px), PillowImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
