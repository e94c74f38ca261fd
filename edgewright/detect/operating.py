"""What is found and what is invented at the score from which a device reports. numpy alone.

Decides by IoU >= 0.5 within a class, the matches of `matching.py`: average precision says how well a detector ranks,
this says what a user meets. A detection in a region to ignore counts nowhere. An object that was found under another
class's name is missed here; `mistakes.py` tells such confusions apart.

>>> part = Matches(np.array([0.9, 0.1]), np.ones((10, 2), bool), np.zeros((10, 2), bool), 2)
>>> operating_point(["bolt"], [[part]], score_threshold=0.25).recall
0.5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright.detect.matching import Matches, counting


@dataclass(frozen=True)
class ClassPoint:
    """Attributes: recall: None without truth. precision: None where nothing is reported. Both in [0, 1]."""

    n_truth: int
    n_reported: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class OperatingPoint:
    """Law: `OperatingPoint.from_json(asdict(p)) == p`.

    Attributes:
        score_threshold: detections below it do not count, in [0, 1].
        recall, precision: over all objects and all detections, of whatever class; None where there are none.
        worst_class: the class of the lowest recall, the first of equals; empty where no class has truth.
        classes: every class by name.
    """

    score_threshold: float
    recall: float | None
    precision: float | None
    worst_class: str
    classes: dict[str, ClassPoint]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> OperatingPoint:
        return cls(**{**value, "classes": {name: ClassPoint(**one) for name, one in value["classes"].items()}})

    @property
    def worst_recall(self) -> float | None:
        return self.classes[self.worst_class].recall if self.worst_class else None


def operating_point(
    classes: Sequence[str], by_class: Sequence[Sequence[Matches]], *, score_threshold: float
) -> OperatingPoint:
    """Of the matches `[class][image]`, detections at or above `score_threshold`."""
    counts = [_counts(parts, score_threshold) for parts in by_class]
    points = {name: _point(*count) for name, count in zip(classes, counts, strict=True)}
    whole = _point(*(sum(column) for column in zip(*counts, strict=True))) if counts else _point(0, 0, 0)
    recalls = {name: point.recall for name, point in points.items() if point.recall is not None}
    worst = min(recalls, key=lambda name: recalls[name], default="")
    return OperatingPoint(score_threshold, whole.recall, whole.precision, worst, points)


def best_score(by_class: Sequence[Sequence[Matches]], *, otherwise: float) -> float:
    """The score from which a device should report: that of the best F1 over all objects and detections, to a hundredth
    below; `otherwise` where there is nothing to find, or nothing is found.

    F1 = 2 hits / (detections + objects), van Rijsbergen 1979, with both errors weighing alike.

    >>> part = Matches(np.array([0.9, 0.6, 0.3]), np.array([[1, 1, 0]] * 10, bool), np.zeros((10, 3), bool), 2)
    >>> best_score([[part]], otherwise=0.25)
    0.6
    """
    found = [counting(parts, 0) for parts in by_class]
    score, hit = (np.concatenate([np.zeros(0), *(pair[side] for pair in found)]) for side in (0, 1))
    n_truth = sum(part.n_truth for parts in by_class for part in parts)
    if not n_truth or not hit.any():
        return otherwise
    order = np.argsort(-score, kind="stable")
    f1 = 2 * np.cumsum(hit[order]) / (np.arange(1, len(score) + 1) + n_truth)
    return float(np.floor(score[order[int(np.argmax(f1))]] * 100 + 1e-4) / 100)


def _counts(parts: Sequence[Matches], score_threshold: float) -> tuple[int, int, int]:
    """Objects, detections, hits."""
    score, hit = counting(parts, 0)
    reported = score >= np.float32(score_threshold)  # scores are float32: 0.25 as a device compares it
    return sum(part.n_truth for part in parts), int(reported.sum()), int((hit & reported).sum())


def _point(n_truth: int, n_reported: int, hits: int) -> ClassPoint:
    return ClassPoint(
        n_truth, n_reported, hits / n_truth if n_truth else None, hits / n_reported if n_reported else None
    )
