"""What a larger model answers of a picture, taken apart. Pure.

Decides nothing. Refuses whatever is not whole: boxes that are no numbers or lie outside of the picture, scores outside
of [0, 1], classes that the device's detector does not know, more boxes than a detector gives.

>>> payload = b'{"model": "belt", "detections": [{"class": "nut", "score": 0.9, "xyxy": [2, 2, 30, 30]}]}'
>>> answer_of(payload, wh=(64, 64), classes=("bolt", "nut")).boxes.class_id.tolist()
[1]
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgewright.runtime.boxes import Boxes
from edgewright.runtime.decode import MAX_DETECTIONS

MAX_ANSWER_BYTES, MAX_NAME = 200_000, 100
_ROUNDING_PX = 1.0


@dataclass(frozen=True)
class Answer:
    """Attributes: boxes: px of the picture that was sent, class ids of the device."""

    model: str
    boxes: Boxes


def answer_of(payload: bytes, *, wh: tuple[int, int], classes: Sequence[str]) -> Answer:
    """Raises ValueError, in a few words."""
    if len(payload) > MAX_ANSWER_BYTES:
        raise ValueError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
    try:
        value = json.loads(payload)
        model, rows = value["model"], value["detections"]
        if not isinstance(model, str) or not 0 < len(model) <= MAX_NAME or not model.isprintable():
            raise ValueError("a model without a name")
        if not isinstance(rows, list) or len(rows) > MAX_DETECTIONS:
            raise ValueError(f"not a list of at most {MAX_DETECTIONS} detections")
        found = [_row(row, wh, classes) for row in rows]
    except (KeyError, TypeError, OverflowError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"not an answer: {type(error).__name__}") from error
    boxes = [Boxes.of([xyxy], class_id=[kind], score=[score]) for xyxy, kind, score in found]
    return Answer(model, Boxes.concatenate(boxes).clip(wh) if boxes else Boxes.empty())


def _row(row: Mapping[str, Any], wh: tuple[int, int], classes: Sequence[str]) -> tuple[list[float], int, float]:
    x1, y1, x2, y2 = (float(each) for each in row["xyxy"])
    score, name = float(row["score"]), row["class"]
    if name not in classes:
        raise ValueError("a class that is not known here")
    if not math.isfinite(score) or not 0 <= score <= 1:
        raise ValueError("a score outside of [0, 1]")
    low, (right, low_y) = -_ROUNDING_PX, (wh[0] + _ROUNDING_PX, wh[1] + _ROUNDING_PX)
    if not (low <= x1 <= x2 <= right and low <= y1 <= y2 <= low_y):  # no number compares so either
        raise ValueError("a box outside of the picture")
    return [x1, y1, x2, y2], list(classes).index(name), score
