"""What the finished runs say: a curve over the number of labels, labels saved, and which gate metric foretells use.

Decides three estimates, each with its uncertainty:

- the mean over draws and seeds of an arm at n, ± Student's t (two ends of 95 % one-sided);
- *labels saved*: the reference arm's means as a function of log n, made monotone by isotonic regression (Barlow et al.
  1972), inverted at the other arm's mean: it would take the reference m labels. The ratio m / n with an interval from a
  bootstrap over draws (Efron 1979). Where the reference never gets there with the labels it was given, only a lower
  bound is known, and it is marked so;
- Spearman's rank correlation of each gate metric with the gain in mAP50-95 over the paired run without synthetic data.

Refuses to pair runs of different photographs or seeds, and to correlate fewer than MIN_POINTS.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import spearmanr
from sklearn.isotonic import IsotonicRegression

from edgewright.experiment.arms import ARMS, BASELINE
from edgewright.experiment.results import Result
from edgewright.gates.utility import mean_interval

MIN_POINTS = 5
CONFIDENCE = 0.90
"""Two-sided, so that each end alone is a 95 % bound."""
GATED = " (gated)"
"""Added to an arm's name: its result where the gate admitted the pictures, the photographs' alone where it did not."""


@dataclass(frozen=True)
class Point:
    """An arm at n labels: mean mAP over `runs` runs; the ends are None where there is only one."""

    arm: str
    labels: int
    runs: int
    map50: float
    map50_95: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Saved:
    """How many labels the reference arm would need for what `arm` reaches with `labels` of them.

    Attributes:
        ratio: needed / labels. low, high: bootstrap interval over draws.
        beyond: the reference did not get there with the most labels it was given: the ratio is a lower bound.
    """

    arm: str
    reference: str
    labels: int
    needed: float
    ratio: float
    low: float
    high: float
    beyond: bool


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho of a gate metric with the gain in mAP50-95 over `n` synthetic sets; p is two-sided."""

    metric: str
    rho: float
    p: float
    n: int


@dataclass(frozen=True)
class Analysis:
    """Everything the report shows. `gains`: arm => n => mean gain over the paired photographs-alone runs."""

    points: tuple[Point, ...]
    saved: tuple[Saved, ...]
    correlations: tuple[Correlation, ...]
    gains: Mapping[str, Mapping[int, Sequence[float]]]


