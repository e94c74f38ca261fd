"""Usefulness: what paired detector runs say of a synthetic set.

Decides what is evidence. A pair is two trainings that differ in nothing but the synthetic pictures: same photographs,
same optimizer steps, same seed. Every labeled photograph is held out once, in one of several folds, and each fold has
its pairs; the gain is that of all held-out detections together (`experiment.pooled` computes it, with its interval).
Refuses fewer than MIN_FOLDS folds: two differences have an interval, but nobody should build on it. Refuses a pair
that says nothing: a detector that finds nothing on photographs alone gains and loses nothing by anything.

>>> found = mean_interval([0.02, 0.03, 0.04])
>>> round(found.mean, 3), found.low > 0
(0.03, True)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from edgewright.recipe.gates import MIN_FOLDS

Number = TypeVar("Number", float, npt.NDArray[np.float64])
UTILITY_FILE = "utility.json"
_ONE_SIDED = 0.95
"""Each end of an interval alone is a 95 % bound."""


@dataclass(frozen=True)
class Scores:
    """One detector on the held-out photographs, all in [0, 1]; None: not measured, or not a finite number. `by_class`
    is AP50-95, classes with a number alone."""

    map50: float | None
    map50_95: float | None
    by_class: dict[str, float]

    @property
    def measured(self) -> bool:
        return all(value is not None and math.isfinite(value) for value in (self.map50, self.map50_95))


@dataclass(frozen=True)
class Pair:
    """Two detectors of one seed: trained on `real` photographs, and on `both` those and the synthetic pictures.

    Attributes:
        fold: which photographs were held out, and measured on.
        n_real, n_synthetic, n_held_out: photographs trained on, synthetic pictures shown, photographs measured on.
    """

    seed: int
    real: Scores
    both: Scores
    fold: int = 0
    n_real: int = 0
    n_synthetic: int = 0
    n_held_out: int = 0

    @property
    def problem(self) -> str:
        """Why this pair is no evidence; empty where it is."""
        if not (self.real.measured and self.both.measured):
            return f"the detectors of fold {self.fold}, seed {self.seed} have no finite mAP"
        if self.real.map50 == 0:
            return f"the detector of fold {self.fold}, seed {self.seed} finds nothing when trained on photographs alone"
        return ""


@dataclass(frozen=True)
class Gain:
    """Mean difference in mAP with the ends of its interval (one-sided 95 % each), and of how many pairs."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class UtilityEvidence:
    """Law: `UtilityEvidence.from_json(e.to_json()) == e`.

    Attributes:
        pairs: of every fold, each with its own numbers.
        steps: optimizer steps of every run.
        folds: into which the photographs were divided; each was held out once.
        n_real, n_held_out: photographs that took part; of these, with objects, measured on.
        n_synthetic: synthetic pictures that there were.
        learned_from: what the makers of the pictures had learned from photographs that a fold holds out; empty where
            nothing, because pictures that name such photographs are left out of the fold's training.
        pooled: the gain in mAP50-95 of all held-out detections together.
        pooled_by_class: in AP50-95.
        problem: why nothing was measured, or why it says nothing; empty where it does.
    """

    pairs: tuple[Pair, ...] = ()
    steps: int = 0
    folds: int = 0
    n_real: int = 0
    n_synthetic: int = 0
    n_held_out: int = 0
    learned_from: str = ""
    pooled: Gain | None = None
    pooled_by_class: Mapping[str, Gain] = field(default_factory=dict)
    problem: str = ""

    @property
    def gain(self) -> Gain | None:
        """In mAP50-95; None where `why_none` says why."""
        return None if self.why_none else self.pooled

    @property
    def why_none(self) -> str:
        """Why these pairs are no evidence: the first pair that is none, or too few folds; empty where they are."""
        reasons = [self.problem, *(pair.problem for pair in self.pairs)]
        if self.folds < MIN_FOLDS:
            reasons.append(f"{self.folds} folds of photographs are too few, {MIN_FOLDS} are needed")
        if self.pooled is None:
            reasons.append("the gain has no finite interval")
        return next(filter(None, reasons), "")

    @property
    def gain_by_class(self) -> Mapping[str, Gain]:
        """In AP50-95 of each class with objects; none where `gain` is None."""
        return {} if self.why_none else self.pooled_by_class

    def to_json(self) -> dict[str, Any]:
        """With `gain` and `gain_by_class` beside what they follow from, for a reader; never NaN."""
        gains = {name: asdict(found) for name, found in self.gain_by_class.items()}
        return {**asdict(self), "gain": asdict(self.gain) if self.gain else None, "gain_by_class": gains}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> UtilityEvidence:
        """Evidence of earlier versions, pairs on one held-out part, is read; it has no fold and so no gain."""
        pairs = tuple(
            Pair(**{**pair, "real": Scores(**pair["real"]), "both": Scores(**pair["both"])}) for pair in value["pairs"]
        )
        pooled = value.get("pooled")
        by_class = {name: Gain(**found) for name, found in value.get("pooled_by_class", {}).items()}
        derived = ("gain", "gain_by_class")
        plain = {name: given for name, given in value.items() if name not in derived}
        read = {**plain, "pairs": pairs, "pooled": Gain(**pooled) if pooled else None, "pooled_by_class": by_class}
        return cls(**read)


def mean_interval(deltas: Sequence[float]) -> Gain:
    """Mean ± t · sd / √n of at least two differences, t at 95 %."""
    n = len(deltas)
    mean = sum(deltas) / n
    deviation = math.sqrt(sum((delta - mean) ** 2 for delta in deltas) / (n - 1))
    half = student_half(deviation / math.sqrt(n), n)
    return Gain(mean, mean - half, mean + half, n)


def student_half(deviation: Number, n: int) -> Number:
    """From the deviation of an estimate that rests on `n` independent parts to how far its 95 % bound lies from it."""
    from scipy.special import stdtrit  # scipy.stats says the same by 0.8 s of imports

    return float(stdtrit(n - 1, _ONE_SIDED)) * deviation
