"""What a detector gets wrong, object by object: which class it takes for which, what it misses, what it invents.

Decides by one score threshold, the one that a device reports with, and IoU >= 0.5, as a person would look at it: within
an image, detections are taken best score first and each takes the free object it overlaps most, first of its own class,
then of any. So an object that was found under another name is a confusion, not a miss and a false alarm. A detection
that lies in a region to ignore counts nowhere. Average precision is `evaluate.py`'s.

>>> truth = Boxes.of([[0, 0, 9, 9], [20, 20, 40, 40]], class_id=[0, 1])
>>> found = Boxes.of([[0, 0, 9, 9]], class_id=[1], score=[0.8])
>>> made = find_mistakes([("a.jpg", found, truth, Boxes.empty())], classes=("bolt", "nut"), score_threshold=0.25)
>>> made.matrix, [(miss.image, miss.class_id) for miss in made.misses]
(((0, 1, 0), (0, 0, 1), (0, 0, 0)), [('a.jpg', 1)])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewright.detect.matching import pairwise_overlap, take_greedily
from edgewright.runtime.boxes import Boxes

MISTAKES_FILE = "mistakes.json"
MATCH_IOU = 0.5
_AT = np.array([MATCH_IOU])
MAX_LISTED = 24
SMALL_PX = 12.0
"""DESIGN: at the network's input; the finest stride of the graphs here is 8 px: a cell and a half."""

IntArray = npt.NDArray[np.int64]
Judged = tuple[str, Boxes, Boxes, Boxes]
"""An image's id, what was found in it, its truth and its regions to ignore, in px of that image."""


@dataclass(frozen=True)
class Mistake:
    """One object that was missed, or one detection of nothing, in px of its image. A miss has the score 0."""

    image: str
    class_id: int
    xyxy: tuple[float, float, float, float]
    score: float = 0.0

    @property
    def side_px(self) -> float:
        """The square root of its area."""
        x1, y1, x2, y2 = self.xyxy
        return float(np.sqrt(max(x2 - x1, 0) * max(y2 - y1, 0)))


@dataclass(frozen=True)
class Mistakes:
    """Law: `Mistakes.from_json(m.to_json()) == m`.

    Attributes:
        matrix: (C + 1) rows of (C + 1): objects of class i that were found as class j; the last row is what was found
            where nothing is, the last column what was not found.
        misses: the largest ones, `n_missed` in all, `n_missed_small` of them smaller than SMALL_PX at the input.
        false_alarms: the surest ones, `n_false` in all.
    """

    classes: tuple[str, ...]
    score_threshold: float
    matrix: tuple[tuple[int, ...], ...]
    misses: tuple[Mistake, ...]
    false_alarms: tuple[Mistake, ...]
    n_missed: int
    n_missed_small: int
    n_false: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Mistakes:
        listed = {
            name: tuple(Mistake(**{**each, "xyxy": tuple(each["xyxy"])}) for each in value[name])
            for name in ("misses", "false_alarms")
        }
        matrix = tuple(map(tuple, value["matrix"]))
        return cls(**{**value, **listed, "classes": tuple(value["classes"]), "matrix": matrix})


def find_mistakes(
    judged: Iterable[Judged], *, classes: Sequence[str], score_threshold: float, input_scales: Sequence[float] = ()
) -> Mistakes:
    """Of detections at or above `score_threshold`.

    Args:
        input_scales: px at the network's input for a px of each image, in order; 1 where it is empty.
    """
    counts = np.zeros((len(classes) + 1, len(classes) + 1), dtype=int)
    misses: list[Mistake] = []
    false_alarms: list[Mistake] = []
    small = 0
    for number, (image, found, truth, ignored) in enumerate(judged):
        found = found[found.score >= score_threshold]
        taken = _pair(found, truth)
        counts += _counted(taken, found, truth, alarms := _alarms(taken, found, ignored), n_classes=len(classes))
        false_alarms += [_mistake(image, found, row) for row in alarms]
        missed = [_mistake(image, truth, row, missed=True) for row in _missed(taken, truth)]
        scale = input_scales[number] if input_scales else 1.0
        small += sum(miss.side_px * scale < SMALL_PX for miss in missed)
        misses += missed
    return Mistakes(
        classes=tuple(classes),
        score_threshold=score_threshold,
        matrix=tuple(tuple(row) for row in counts.tolist()),
        misses=tuple(sorted(misses, key=lambda miss: -miss.side_px)[:MAX_LISTED]),
        false_alarms=tuple(sorted(false_alarms, key=lambda alarm: -alarm.score)[:MAX_LISTED]),
        n_missed=len(misses),
        n_missed_small=small,
        n_false=len(false_alarms),
    )


def _pair(found: Boxes, truth: Boxes) -> IntArray:
    """(len(found),): the truth box that each detection takes, -1 for none; one of its own class before any other."""
    overlap = pairwise_overlap(found, truth, crowd=False)
    same = found.class_id[:, None] == truth.class_id[None]
    order = np.argsort(-found.score, kind="stable")
    taken: IntArray = np.full(len(found), -1)
    taken[order] = take_greedily(np.where(same, overlap, 0)[order], _AT)[0]
    free = np.isin(np.arange(len(truth)), taken, invert=True)
    rest = order[taken[order] < 0]
    taken[rest] = take_greedily(np.where(free[None], overlap, 0)[rest], _AT)[0]
    return taken


def _alarms(taken: IntArray, found: Boxes, ignored: Boxes) -> list[int]:
    """Detections of nothing, but for those in regions to ignore."""
    met = pairwise_overlap(found, ignored, crowd=True).max(axis=1, initial=0) >= MATCH_IOU
    alarms: list[int] = np.flatnonzero((taken < 0) & ~met).tolist()
    return alarms


def _missed(taken: IntArray, truth: Boxes) -> list[int]:
    return sorted(set(range(len(truth))) - set(taken.tolist()))


def _counted(taken: IntArray, found: Boxes, truth: Boxes, alarms: Sequence[int], *, n_classes: int) -> IntArray:
    """One image's part of the confusion matrix."""
    counts: IntArray = np.zeros((n_classes + 1, n_classes + 1), dtype=np.int64)
    paired = taken >= 0
    for row, column in zip(truth.class_id[taken[paired]], found.class_id[paired], strict=True):
        counts[row, column] += 1
    counts[-1, :-1] += np.bincount(found.class_id[list(alarms)], minlength=n_classes)
    counts[:-1, -1] += np.bincount(truth.class_id[_missed(taken, truth)], minlength=n_classes)
    return counts


def _mistake(image: str, boxes: Boxes, index: int, *, missed: bool = False) -> Mistake:
    x1, y1, x2, y2 = (round(float(value), 2) for value in boxes.xyxy[index])
    score = 0.0 if missed else round(float(boxes.score[index]), 4)
    return Mistake(image, int(boxes.class_id[index]), (x1, y1, x2, y2), score)
