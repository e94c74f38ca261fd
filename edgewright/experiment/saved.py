"""Labels saved: how many labels a reference arm would need for what another arm reaches with fewer.

Decides the estimate. The reference's means as a function of log n, made monotone by isotonic regression (Barlow et al.
1972), are inverted at the other arm's mean. Only runs of one draw (an order of the photographs) and one seed are held
against each other: the arm's level is the reference's at the same n plus the mean gain of the pairs.

The interval is a bootstrap of that, with few draws in mind: a round draws whole orders with replacement for the
reference's curve (Efron 1979), and the mean gain from Student's t about the observed one. Drawing the gains with
replacement too would not do: three draws never yield a mean beyond the best of them, and what should miss in one of
twenty experiments misses in four. Refuses an interval from fewer than MIN_DRAWS draws. Beyond the numbers of labels
that the reference was given nothing is known but a bound, and it is marked so, in the estimate and at either end.

>>> needed({10: 0.1, 20: 0.2, 40: 0.3}, reached=0.2)
Labels(n=20.0, bound=<Bound.NONE: ''>)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.optimize import isotonic_regression

MIN_DRAWS = 3
_ROUNDING = 1e-12
CONFIDENCE = 0.90
"""Two-sided, so that each end alone is a 95 % bound."""
Scores = Mapping[tuple[int, int], float]
"""(draw, seed) => the score of that run."""


class Bound(StrEnum):
    """What is known where the reference's curve ends: at most, or at least, that many."""

    NONE = ""
    AT_MOST = "≤"
    AT_LEAST = "≥"


@dataclass(frozen=True)
class Labels:
    """A number of labels, or a bound on it."""

    n: float
    bound: Bound

    def over(self, labels: int) -> Labels:
        return Labels(self.n / labels, self.bound)


@dataclass(frozen=True)
class Saved:
    """How many labels the reference needs for what `arm` reaches with `labels`.

    Attributes:
        needed: of the reference. ratio: needed / labels.
        low, high: ends of the ratio's interval; None where there are too few draws.
    """

    arm: str
    reference: str
    labels: int
    needed: Labels
    ratio: Labels
    low: Labels | None
    high: Labels | None


def needed(reference: Mapping[int, float], *, reached: float) -> Labels:
    """Labels that the reference, n => score at two numbers of labels or more, needs to reach a score.

    Isotonic in log n, linear between; but never more than some n of the reference that reached it, which a dent in the
    curve would else forget. Below its first point and beyond its last one only a bound is known.
    """
    ns = sorted(reference)
    reached_with = next((n for n in ns if reference[n] >= reached - _ROUNDING), None)
    inverted = _invert(ns, reference, reached=reached)
    return inverted if reached_with is None or inverted.n <= reached_with else Labels(float(reached_with), Bound.NONE)


def _invert(ns: Sequence[int], reference: Mapping[int, float], *, reached: float) -> Labels:
    """What equals a point of the curve, but for rounding, needs exactly its labels."""
    fitted = isotonic_regression([reference[n] for n in ns]).x
    at = int(np.searchsorted(fitted, reached - _ROUNDING, side="left"))
    if at == len(ns):
        return Labels(float(ns[-1]), Bound.AT_LEAST)
    if reached >= fitted[at] - _ROUNDING:
        return Labels(float(ns[at]), Bound.NONE)
    if at == 0:
        return Labels(float(ns[0]), Bound.AT_MOST)
    share = (reached - fitted[at - 1]) / (fitted[at] - fitted[at - 1])
    between = math.log(ns[at - 1]) + share * (math.log(ns[at]) - math.log(ns[at - 1]))
    return Labels(float(math.exp(between)), Bound.NONE)


def labels_saved(
    arm: tuple[str, Scores], reference: tuple[str, Mapping[int, Scores]], *, labels: int, rounds: int, seed: int
) -> Saved | None:
    """Of an arm at `labels` labels against a reference's curve, n => its scores; None where no run of it is paired."""
    here = reference[1][labels]
    pairs = sorted(set(arm[1]) & set(here))
    if not pairs:
        return None
    curve = {n: _known(scores, pairs) for n, scores in reference[1].items()}
    gain_by_draw = _by_draw((pair[0], arm[1][pair] - here[pair]) for pair in pairs)
    draws, gains = list(gain_by_draw), np.array(list(gain_by_draw.values()))
    found = _needed(curve, draws, labels=labels, gain=float(gains.mean()))
    low = high = None
    if len(draws) >= MIN_DRAWS:
        rng = np.random.default_rng([seed, labels])
        spread = float(gains.std(ddof=1)) / math.sqrt(len(gains))
        chance = spread * rng.standard_t(len(gains) - 1, size=rounds)
        orders = rng.choice(draws, size=(rounds, len(draws)))
        again = [
            _needed(curve, order.tolist(), labels=labels, gain=float(gains.mean() + off))
            for order, off in zip(orders, chance, strict=True)
        ]
        low, high = (end.over(labels) for end in _ends(again))
    return Saved(arm[0], reference[0], labels, found, found.over(labels), low, high)


def _known(scores: Scores, pairs: Sequence[tuple[int, int]]) -> dict[int, float]:
    """Draw => mean over seeds, of the runs that are among the pairs; of all where none of them is."""
    shared = [(pair[0], scores[pair]) for pair in pairs if pair in scores]
    return _by_draw(shared or [(draw, score) for (draw, _), score in scores.items()])


def _by_draw(scores: Iterable[tuple[int, float]]) -> dict[int, float]:
    """(draw, score) of every run => the mean of each draw."""
    found: dict[int, list[float]] = defaultdict(list)
    for draw, score in scores:
        found[draw].append(score)
    return {draw: float(np.mean(found[draw])) for draw in sorted(found)}


def _needed(curve: Mapping[int, Mapping[int, float]], draws: Sequence[int], *, labels: int, gain: float) -> Labels:
    means = {n: _mean(by_draw, draws) for n, by_draw in curve.items()}
    return needed(means, reached=means[labels] + gain)


def _mean(by_draw: Mapping[int, float], draws: Sequence[int]) -> float:
    """Over draws, repeats counted; over all where none of them is there."""
    return float(np.mean([by_draw[draw] for draw in draws if draw in by_draw] or list(by_draw.values())))


def _ends(found: Sequence[Labels]) -> tuple[Labels, Labels]:
    """The quantiles of one half of 1 - CONFIDENCE on either side; a bound is a rank beyond every number."""
    order = sorted(found, key=lambda one: (_RANK[one.bound], one.n))
    outside = (1 - CONFIDENCE) / 2
    places = (math.floor(outside * (len(order) - 1)), math.ceil((1 - outside) * (len(order) - 1)))
    return order[places[0]], order[places[1]]


_RANK = {Bound.AT_MOST: 0, Bound.NONE: 1, Bound.AT_LEAST: 2}
