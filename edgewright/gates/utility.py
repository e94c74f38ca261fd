"""Usefulness: what paired detector runs say of a synthetic set.

Decides how runs become one number. A pair is two trainings that differ in nothing but the synthetic pictures: same
photographs, same optimizer steps, same seed. Their difference in mAP50-95 is averaged over the pairs, with the interval
of Student's t: what the differences of two methods on the same draws call for (Student 1908). Refuses fewer than
MIN_PAIRS pairs: two differences have an interval, but nobody should build on it. Refuses a pair that says nothing: a
detector that finds nothing on photographs alone gains and loses nothing by anything.

>>> found = mean_interval([0.02, 0.03, 0.04])
>>> round(found.mean, 3), found.low > 0
(0.03, True)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgewright.recipe.gates import MIN_PAIRS

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
    """Two detectors of one seed: trained on `real` photographs, and on `both` those and the synthetic pictures."""

    seed: int
    real: Scores
    both: Scores

    @property
    def problem(self) -> str:
        """Why this pair is no evidence; empty where it is."""
        if not (self.real.measured and self.both.measured):
            return f"the detectors of seed {self.seed} have no finite mAP"
        if self.real.map50 == 0:
            return f"the detector of seed {self.seed} finds nothing when trained on photographs alone"
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
        steps: optimizer steps of every run.
        n_real, n_synthetic, n_held_out: photographs trained on, synthetic pictures shown, photographs measured on.
        problem: why nothing was measured, or why it says nothing; empty where it does.
    """

    pairs: tuple[Pair, ...] = ()
    steps: int = 0
    n_real: int = 0
    n_synthetic: int = 0
    n_held_out: int = 0
    problem: str = ""

    @property
    def gain(self) -> Gain | None:
        """In mAP50-95; None where `why_none` says why."""
        return None if self.why_none else gain(self.pairs)

    @property
    def why_none(self) -> str:
        """Why these pairs are no evidence: the first pair that is none, or too few; empty where they are."""
        reasons = [self.problem, *(pair.problem for pair in self.pairs)]
        if len(self.pairs) < MIN_PAIRS:
            reasons.append(f"{len(self.pairs)} pairs of runs are too few, {MIN_PAIRS} are needed")
        return next(filter(None, reasons), "")

    @property
    def gain_by_class(self) -> dict[str, Gain]:
        """In AP50-95 of each class that was measured on both sides of every pair; none where `gain` is None."""
        if self.why_none:
            return {}
        sides = [set(scores.by_class) for pair in self.pairs for scores in (pair.real, pair.both)]
        return {name: self._gain_of(name) for name in sorted(set.intersection(*sides))}

    def _gain_of(self, class_name: str) -> Gain:
        return mean_interval([pair.both.by_class[class_name] - pair.real.by_class[class_name] for pair in self.pairs])

    def to_json(self) -> dict[str, Any]:
        """With `gain` and `gain_by_class` beside what they follow from, for a reader; never NaN."""
        gains = {name: asdict(found) for name, found in self.gain_by_class.items()}
        return {**asdict(self), "gain": asdict(self.gain) if self.gain else None, "gain_by_class": gains}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> UtilityEvidence:
        pairs = tuple(
            Pair(int(pair["seed"]), Scores(**pair["real"]), Scores(**pair["both"])) for pair in value["pairs"]
        )
        derived = ("gain", "gain_by_class")
        return cls(**{**{name: given for name, given in value.items() if name not in derived}, "pairs": pairs})


def gain(pairs: Sequence[Pair]) -> Gain:
    """The mean gain in mAP50-95 of at least two pairs without a problem."""
    known = [(pair.both.map50_95, pair.real.map50_95) for pair in pairs]
    return mean_interval([both - real for both, real in known if both is not None and real is not None])


def mean_interval(deltas: Sequence[float]) -> Gain:
    """Mean ± t · sd / √n of at least two differences, t at 95 %."""
    from scipy.special import stdtrit  # scipy.stats says the same by 0.8 s of imports

    n = len(deltas)
    mean = sum(deltas) / n
    deviation = math.sqrt(sum((delta - mean) ** 2 for delta in deltas) / (n - 1))
    half = float(stdtrit(n - 1, _ONE_SIDED)) * deviation / math.sqrt(n)
    return Gain(mean, mean - half, mean + half, n)
