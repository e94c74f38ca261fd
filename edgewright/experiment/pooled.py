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

from edgewright.data.rows import Row
from edgewright.detect.bootstrap import finite_mean, precisions
from edgewright.detect.matching import DoubleArray, IntArray, Matched, Matches, match, meet
from edgewright.files import replaced
from edgewright.gates.utility import Gain, student_half
from edgewright.runtime.boxes import Boxes

ROUNDS = 200
ALL_CLASSES = ""


@dataclass(frozen=True)
class Found:
    """What one detector found on some photographs, matched with the truth by the evaluator's rules and pooled.

    Attributes:
        by_class: the detections of each class, best score first.
    """

    by_class: tuple[Matches, ...]

    @classmethod
    def of(cls, detections: Sequence[Boxes], rows: Sequence[Row], *, n_classes: int) -> Found:
        """Detections of each row's photograph, in px of it."""
        return cls(tuple(_matched(detections, rows, class_id) for class_id in range(n_classes)))

    def save(self, path: Path) -> None:
        fields = {
            f"{name}_{number}": value for number, part in enumerate(self.by_class) for name, value in vars(part).items()
        }
        with replaced(path) as staged, staged.open("wb") as stream:
            np.savez(stream, classes=len(self.by_class), **fields)

    @classmethod
    def load(cls, path: Path) -> Found:
        with np.load(path, allow_pickle=False) as stored:
            return cls(
                tuple(
                    Matches(
                        stored[f"score_{number}"],
                        stored[f"hit_{number}"],
                        stored[f"neutral_{number}"],
                        int(stored[f"n_truth_{number}"]),
                    )
                    for number in range(int(stored["classes"]))
                )
            )


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
    at = {(cell.fold, cell.seed): cell for cell in cells}
    drawn = rng.multinomial(len(folds), np.full(len(folds), 1 / len(folds)), size=ROUNDS)
    weights = np.concatenate([np.ones((1, len(folds)), dtype=np.int64), drawn])
    gained = np.mean(
        [
            _gained([at[fold, seed] for fold in folds], weights, classes=classes)
            for seed in sorted({cell.seed for cell in cells})
        ],
        axis=0,
    )
    unbiased = math.sqrt(len(folds) / (len(folds) - 1))
    found = {}
    for name, (mean, *draws) in zip((ALL_CLASSES, *classes), gained.T, strict=True):
        known = np.array(draws)[np.isfinite(draws)]  # a rare class may be missing from some draws
        if np.isfinite(mean) and 2 * len(known) > len(draws):
            half = student_half(float(known.std()) * unbiased, len(folds))
            found[name] = Gain(float(mean), float(mean - half), float(mean + half), len(cells))
    return found


def pooled(parts: Sequence[Found], *, classes: Sequence[str]) -> Matched:
    """Folds in place of images: what they are drawn as."""
    return Matched(tuple(classes), tuple(zip(*(part.by_class for part in parts), strict=True)))


def _gained(cells: Sequence[Cell], weights: IntArray, *, classes: Sequence[str]) -> DoubleArray:
    """(R, F) how often each fold counts => (R, 1 + classes): both minus real, first of the mean over the classes."""
    real, both = (
        precisions(pooled([getattr(cell, arm) for cell in cells], classes=classes), weights) for arm in ("real", "both")
    )
    return np.column_stack([finite_mean(both) - finite_mean(real), both - real])


def _matched(detections: Sequence[Boxes], rows: Sequence[Row], class_id: int) -> Matches:
    """One class over all photographs, each matched by itself as `evaluate` does it, then ranked together."""
    parts = [
        match(meet(*(boxes[boxes.class_id == class_id] for boxes in (found, row.boxes, row.ignored))))
        for found, row in zip(detections, rows, strict=True)
    ]
    order = np.argsort(-np.concatenate([part.score for part in parts]), kind="stable")
    return Matches(
        np.concatenate([part.score for part in parts])[order],
        np.concatenate([part.hit for part in parts], axis=1)[:, order],
        np.concatenate([part.neutral for part in parts], axis=1)[:, order],
        sum(part.n_truth for part in parts),
    )
