"""Boxes drawn on pictures, in the one palette that the report, `edgewright detect` and the device share.

Decides a class's color and how a box looks: a bright line on a dark one, so that it shows on any picture. The first
eight colors stay apart for color-blind eyes on dark and light ground; later classes repeat them.

>>> color_of(0), color_of(len(CLASS_COLORS)) == color_of(0)
('#ffb400', True)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from edgewright.runtime.boxes import Boxes, Image

CLASS_COLORS = ("#ffb400", "#33b5ff", "#ff6fb1", "#3ddc97", "#b794ff", "#ff7f50", "#f4ea3d", "#2fd6d6")
INK = "#101214"
"""Text on a class color, and the dark line around it."""


def color_of(class_id: int) -> str:
    """`#rrggbb`."""
    return CLASS_COLORS[class_id % len(CLASS_COLORS)]


def draw_boxes(image: Image, boxes: Boxes, *, classes: Sequence[str] = (), line_px: int = 2) -> Image:
    """A copy of the picture with its boxes, weakest first, so that the strongest lie on top.

    Args:
        classes: class names; with them each box carries its name, and its score where that is below 1.
    """
    canvas = PillowImage.fromarray(image)
    pencil = ImageDraw.Draw(canvas)
    for index in np.argsort(boxes.score, kind="stable").tolist():
        class_id = int(boxes.class_id[index])
        corners = _drawable(boxes.xyxy[index].tolist(), canvas.size)
        _rectangle(pencil, corners, color=color_of(class_id), line_px=line_px)
        if classes:
            text = box_label(classes[class_id], float(boxes.score[index]))
            _label(pencil, text, corners, color=color_of(class_id), wh=canvas.size)
    return np.asarray(canvas)


def box_label(name: str, score: float) -> str:
    """The class, and the score where it says something.

    >>> box_label("nut", 1.0), box_label("nut", 0.875)
    ('nut', 'nut 0.88')
    """
    return name if score >= 1 else f"{name} {score:.2f}"


def _drawable(xyxy: list[float], wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """Whole pixels inside the picture; an empty box keeps one pixel."""
    x1, y1 = (min(max(0, round(value)), side - 1) for value, side in zip(xyxy[:2], wh, strict=True))
    x2, y2 = (min(max(0, round(value) - 1), side - 1) for value, side in zip(xyxy[2:], wh, strict=True))
    return x1, y1, max(x1, x2), max(y1, y2)


def _rectangle(pencil: ImageDraw.ImageDraw, corners: tuple[int, int, int, int], *, color: str, line_px: int) -> None:
    x1, y1, x2, y2 = corners
    pencil.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=INK, width=line_px + 2)
    pencil.rectangle(corners, outline=color, width=line_px)


def _label(
    pencil: ImageDraw.ImageDraw, text: str, corners: tuple[int, int, int, int], *, color: str, wh: tuple[int, int]
) -> None:
    """Above the box where there is room, else inside its top edge; never beyond the right border."""
    font = ImageFont.load_default(size=11)
    left, top, right, bottom = (int(value) for value in pencil.textbbox((0, 0), text, font=font))
    width, height = right - left + 6, bottom - top + 5
    x = max(0, min(corners[0] - 1, wh[0] - width))
    y = corners[1] - height if corners[1] >= height else corners[1]
    pencil.rectangle((x, y, x + width - 1, y + height - 1), fill=color)
    pencil.text((x + 3 - left, y + 2 - top), text, fill=INK, font=font)
