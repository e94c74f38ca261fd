"""`DataEvidence`: every number that the data gate measured, with its interval, n and baseline. Plain data, kept as
JSON.

Decides nothing; `data_gate.decide_data` does. A number that could not be measured is None, never 0 and never NaN.

>>> Measurement("fd_ratio", 1.1, low=0.9, high=1.3, n=40, baseline=3.2).value
1.1
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgewright.gates.utility import UtilityEvidence

EVIDENCE_FILE = "evidence.json"
NOT_MEASURED = UtilityEvidence(problem="not measured")
_DIGITS = 6


@dataclass(frozen=True)
class Measurement:
    """One statistic of the synthetic pictures against held-out real ones.

    Attributes:
        name: what was measured, with its unit where it has one.
        value: the estimate, median over the feature seeds; None where it could not be measured.
        low, high: the ends of the 90 % interval over resampled pictures: each end is a one-sided 95 % bound.
        n: pictures that the estimate rests on: the smaller of the two sides.
        baseline: the same statistic of real training pictures, at the same n.
        by_seed: the estimate in each feature space.
        why: why there is no value, where that is known.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    baseline: float | None = None
    by_seed: tuple[float | None, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class NearPair:
    """A synthetic picture and the training picture that it is nearest to.

    Attributes:
        ratio: their distance divided by the median distance of a held-out picture to its nearest training picture.
    """

    synthetic_id: str
    train_id: str
    ratio: float


@dataclass(frozen=True)
class ClassCount:
    """How many counting objects of one class the labeled real `train` and `val` and the synthetic pictures hold."""

    name: str
    n_train: int
    n_held_out: int
    n_synthetic: int

    @property
    def n_real(self) -> int:
        return self.n_train + self.n_held_out


@dataclass(frozen=True)
class DataEvidence:
    """Law: `DataEvidence.from_json(e.to_json()) == e`.

    Attributes:
        n_train, n_held_out, n_synthetic: usable pictures of each kind.
        n_matched: pictures a side in the comparisons that depend on n.
        scale_px, resize_path: the longer side and the filter path at which everything was compared.
        dimensions: width of the feature vectors.
        fid_width: features a picture of the rule fid_recall; 0 where it was not measured.
        fid_resize_path: of the rule fid_recall's pictures.
        classes: objects by class; empty where they were not counted.
        embedding_digest: of all feature spaces; equal digests make two verdicts comparable.
        nearest: the most copy-like pairs of whole pictures, nearest first.
        utility: what paired detector runs said, or why there were none.
        problem: why nothing could be measured; empty where it could.
    """

    n_train: int
    n_held_out: int
    n_synthetic: int
    n_matched: int = 0
    seed: int = 0
    scale_px: int = 0
    tile_px: int = 0
    tiles_per_image: int = 0
    neighbors: int = 0
    bootstraps: int = 0
    dimensions: int = 0
    feature_kind: str = ""
    embedding_digest: str = ""
    resize_path: str = ""
    fid_width: int = 0
    fid_resize_path: str = ""
    classes: tuple[ClassCount, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    nearest: tuple[NearPair, ...] = ()
    utility: UtilityEvidence = NOT_MEASURED
    problem: str = ""

    def measurement(self, name: str) -> Measurement:
        """The measurement of that name; one without a value where it was not made."""
        return next((found for found in self.measurements if found.name == name), Measurement(name, None))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "utility": self.utility.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DataEvidence:
        measurements = tuple(Measurement(**{**one, "by_seed": tuple(one["by_seed"])}) for one in value["measurements"])
        nearest = tuple(NearPair(**pair) for pair in value["nearest"])
        read = {**value, "measurements": measurements, "nearest": nearest}
        read["classes"] = tuple(ClassCount(**one) for one in value.get("classes", ()))
        if "utility" in value:  # evidence of older runs has none
            read["utility"] = UtilityEvidence.from_json(value["utility"])
        return cls(**read)


def rounded(value: float | None) -> float | None:
    """Six significant digits, which hides the last bits of another processor; None for NaN and infinity."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


def measured(
    name: str,
    value: float,
    *,
    interval: tuple[float, float],
    n: int,
    baseline: float,
    by_seed: Sequence[float] = (),
) -> Measurement:
    """A measurement of rounded numbers; where any of value and interval is not finite, one without a value."""
    numbers = [rounded(float(number)) for number in (value, *interval)]
    if None in numbers:
        numbers = [None, None, None]
    seeds = tuple(rounded(float(number)) for number in by_seed)
    return Measurement(name, numbers[0], numbers[1], numbers[2], n, rounded(float(baseline)), seeds)
