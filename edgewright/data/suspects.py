"""Suspects: labels that were read and yet look wrong.

Decides what is worth a look: boxes of a few pixels, boxes as large as the picture, the same box twice, classes of which
there is too little to learn or to test, pictures that nobody labeled. Refuses nothing: a person decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.data.findings import Finding
from edgewright.data.rows import LabelState, Row, count_by_class
from edgewright.runtime.boxes import Boxes

TINY_SHARE = 0.01
"""Of the picture's longer side: three pixels where a detector looks at 320."""
WHOLE_SHARE = 0.95
SAME_IOU = 0.95
FEW_OBJECTS = 20
MAX_OBJECTS_COMPARED = 400
_TINY = f"boxes narrower than {TINY_SHARE:.0%} of their picture"
_WHOLE = "boxes as large as their picture"
_TWICE = "boxes that stand twice"
_CURES = {
    _TINY: "a detector that sees larger pictures finds smaller things: `--set train_detector.image_px=640`",
    _WHOLE: "a label of the whole picture is a class and no box: draw the object",
    _TWICE: "delete one of the two",
}


@dataclass(frozen=True)
class Suspect:
    """Something that looks wrong, and the pictures that show it."""

    finding: Finding
    images: tuple[str, ...] = ()


def find_suspects(rows: Sequence[Row], classes: Sequence[str]) -> Iterator[Suspect]:
    """Of usable rows."""
    yield from _odd_boxes(rows)
    counts = zip(classes, count_by_class(rows, len(classes)), strict=True)
    few = [f"{name} ({count})" for name, count in counts if 0 < count < FEW_OBJECTS]
    if few:
        what = f"classes with fewer than {FEW_OBJECTS} objects: too few to learn from and to test on"
        yield Suspect(Finding(what, len(few), few[0], "label more of them"))
    unlabeled = tuple(row.id for row in rows if row.state == LabelState.UNLABELED)
    if 0 < len(unlabeled) < len(rows):
        cure = "label them; where they show nothing: `--set ingest.missing_label=background`"
        yield Suspect(Finding("pictures that nobody labeled", len(unlabeled), unlabeled[0], cure), unlabeled)


def _odd_boxes(rows: Sequence[Row]) -> Iterator[Suspect]:
    found: dict[str, list[str]] = {}
    for row in rows:
        for kind in _kinds(row):
            found.setdefault(kind, []).append(row.id)
    for kind, cure in _CURES.items():
        if names := found.get(kind):
            yield Suspect(Finding(kind, len(names), names[0], cure), tuple(dict.fromkeys(names)))


def _kinds(row: Row) -> list[str]:
    """What is odd with a picture's boxes, a word a box."""
    boxes, width, height = row.boxes, row.width or 1, row.height or 1
    tiny = int((boxes.wh.min(axis=1, initial=np.inf) < TINY_SHARE * max(width, height)).sum())
    whole = int((boxes.area >= WHOLE_SHARE * width * height).sum())
    return [_TINY] * tiny + [_WHOLE] * whole + [_TWICE] * _count_twice(boxes)


def _count_twice(boxes: Boxes) -> int:
    if not 1 < len(boxes) <= MAX_OBJECTS_COMPARED:
        return 0
    same = (boxes.iou(boxes) >= SAME_IOU) & (boxes.class_id[:, None] == boxes.class_id[None, :])
    return int(np.triu(same, k=1).any(axis=0).sum())
