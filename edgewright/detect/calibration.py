"""Whether a detector's scores say how often it is right. numpy alone.

Decides by detections at or above the score from which a device reports: below lie thousands that nobody sees. Right
means a hit at IoU >= 0.5 (`matching.py`); what met a region to ignore is left out. Detection expected calibration error
by score alone (Küppers et al. 2020, arXiv 2004.13546, eq. 3), which is Guo et al. 2017, arXiv 1706.04599, eq. 3, with
precision in accuracy's place:

    D-ECE = Σ over bins b of |b| / n · |precision(b) − mean score(b)|

over equal bins of [from_score, 1]. What was not detected has no score and no part in it.

>>> calibrate(np.array([0.95, 0.95]), np.array([True, False]), from_score=0.0).error
0.45
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright.detect.matching import BoolArray, DoubleArray

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Detections with a score in [low, high), the last bin's in [low, high]; None where there are none.

    Attributes:
        score: their mean score. precision: the share that is right.
    """

    low: float
    high: float
    n: int
    score: float | None
    precision: float | None

    @property
    def gap(self) -> float:
        """|precision − mean score|; 0 where there are no detections."""
        return 0.0 if self.score is None or self.precision is None else abs(self.precision - self.score)


@dataclass(frozen=True)
class Calibration:
    """Law: `Calibration.from_json(asdict(c)) == c`.

    Attributes:
        from_score: detections below it do not count.
        n: detections that do.
        error: D-ECE in [0, 1]; None where n is 0.
        excess: mean score less precision over all of them: above 0 it is surer than it is right.
    """

    from_score: float
    n: int
    error: float | None
    excess: float | None
    bins: tuple[Bin, ...]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Calibration:
        return cls(**{**value, "bins": tuple(Bin(**one) for one in value["bins"])})


def calibrate(score: DoubleArray, hit: BoolArray, *, from_score: float) -> Calibration:
    """Of (N,) scores and whether each is right, in any order."""
    kept = score >= np.float32(from_score)  # scores are float32: 0.25 as a device compares it
    score, hit = score[kept], hit[kept]
    edges = np.linspace(from_score, 1, BINS + 1)
    place = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, BINS - 1)
    bins = tuple(_bin(edges[i], edges[i + 1], score[place == i], hit[place == i]) for i in range(BINS))
    n = len(score)
    if not n:
        return Calibration(from_score, 0, None, None, bins)
    error = sum(one.n * one.gap for one in bins) / n
    return Calibration(from_score, n, round(error, 6), round(float(score.mean() - hit.mean()), 6), bins)


def _bin(low: float, high: float, score: DoubleArray, hit: BoolArray) -> Bin:
    means = (round(float(score.mean()), 6), round(float(hit.mean()), 6)) if len(score) else (None, None)
    return Bin(round(float(low), 6), round(float(high), 6), len(score), *means)
