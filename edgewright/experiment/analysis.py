"""What the finished runs say: a curve over the number of labels, labels saved, and which gate metric foretells use.

Decides three estimates, each with its uncertainty:

- an arm at n: the mean over draws, each the mean of its seeds, ± Student's t over draws (two ends of 95 % one-sided);
- *labels saved* (`saved.py`) against photographs alone, against stronger classic augmentation and against the
  compositor: what an arm that learns to generate has to beat;
- Spearman's rank correlation of each gate metric with the gain in mAP50-95 over the paired run without synthetic data,
  both as deviations from their means at the same n: otherwise a metric that only knows n would foretell gains. Its p
  takes the sets for independent, which sets of one draw are not quite.

Refuses to pair runs of different photographs or seeds, and to correlate fewer than MIN_POINTS.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import spearmanr

from edgewright.experiment.arms import ARMS, BASELINE
from edgewright.experiment.results import Result
from edgewright.experiment.saved import Saved, labels_saved
from edgewright.gates.utility import Gain, mean_interval

MIN_POINTS = 5
WHOLE = "all_real"
REFERENCES = (BASELINE, "strong", "compositor")
GATED = " (gated)"
"""Added to an arm's name: its result where the gate admitted the pictures, the photographs' alone where it did not."""


@dataclass(frozen=True)
class Point:
    """An arm at n labels: mean mAP over `draws` draws of `runs` runs; the ends are None where there is one draw."""

    arm: str
    labels: int
    draws: int
    runs: int
    map50: float
    map50_95: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class PairedGain:
    """An arm at n labels against photographs alone, pair by pair, in mAP50-95.

    Attributes:
        pairs: one for each draw, the mean of its seeds.
        interval: over draws; None where there is one draw.
        by_class: mean gain in AP50-95 of each class.
    """

    arm: str
    labels: int
    pairs: tuple[float, ...]
    interval: Gain | None
    by_class: Mapping[str, float]

    @property
    def mean(self) -> float:
        return float(np.mean(self.pairs))


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho of a gate metric with the gain in mAP50-95 over `n` synthetic sets; p is two-sided."""

    metric: str
    rho: float
    p: float
    n: int


@dataclass(frozen=True)
class Analysis:
    """Everything the report shows."""

    points: tuple[Point, ...]
    saved: tuple[Saved, ...]
    correlations: tuple[Correlation, ...]
    gains: tuple[PairedGain, ...]


def analyze(results: Sequence[Result], *, rounds: int = 1000, seed: int = 0) -> Analysis:
    """Of runs of one data set and of equal settings; an arm with every photograph counts at how many those were."""
    placed = [*map(_placed, results), *gated(results)]
    return Analysis(
        points=tuple(_points(placed)),
        saved=tuple(_all_saved(placed, rounds=rounds, seed=seed)),
        correlations=tuple(correlate(results)),
        gains=tuple(_gains(placed)),
    )


def gated(results: Sequence[Result]) -> list[Result]:
    """What the gate makes of each checked synthetic arm: its own run on a pass, the paired photographs-alone run else.

    Nothing is trained for it: a refused set leaves exactly the training that the baseline is.
    """
    baseline = _baseline(results)
    decided = []
    for result in results:
        if not result.gate or not ARMS[result.arm].checked or not ARMS[result.arm].photographs:
            continue
        taken = result if result.gate == "pass" else baseline.get(_pair_key(result))
        if taken is not None:
            decided.append(replace(_placed(taken), arm=result.arm + GATED))
    return decided


def correlate(results: Sequence[Result]) -> list[Correlation]:
    """Each reference measurement against the gain, over synthetic arms that saw photographs too; strongest first."""
    found = []
    for metric, both in _paired_metrics(results).items():
        if len(both) >= MIN_POINTS and len({value for value, _ in both}) > 1 and len({gain for _, gain in both}) > 1:
            rho, p = spearmanr(*zip(*both, strict=True))
            found.append(Correlation(metric, float(rho), float(p), len(both)))
    return sorted(found, key=lambda one: -abs(one.rho))