def analyze(results: Sequence[Result], *, rounds: int = 1000, seed: int = 0) -> Analysis:
    """Of the runs of one data set. Arms with every photograph count at the number of photographs they had."""
    placed = [*map(_placed, results), *gated(results)]
    points = _points(placed)
    return Analysis(
        points=tuple(points),
        saved=tuple(_all_saved(placed, rounds=rounds, seed=seed)),
        correlations=tuple(correlate(results)),
        gains=_gains(placed),
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


def labels_needed(reference: Mapping[int, float], *, reached: float) -> tuple[float, bool]:
    """(labels the reference needs to reach a score, whether even its most labels do not).

    Isotonic in log n, linear between; a score below its first point needs that point's labels at most.
    """
    ns = sorted(reference)
    fitted = IsotonicRegression().fit_transform(np.log(ns), [reference[n] for n in ns])
    if reached > fitted[-1] + 1e-12:
        return float(ns[-1]), True
    if reached <= fitted[0]:
        return float(ns[0]), False
    at = int(np.searchsorted(fitted, reached, side="left"))
    share = (reached - fitted[at - 1]) / (fitted[at] - fitted[at - 1])
    return float(math.exp(math.log(ns[at - 1]) + share * (math.log(ns[at]) - math.log(ns[at - 1])))), False


def correlate(results: Sequence[Result]) -> list[Correlation]:
    """Each reference measurement against the gain, over synthetic arms that saw photographs too; strongest first."""
    baseline = _baseline(results)
    paired = [
        (result.reference, result.map50_95 - baseline[_pair_key(result)].map50_95)
        for result in results
        if result.reference and ARMS[result.arm].photographs and _pair_key(result) in baseline
    ]
    found = []
    for metric in sorted({name for metrics, _ in paired for name in metrics}):
        both = [(metrics[metric], gain) for metrics, gain in paired if metric in metrics]
        if len(both) >= MIN_POINTS and len({value for value, _ in both}) > 1 and len({gain for _, gain in both}) > 1:
            rho, p = spearmanr(*zip(*both, strict=True))
            found.append(Correlation(metric, float(rho), float(p), len(both)))
    return sorted(found, key=lambda one: -abs(one.rho))


def _baseline(results: Sequence[Result]) -> dict[tuple[object, ...], Result]:
    return {_pair_key(result): result for result in results if result.arm == BASELINE}


def _pair_key(result: Result) -> tuple[object, ...]:
    """Runs with equal keys saw the same photographs and seed, for as many steps, at one size."""
    return (result.dataset, result.labels, result.draw, result.seed, result.steps, result.image_px)


def _placed(result: Result) -> Result:
    """With its number of photographs where it had all of them."""
    return result if result.labels is not None else replace(result, labels=result.n_photographs)


def _points(results: Sequence[Result]) -> list[Point]:
    groups: dict[tuple[str, int], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.arm, result.labels or 0].append(result)
    return [_point(arm, labels, found) for (arm, labels), found in sorted(groups.items())]


def _point(arm: str, labels: int, found: Sequence[Result]) -> Point:
    scores = [result.map50_95 for result in found]
    ends = mean_interval(scores) if len(scores) > 1 else None
    return Point(
        arm=arm,
        labels=labels,
        runs=len(found),
        map50=float(np.mean([result.map50 for result in found])),
        map50_95=float(np.mean(scores)),
        low=ends.low if ends else None,
        high=ends.high if ends else None,
    )


def _gains(results: Sequence[Result]) -> dict[str, dict[int, list[float]]]:
    baseline = _baseline(results)
    gains: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        pair = baseline.get(_pair_key(result))
        if pair is not None and result.arm != BASELINE:
            gains[result.arm][result.labels or 0].append(result.map50_95 - pair.map50_95)
    return {arm: dict(by_labels) for arm, by_labels in gains.items()}


def _all_saved(results: Sequence[Result], *, rounds: int, seed: int) -> list[Saved]:
    table: dict[str, dict[int, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for result in results:
        table[result.arm][result.labels or 0][result.draw].append(result.map50_95)
    whole = table.get("all_real", {})
    saved = []
    for reference in (BASELINE, "compositor"):
        curve = {**whole, **table.get(reference, {})}
        for arm in sorted(table):
            if arm in (reference, "all_real", BASELINE, "synthetic_only") or len(curve) < 2:
                continue
            saved += [
                _saved(arm, reference, labels, draws, curve, rounds=rounds, seed=seed)
                for labels, draws in sorted(table[arm].items())
                if labels in table[reference]
            ]
    return saved


def _saved(
    arm: str,
    reference: str,
    labels: int,
    draws: Mapping[int, Sequence[float]],
    curve: Mapping[int, Mapping[int, Sequence[float]]],
    *,
    rounds: int,
    seed: int,
) -> Saved:
    needed, beyond = labels_needed(_means(curve), reached=_mean(draws))
    rng = np.random.default_rng([seed, labels])
    drawn = [
        labels_needed(
            {n: _mean(_again(by_draw, rng)) for n, by_draw in curve.items()},
            reached=_mean(_again(draws, rng)),
        )[0]
        / labels
        for _ in range(rounds)
    ]
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Saved(arm, reference, labels, needed, needed / labels, float(low), float(high), beyond)


def _again(by_draw: Mapping[int, Sequence[float]], rng: np.random.Generator) -> dict[int, Sequence[float]]:
    """As many draws, with replacement."""
    draws = sorted(by_draw)
    return {place: by_draw[draws[int(at)]] for place, at in enumerate(rng.integers(len(draws), size=len(draws)))}


def _means(curve: Mapping[int, Mapping[int, Sequence[float]]]) -> dict[int, float]:
    return {labels: _mean(by_draw) for labels, by_draw in curve.items()}


def _mean(by_draw: Mapping[int, Sequence[float]]) -> float:
    """Over draws, each the mean of its seeds."""
    return float(np.mean([np.mean(scores) for scores in by_draw.values()]))
