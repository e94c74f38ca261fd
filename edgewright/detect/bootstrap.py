"""How far two detectors lie apart on the same pictures: a paired bootstrap over images. numpy alone.

Decides the interval of a difference in mAP50-95: images are drawn with replacement, as many as there are, the same draw
for both (Efron & Tibshirani 1993, ch. 13: percentile interval). An image that is drawn twice counts twice: weights
stand in for copies, so that nothing is matched again. Classes without an object in a draw are left out of its mean, for
both. Refuses detectors that were not judged on the same objects.

Laws: a detector against itself differs by exactly 0 in every draw; equal seeds give equal intervals; with every weight
1 the precisions are those of `ranking.class_precisions`.

    paired = compare_paired(challenger.matched, champion.matched, seed=0)
    paired.difference, paired.low, paired.high
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.detect.matching import BoolArray, DoubleArray, IntArray, Matched, Matches
from edgewright.detect.ranking import RECALL_POINTS
from edgewright.errors import InputError

ROUNDS = 500
CONFIDENCE = 0.9
"""Two-sided, so its lower end is a one-sided 95 % bound: the usual one for "not worse by more than"."""
_MAX_NUMBERS = 4_000_000
"""Of one array, 32 MB: rounds are worked off in parts."""


@dataclass(frozen=True)
class Paired:
    """What the first detector has more than the second, in mAP50-95.

    Attributes:
        difference: over all images; None where no class has an object.
        low, high: its interval of CONFIDENCE; None as `difference`.
        n_images, rounds: what it was drawn from, and how often.
    """

    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    n_images: int
    rounds: int


@dataclass(frozen=True)
class _Ranked:
    """One class of one detector over all images, best score first, up to its last hit at any IoU threshold.

    Attributes:
        image: (N,) of each detection.
        hits, neutral: a threshold => places among them.
    """

    image: IntArray
    hits: tuple[IntArray, ...]
    neutral: tuple[IntArray, ...]


def compare_paired(first: Matched, second: Matched, *, seed: int, rounds: int = ROUNDS) -> Paired:
    """Of two detectors on the same images in the same order.

    Raises:
        InputError: other classes, images or objects.
    """
    if first.classes != second.classes or not np.array_equal(first.n_truth, second.n_truth):
        raise InputError(
            "two detectors were not judged on the same objects", expected=first.classes, got=second.classes
        )
    n_images = first.n_images
    whole = np.ones((1, n_images), dtype=np.int64)
    a, b = (float(finite_mean(precisions(one, whole))[0]) for one in (first, second))
    if np.isnan(a):
        return Paired(None, None, None, None, None, n_images, rounds)
    drawn = np.random.default_rng(seed).multinomial(n_images, np.full(n_images, 1 / n_images), size=rounds)
    apart = finite_mean(precisions(first, drawn)) - finite_mean(precisions(second, drawn))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(apart[np.isfinite(apart)], [tail, 1 - tail])
    return Paired(a, b, a - b, float(low), float(high), n_images, rounds)


def precisions(matched: Matched, weights: IntArray) -> DoubleArray:
    """(R, I) how often each image counts => (R, C) average precision, mean over IOU_THRESHOLDS; NaN without truth."""
    found = np.full((len(weights), len(matched.classes)), np.nan)
    for column, parts in enumerate(matched.by_class):
        n_truth = weights @ matched.n_truth[column]
        some = n_truth > 0
        found[some, column] = _class_precision(parts, weights[some], n_truth[some])
    return found


def _class_precision(parts: Sequence[Matches], weights: IntArray, n_truth: IntArray) -> DoubleArray:
    """(R,) of one class, the mean over IOU_THRESHOLDS."""
    one = _rank(parts)
    step = max(1, _MAX_NUMBERS // max(1, len(one.image)))
    found = [
        _weighted_precision(one, weights[start : start + step], n_truth[start : start + step])
        for start in range(0, len(weights), step)
    ]
    return np.concatenate([np.zeros(0), *found])


def _rank(parts: Sequence[Matches]) -> _Ranked:
    order = np.argsort(-np.concatenate([part.score for part in parts]), kind="stable")
    hit: BoolArray = np.concatenate([part.hit for part in parts], axis=1)[:, order]
    neutral: BoolArray = np.concatenate([part.neutral for part in parts], axis=1)[:, order]
    image = np.repeat(np.arange(len(parts)), [len(part.score) for part in parts])[order]
    some = np.flatnonzero(hit.any(axis=0))
    n = int(some[-1]) + 1 if len(some) else 0
    return _Ranked(image[:n], tuple(map(np.flatnonzero, hit)), tuple(np.flatnonzero(row[:n]) for row in neutral))


def _weighted_precision(one: _Ranked, weights: IntArray, n_truth: IntArray) -> DoubleArray:
    """(R,) COCO's 101-point average precision, the mean over IOU_THRESHOLDS; an image counts as its weight says.

    Precision peaks at hits alone, so the envelope is taken there; a recall point belongs to the first hit that reaches
    it. Copies of one hit reach their points with the precision of the last of them, as the envelope would have it.
    """
    counted = weights[:, one.image]
    upto = np.cumsum(counted, axis=1)
    area = np.zeros(len(weights))
    for hits, neutral in zip(one.hits, one.neutral, strict=True):
        right = np.cumsum(counted[:, hits], axis=1)
        precision = right / np.maximum(upto[:, hits] - _passed(counted, neutral, hits), 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.searchsorted(RECALL_POINTS, right / n_truth[:, None], side="right")
        area += (envelope * np.diff(reached, axis=1, prepend=0)).sum(axis=1)
    mean: DoubleArray = area / len(RECALL_POINTS) / len(one.hits)
    return mean


def _passed(counted: IntArray, neutral: IntArray, hits: IntArray) -> IntArray:
    """(R, H): how many neutral detections stand before each hit, which count in no precision."""
    before = np.cumsum(counted[:, neutral], axis=1)
    padded: IntArray = np.hstack([np.zeros((len(counted), 1), dtype=np.int64), before])
    return padded[:, np.searchsorted(neutral, hits)]


def finite_mean(values: DoubleArray) -> DoubleArray:
    """(R, C) => (R,): the mean of what is no NaN; NaN where all are."""
    some = np.isfinite(values)
    n = some.sum(axis=1)
    means: DoubleArray = np.divide(
        np.where(some, values, 0).sum(axis=1), n, out=np.full(len(values), np.nan), where=n > 0
    )
    return means
