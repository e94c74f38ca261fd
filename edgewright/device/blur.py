"""Regions of a picture made unrecognizable before the picture is first written or sent.

Decides how: each box, grown by a fifth on every side, becomes SQUARES × SQUARES squares of one color each, what is left
of a face at 8 pixels. Refuses nothing; where the regions come from, and that none is missing, is `hiding.py`'s.

    hidden(picture, Boxes.of([[10, 10, 60, 60]], class_id=[0])).size == picture.size
"""

from __future__ import annotations

from PIL import Image as PillowImage

from edgewright.runtime.boxes import Boxes

SQUARES, GROWN = 6, 0.2


def hidden(picture: PillowImage.Image, boxes: Boxes) -> PillowImage.Image:
    """A copy. `boxes`: px of the picture."""
    copy = picture.copy()
    for x1, y1, x2, y2 in boxes.xyxy.tolist():
        grow_x, grow_y = GROWN * (x2 - x1), GROWN * (y2 - y1)
        left, top = max(0, int(x1 - grow_x)), max(0, int(y1 - grow_y))
        right, bottom = min(copy.width, int(x2 + grow_x) + 1), min(copy.height, int(y2 + grow_y) + 1)
        if right > left and bottom > top:
            region = copy.crop((left, top, right, bottom))
            coarse = region.resize((SQUARES, SQUARES), PillowImage.Resampling.BOX)
            copy.paste(coarse.resize(region.size, PillowImage.Resampling.NEAREST), (left, top))
    return copy
