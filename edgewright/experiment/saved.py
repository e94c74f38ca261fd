"""Labels saved: how many labels a reference arm would need for what another arm reaches with fewer.

Decides the estimate. The reference's means as a function of log n, made monotone by isotonic regression (Barlow et al.
1972), are inverted at the other arm's mean; the interval is a percentile bootstrap (Efron 1979) over draws, which both
arms share: draw d is one order of the photographs, and n counts off along it, so a round draws whole orders. Beyond the
numbers of labels that the reference was given nothing is known but a bound, and it is marked so, in the estimate and at
either end of the interval. Refuses an interval from fewer than MIN_DRAWS draws.

>>> needed({10: 0.1, 20: 0.2, 40: 0.3}, reached=0.2)
Labels(n=20.0, bound=<Bound.NONE: ''>)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from sklearn.isotonic import IsotonicRegression

MIN_DRAWS = 3
_ROUNDING = 1e-12
CONFIDENCE = 0.90
"""Two-sided, so that each end alone is a 95 % bound."""
ByDraw = Mapping[int, Sequence[float]]
"""Draw => the score of each seed."""


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
    fitted = IsotonicRegression().fit_transform(np.log(ns), [reference[n] for n in ns])
    if reached > fitted[-1] + _ROUNDING:
        return Labels(float(ns[-1]), Bound.AT_LEAST)
    reached = min(reached, fitted[-1])
    if reached <= fitted[0]:
        return Labels(float(ns[0]), Bound.NONE if reached >= fitted[0] - _ROUNDING else Bound.AT_MOST)
    at = int(np.searchsorted(fitted, reached, side="left"))
    share = (reached - fitted[at - 1]) / (fitted[at] - fitted[at - 1])
    between = math.log(ns[at - 1]) + share * (math.log(ns[at]) - math.log(ns[at - 1]))
    return Labels(float(math.exp(between)), Bound.NONE)


def labels_saved(
    arm: tuple[str, ByDraw], reference: tuple[str, Mapping[int, ByDraw]], *, labels: int, rounds: int, seed: int
) -> Saved:
    """Of an arm at `labels` labels against a reference's curve, n => draw => scores.

    Both sides of the same draws: another order of the photographs is another curve. A round draws orders with
    replacement from those of the arm; a point of the reference that has none of them keeps its mean.
    """
    curve, draws = reference[1], sorted(arm[1])
    means = {n: mean_of(by_draw, draws) for n, by_draw in curve.items()}
    found = needed(means, reached=mean_of(arm[1], draws))
    shared = [draw for draw in draws if any(draw in by_draw for by_draw in curve.values())]
    low = high = None
    if len(shared) >= MIN_DRAWS:
        rng = np.random.default_rng([seed, labels])
        again = [_once_more(arm[1], curve, rng.choice(draws, size=len(draws))) for _ in range(rounds)]
        low, high = _ends(again)
    return Saved(
        arm=arm[0],
        reference=reference[0],
        labels=labels,
        needed=found,
        ratio=found.over(labels),
        low=low.over(labels) if low else None,
        high=high.over(labels) if high else None,
    )


def mean_of(by_draw: ByDraw, draws: Sequence[int]) -> float:
    """Over draws, repeats counted, each the mean of its seeds; over all where none of them is there."""
    known = [draw for draw in draws if draw in by_draw] or sorted(by_draw)
    return float(np.mean([np.mean(by_draw[draw]) for draw in known]))


def _once_more(arm: ByDraw, curve: Mapping[int, ByDraw], drawn: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Labels:
    draws = [int(draw) for draw in drawn]
    return needed({n: mean_of(by_draw, draws) for n, by_draw in curve.items()}, reached=mean_of(arm, draws))


def _ends(found: Sequence[Labels]) -> tuple[Labels, Labels]:
    """The quantiles of one half of 1 - CONFIDENCE on either side; a bound is a rank beyond every number."""
    order = sorted(found, key=lambda one: (_RANK[one.bound], one.n))
    outside = (1 - CONFIDENCE) / 2
    places = (math.floor(outside * (len(order) - 1)), math.ceil((1 - outside) * (len(order) - 1)))
    return order[places[0]], order[places[1]]


_RANK = {Bound.AT_MOST: 0, Bound.NONE: 1, Bound.AT_LEAST: 2}
