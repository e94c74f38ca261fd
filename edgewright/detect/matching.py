"""Which detection finds which object: the one matching that every number of a detector rests on. numpy alone.

Decides what a hit is (Lin et al. 2014, the rules of pycocotools): within an image and a class, detections are taken
best score first and each takes the free truth box it overlaps most, if by at least the IoU threshold. A detection that
only meets an ignore region (intersection over its own area) is neither hit nor miss. Refuses nothing.

>>> truth = Boxes.of([[0, 0, 9, 9]], class_id=[0])
>>> match(meet(truth, truth, Boxes.empty())).hit[0].tolist()
[True]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.runtime.boxes import Boxes

DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

IOU_THRESHOLDS: DoubleArray = np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True)
class Matches:
    """One class in one image.

    Attributes:
        score: (N,) falling.
        hit: (10, N), at each IoU threshold.
        neutral: (10, N), matched to what neither rewards nor punishes.
        n_truth: how many objects could be found.
    """

    score: DoubleArray
    hit: BoolArray
    neutral: BoolArray
    n_truth: int


@dataclass(frozen=True)
class Matched:
    """Every class in every image: `by_class[c][i]`, images in the order of the samples."""

    classes: tuple[str, ...]
    by_class: tuple[tuple[Matches, ...], ...]

    @property
    def n_images(self) -> int:
        return len(self.by_class[0]) if self.by_class else 0

    @property
    def n_truth(self) -> IntArray:
        """(C, I) objects."""
        counts = [[part.n_truth for part in parts] for parts in self.by_class]
        return np.array(counts, dtype=np.int64).reshape(len(self.classes), self.n_images)


@dataclass(frozen=True)
class Met:
    """How the boxes of one class in one image overlap; detections best score first.

    Attributes:
        score, area_found: (N,). area_truth: (M,) px².
        overlap: (N, M) intersection over union.
        crowd: (N, K) with each region to ignore: intersection over the detection's own area.
    """

    score: DoubleArray
    area_found: DoubleArray
    area_truth: DoubleArray
    overlap: DoubleArray
    crowd: DoubleArray


def meet(found: Boxes, truth: Boxes, ignored: Boxes) -> Met:
    """Boxes of one class in one image; detections in any order."""
    found = best_first(found)
    return Met(
        score=found.score.astype(np.float64),
        area_found=areas(found),
        area_truth=areas(truth),
        overlap=pairwise_overlap(found, truth, crowd=False),
        crowd=pairwise_overlap(found, ignored, crowd=True),
    )


def match(met: Met) -> Matches:
    """Objects of every size."""
    hit = take_greedily(met.overlap, IOU_THRESHOLDS) >= 0
    aside = met.crowd.max(axis=1, initial=0)
    neutral = ~hit & (aside[None] >= IOU_THRESHOLDS[:, None])
    return Matches(met.score, hit, neutral, len(met.area_truth))


def counting(parts: Sequence[Matches], threshold: int) -> tuple[DoubleArray, BoolArray]:
    """Scores and hits of one class over all images at IOU_THRESHOLDS[threshold], without what is neutral."""
    if not parts:
        return np.zeros(0), np.zeros(0, dtype=bool)
    score = np.concatenate([part.score[~part.neutral[threshold]] for part in parts])
    hit = np.concatenate([part.hit[threshold, ~part.neutral[threshold]] for part in parts])
    return score, hit


def best_first(found: Boxes) -> Boxes:
    """Equal scores keep their order."""
    return found[np.argsort(-found.score, kind="stable")]


def take_greedily(
    overlap: DoubleArray,
    thresholds: DoubleArray,
    *,
    barred: BoolArray | None = None,
    shared: BoolArray | None = None,
) -> IntArray:
    """(N, M) overlaps, rows best score first => (T, N) index of the truth box each row takes, -1 for none.

    Args:
        barred: (T, N) rows that may take none, by threshold.
        shared: (M,) boxes that any number of rows may take: regions to ignore.
    """
    taken = np.full((len(thresholds), len(overlap)), -1, dtype=np.int64)
    free = np.ones((len(thresholds), overlap.shape[1]), dtype=bool)
    limits = np.minimum(thresholds, 1 - 1e-10)  # pycocotools: a perfect overlap must pass a threshold of 1
    every = np.arange(len(thresholds))
    for row in np.flatnonzero(overlap.max(axis=1, initial=0) >= limits.min()):
        open_overlap = np.where(free, overlap[row], -1.0)
        best = overlap.shape[1] - 1 - open_overlap[:, ::-1].argmax(axis=1)  # of equals the last, as pycocotools does
        good = open_overlap[every, best] >= limits
        if barred is not None:
            good &= ~barred[:, row]
        taken[good, row] = best[good]
        used = good if shared is None else good & ~shared[best]
        free[every[used], best[used]] = False
    return taken


def pairwise_overlap(found: Boxes, truth: Boxes, *, crowd: bool) -> DoubleArray:
    """(N, M) float64: intersection over union; over the detection's own area for a `crowd` (an ignore region)."""
    a, b = found.xyxy.astype(np.float64), truth.xyxy.astype(np.float64)
    wh = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    intersection = wh.clip(0).prod(axis=2)
    area_a, area_b = areas(found)[:, None], areas(truth)[None]
    base = np.broadcast_to(area_a, intersection.shape) if crowd else area_a + area_b - intersection
    overlap: DoubleArray = np.divide(intersection, base, out=np.zeros_like(intersection), where=base > 0)
    return overlap


def areas(boxes: Boxes) -> DoubleArray:
    """(N,) float64 px²."""
    corners = boxes.xyxy.astype(np.float64)
    area: DoubleArray = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
    return area
