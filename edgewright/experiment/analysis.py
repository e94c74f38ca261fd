"""What the finished runs say: a curve over the number of labels, labels saved, and which gate metric foretells use.

Decides three estimates, each with its uncertainty:

- an arm at n: the mean over draws, each the mean of its seeds, ± Student's t over draws (two ends of 95 % one-sided);
- *labels saved* (`saved.py`) against photographs alone, with stronger classic augmentation, with rare classes shown
  more often, and against the compositor: what an arm that learns to generate has to beat;
- Spearman's rank correlation of each gate metric with mAP50-95 among synthetic sets of the same photographs, both as
  deviations from their means over those sets: otherwise a metric that only knows n, or a baseline that went badly,
  would foretell gains. Its p is that of the strongest of all metrics where gains are shuffled among sets of the same
  photographs (maxT of Westfall and Young 1993): the strongest of two dozen is what people look at.

Refuses to pair runs of different photographs or seeds, to correlate fewer than MIN_POINTS sets that have another beside
them, and a baseline that finds nothing: anything is a gain over it. Such a run is named, and its pairs are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from edgewright.experiment.arms import ARMS, BASELINE
from edgewright.experiment.results import Result
from edgewright.experiment.saved import Saved, Scores, labels_saved
from edgewright.gates.utility import Gain, mean_interval

MIN_POINTS = 6
_SHUFFLES = 2000
WHOLE = "all_real"
REFERENCES = (BASELINE, "strong", "repeated", "compositor")
_Floats = npt.NDArray[np.float64]
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
    """Spearman's rho of a gate metric with mAP50-95 over `n` synthetic sets; p two-sided, for all metrics at once."""

    metric: str
    rho: float
    p: float
    n: int


@dataclass(frozen=True)
class Analysis:
    """Everything the report shows.

    Attributes:
        admitted: (arm, n) of synthetic sets => how many the gate admitted, and of how many.
        useless: titles of the baselines that find nothing.
    """

    points: tuple[Point, ...]
    saved: tuple[Saved, ...]
    correlations: tuple[Correlation, ...]
    gains: tuple[PairedGain, ...]
    admitted: Mapping[tuple[str, int], tuple[int, int]]
    useless: tuple[str, ...]


def analyze(results: Sequence[Result], *, rounds: int = 1000, seed: int = 0) -> Analysis:
    """Of runs of one data set and of equal settings; an arm with every photograph counts at how many those were."""
    placed = [*map(_placed, results), *gated(results)]
    paired = [one for one in placed if not _finds_nothing(one)]
    return Analysis(
        points=tuple(_points(placed)),
        saved=tuple(_all_saved(paired, rounds=rounds, seed=seed)),
        correlations=tuple(correlate(results)),
        gains=tuple(_gains(paired)),
        admitted=_admitted(results),
        useless=tuple(one.run.title for one in results if _finds_nothing(one)),
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


def _admitted(results: Sequence[Result]) -> dict[tuple[str, int], tuple[int, int]]:
    outcomes = {at: [one.gate for one in found if one.gate] for at, found in _by_arm(results).items()}
    return {at: (said.count("pass"), len(said)) for at, said in outcomes.items() if said}


def correlate(results: Sequence[Result]) -> list[Correlation]:
    """Each reference measurement against what the set was worth, strongest first; those that every set has.

    Over checked arms that saw photographs too.
    """
    groups = [group for group in _sets_of_equal_photographs(results) if len(group) > 1]
    if sum(map(len, groups)) < MIN_POINTS:
        return []
    rng = np.random.default_rng(0)
    scores = [np.array([one.map50_95 for one in group]) for group in groups]
    shuffled = [_ranks(_centered([rng.permutation(found) for found in scores])) for _ in range(_SHUFFLES)]
    metrics = set.intersection(*(set(one.reference) for group in groups for one in group))
    rows = {name: _ranks(_centered([np.array([one.reference[name] for one in g]) for g in groups])) for name in metrics}
    rows = {name: ranks for name, ranks in sorted(rows.items()) if ranks.any()}
    if not rows:
        return []
    table, seen = np.array(list(rows.values())), _ranks(_centered(scores))
    strongest = np.abs(table @ np.array(shuffled).T).max(axis=0)
    n = table.shape[1]
    found = [
        Correlation(name, float(rho), float((1 + (strongest >= abs(rho) - 1e-9).sum()) / (1 + _SHUFFLES)), n)
        for name, rho in zip(rows, table @ seen, strict=True)
    ]
    return sorted(found, key=lambda one: -abs(one.rho))


def _sets_of_equal_photographs(results: Sequence[Result]) -> list[list[Result]]:
    """Of those that were measured against the pool."""
    groups: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    for result in results:
        if result.reference and ARMS[result.arm].checked and ARMS[result.arm].photographs:
            groups[_pair_key(result)].append(result)
    return list(groups.values())


def _centered(groups: Sequence[_Floats]) -> _Floats:
    """Deviations from each group's mean, in one row; rounded, so that what is equal stays equal."""
    return np.round(np.concatenate([group - group.mean() for group in groups]), 12)


def _ranks(values: _Floats) -> _Floats:
    """Ranks of mean 0 and length 1, so that a product of two is Spearman's rho; all 0 where all are equal."""
    ranks = rankdata(values) - (len(values) + 1) / 2
    return np.asarray(ranks / max(float(np.linalg.norm(ranks)), 1e-12))


def _baseline(results: Sequence[Result]) -> dict[tuple[object, ...], Result]:
    return {_pair_key(result): result for result in results if result.arm == BASELINE}


def _finds_nothing(result: Result) -> bool:
    return result.arm == BASELINE and result.map50 == 0


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


def _all_saved(results: Sequence[Result], *, rounds: int, seed: int) -> Iterable[Saved]:
    table: dict[str, dict[int, dict[tuple[int, int], float]]] = defaultdict(lambda: defaultdict(dict))
    for result in results:
        table[result.arm][result.labels or 0][result.draw, result.seed] = result.map50_95
    for reference in (name for name in REFERENCES if name in table):
        curve: dict[int, Scores] = {**(table.get(WHOLE, {}) if reference == BASELINE else {}), **table[reference]}
        arms = [arm for arm in sorted(table) if arm not in (reference, WHOLE, BASELINE) and len(curve) > 1]
        for arm, labels in ((name, n) for name in arms for n in sorted(table[name]) if n in curve):
            own = (arm, table[arm][labels])
            saved = labels_saved(own, (reference, curve), labels=labels, rounds=rounds, seed=seed)
            if saved is not None:
                yield saved