def _paired_metrics(results: Sequence[Result]) -> dict[str, list[tuple[float, float]]]:
    """Metric => (its value, the gain) of each synthetic set, as deviations from the means at the same n."""
    baseline = _baseline(results)
    at: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        pair = baseline.get(_pair_key(result))
        if pair is not None and ARMS[result.arm].photographs:
            for metric, value in result.reference.items():
                at[metric][result.labels or 0].append((value, result.map50_95 - pair.map50_95))
    return {metric: [one for both in by_n.values() for one in _centered(both)] for metric, by_n in sorted(at.items())}


def _centered(both: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Rounded, so that what is equal stays equal."""
    table = np.asarray(both)
    return [(float(x), float(y)) for x, y in np.round(table - table.mean(axis=0), 12)]


def _baseline(results: Sequence[Result]) -> dict[tuple[object, ...], Result]:
    return {_pair_key(result): result for result in results if result.arm == BASELINE}


def _pair_key(result: Result) -> tuple[object, ...]:
    """Runs with equal keys saw the same photographs and seed, for as many steps, at one size."""
    return (result.dataset, result.labels, result.draw, result.seed, result.steps, result.image_px)


def _placed(result: Result) -> Result:
    """With its number of photographs where it had all of them."""
    return result if result.labels is not None else replace(result, labels=result.n_photographs)


def _points(results: Sequence[Result]) -> list[Point]:
    return [_point(arm, labels, found) for (arm, labels), found in sorted(_by_arm(results).items())]


def _by_arm(results: Iterable[Result]) -> dict[tuple[str, int], list[Result]]:
    groups: dict[tuple[str, int], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.arm, result.labels or 0].append(result)
    return groups


def _point(arm: str, labels: int, found: Sequence[Result]) -> Point:
    scores = _of_draws((result.draw, result.map50_95) for result in found)
    ends = mean_interval(scores) if len(scores) > 1 else None
    return Point(
        arm=arm,
        labels=labels,
        draws=len(scores),
        runs=len(found),
        map50=float(np.mean(_of_draws((result.draw, result.map50) for result in found))),
        map50_95=float(np.mean(scores)),
        low=ends.low if ends else None,
        high=ends.high if ends else None,
    )


def _of_draws(scores: Iterable[tuple[int, float]]) -> list[float]:
    """(draw, score) of every run => the mean of each draw's seeds, by draw."""
    by_draw: dict[int, list[float]] = defaultdict(list)
    for draw, score in scores:
        by_draw[draw].append(score)
    return [float(np.mean(by_draw[draw])) for draw in sorted(by_draw)]


def _gains(results: Sequence[Result]) -> list[PairedGain]:
    baseline = _baseline(results)
    found = []
    for (arm, labels), runs in sorted(_by_arm(results).items()):
        paired = [(run, baseline[_pair_key(run)]) for run in runs if _pair_key(run) in baseline]
        if arm == BASELINE or not paired:
            continue
        deltas = _of_draws((run.draw, run.map50_95 - pair.map50_95) for run, pair in paired)
        ends = mean_interval(deltas) if len(deltas) > 1 else None
        found.append(PairedGain(arm, labels, tuple(deltas), ends, _class_gains(paired)))
    return found


def _class_gains(paired: Sequence[tuple[Result, Result]]) -> dict[str, float]:
    """Of every class that is known on both sides of every pair."""
    known = set.intersection(*(set(run.by_class) & set(pair.by_class) for run, pair in paired))
    return {
        name: float(np.mean([run.by_class[name] - pair.by_class[name] for run, pair in paired]))
        for name in sorted(known)
    }


def _all_saved(results: Sequence[Result], *, rounds: int, seed: int) -> list[Saved]:
    table: dict[str, dict[int, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for result in results:
        table[result.arm][result.labels or 0][result.draw].append(result.map50_95)
    saved = []
    for reference in (name for name in REFERENCES if name in table):
        curve = {**(table.get(WHOLE, {}) if reference == BASELINE else {}), **table[reference]}
        arms = [arm for arm in sorted(table) if arm not in (reference, WHOLE, BASELINE) and len(curve) > 1]
        saved += [
            labels_saved((arm, by_draw), (reference, curve), labels=labels, rounds=rounds, seed=seed)
            for arm in arms
            for labels, by_draw in sorted(table[arm].items())
            if labels in curve
        ]
    return saved
