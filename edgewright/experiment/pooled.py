"""Two arms of detectors on the same held-out photographs, pooled: the gain in mAP, and how sure it is.

Decides how cross-fitted trainings become one number. The detections of every fold's photographs, each found by the
detector that did not see them, are ranked together: one mAP an arm and a seed, and the gain is the mean over the seeds
of their difference. Its interval is a paired bootstrap of whole folds, with all their photographs and seeds, for both
arms alike: two folds differ by the photographs that are measured *and* by the trainings that measure them, so both
kinds of chance are in it. A bootstrap of photographs and seeds apart is far too narrow where there is one seed (it
calls nothing a gain in 11 to 17 of 100 simulated sets, where 5 are meant). Student's t for as few folds as there are
(Student 1908); `k / (k - 1)` makes the bootstrap's variance unbiased. Refuses nothing.

    found = Found.of(detections, rows, n_classes=3)
    gains = paired_gains([Cell(0, 7, real=found, both=other), …], classes=classes, rng=rng)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgewright.data.rows import Row
from edgewright.detect.matching import IOU_THRESHOLDS, pairwise_overlap, take_greedily
from edgewright.detect.ranking import RECALL_POINTS
from edgewright.files import replaced
from edgewright.gates.utility import Gain, student_half
from edgewright.runtime.boxes import Boxes

ROUNDS = 200
ALL_CLASSES = ""
_Floats = npt.NDArray[np.float64]
_Flags = npt.NDArray[np.bool_]
_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """What one detector found on some photographs, matched with the truth by the evaluator's rules.

    Attributes:
        class_id, score: (N,) of each detection.
        hit, neutral: (N, 10) at each IoU threshold; neutral: it met an ignore region.
        n_truth: (classes,) boxes that there are.
    """

    class_id: _Integers
    score: _Floats
    hit: _Flags
    neutral: _Flags
    n_truth: _Integers

    @classmethod
    def of(cls, detections: Sequence[Boxes], rows: Sequence[Row], *, n_classes: int) -> Found:
        """Detections of each row's photograph, in px of it."""
        parts = [
            _match(found, row, class_id)
            for found, row in zip(detections, rows, strict=True)
            for class_id in range(n_classes)
        ]
        truth = [np.bincount(row.boxes.class_id, minlength=n_classes) for row in rows]
        ids, scores, hits, neutrals = zip(*parts, strict=True)
        return cls(
            np.concatenate(ids),
            np.concatenate(scores),
            np.concatenate(hits),
            np.concatenate(neutrals),
            np.sum(truth, axis=0).astype(np.int64),
        )

    def save(self, path: Path) -> None:
        with replaced(path) as staged, staged.open("wb") as stream:
            np.savez(stream, **vars(self))

    @classmethod
    def load(cls, path: Path) -> Found:
        with np.load(path, allow_pickle=False) as stored:
            return cls(**{name: stored[name] for name in ("class_id", "score", "hit", "neutral", "n_truth")})


@dataclass(frozen=True)
class Cell:
    """A pair of trainings on the held-out photographs of its fold."""

    fold: int
    seed: int
    real: Found
    both: Found


def paired_gains(cells: Sequence[Cell], *, classes: Sequence[str], rng: np.random.Generator) -> dict[str, Gain]:
    """The gain in mAP50-95 under ALL_CLASSES, and in AP50-95 of each class with truth under its name.

    Args:
        cells: every fold with every seed, at least two folds.
    """
    folds = sorted({cell.fold for cell in cells})
    seeds = sorted({cell.seed for cell in cells})
    at = {(cell.fold, cell.seed): cell for cell in cells}
    table = [[at[fold, seed] for fold in folds] for seed in seeds]
    estimate = _gains(table, range(len(folds)))
    draws = [_gains(table, rng.integers(len(folds), size=len(folds)).tolist()) for _ in range(ROUNDS)]
    unbiased = math.sqrt(len(folds) / (len(folds) - 1))
    found = {}
    for name, mean, drawn in zip((ALL_CLASSES, *classes), estimate, np.transpose(draws), strict=True):
        known = drawn[np.isfinite(drawn)]  # a rare class may be missing from some draws
        if np.isfinite(mean) and 2 * len(known) > len(drawn):
            half = student_half(float(known.std()) * unbiased, len(folds))
            found[name] = Gain(float(mean), float(mean - half), float(mean + half), len(cells))
    return found


def precisions(parts: Sequence[Found]) -> _Floats:
    """(classes, 10): COCO's 101-point average precision of all detections ranked together; NaN without truth."""
    n_truth = np.sum([part.n_truth for part in parts], axis=0)
    class_id = np.concatenate([part.class_id for part in parts])
    score = np.concatenate([part.score for part in parts])
    hit = np.concatenate([part.hit for part in parts])
    neutral = np.concatenate([part.neutral for part in parts])
    found = np.full((len(n_truth), len(IOU_THRESHOLDS)), np.nan)
    for number in np.flatnonzero(n_truth):
        rows = np.flatnonzero(class_id == number)
        order = rows[np.argsort(-score[rows], kind="stable")]
        found[number] = _average_precision(hit[order], ~neutral[order], n_truth=int(n_truth[number]))
    return found


def _average_precision(hit: _Flags, counts: _Flags, *, n_truth: int) -> _Floats:
    """(N, 10) hits, best score first, and which of them count at all => (10,).

    What does not count leaves recall and precision as they are, so it changes nothing.
    """
    hits = np.cumsum(hit & counts, axis=0, dtype=np.float64)
    seen = np.cumsum(counts, axis=0, dtype=np.float64)
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    padded = np.concatenate([envelope, np.zeros((1, hits.shape[1]))])
    recall = hits / n_truth
    return np.array([padded[np.searchsorted(recall[:, at], RECALL_POINTS), at].mean() for at in range(hits.shape[1])])


def _gains(table: Sequence[Sequence[Cell]], folds: Sequence[int]) -> _Floats:
    """(1 + classes,): mean over the seeds of both minus real, first of the mean over the classes, then of each."""
    found = []
    for cells in table:
        real, both = (
            precisions([getattr(cells[fold], arm) for fold in folds]).mean(axis=1) for arm in ("real", "both")
        )
        found.append([_mean(both) - _mean(real), *(both - real)])
    return np.asarray(np.mean(found, axis=0))


def _mean(by_class: _Floats) -> float:
    """Over the classes with truth."""
    known = by_class[np.isfinite(by_class)]
    return float(known.mean()) if len(known) else float("nan")


def _match(found: Boxes, row: Row, class_id: int) -> tuple[_Integers, _Floats, _Flags, _Flags]:
    """As `evaluate` does it: best score first, each takes the free truth box that it overlaps most."""
    found, truth, ignored = (boxes[boxes.class_id == class_id] for boxes in (found, row.boxes, row.ignored))
    found = found[np.argsort(-found.score, kind="stable")]
    hit = take_greedily(pairwise_overlap(found, truth, crowd=False), IOU_THRESHOLDS) >= 0
    met = pairwise_overlap(found, ignored, crowd=True).max(axis=1, initial=0)
    neutral = ~hit & (met[None] >= IOU_THRESHOLDS[:, None])
    ids = np.full(len(found), class_id, dtype=np.int64)
    return ids, found.score.astype(np.float64), hit.T, neutral.T
