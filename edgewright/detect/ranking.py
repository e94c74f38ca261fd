"""Average precision of one ranked list of detections: COCO's 101-point interpolation. numpy alone.

Decides nothing about what a hit is (`matching.py`). Equal scores keep their order.

>>> average_precision(np.array([0.9, 0.8]), np.array([False, True]), n_truth=1)
0.5
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.detect.matching import IOU_THRESHOLDS, BoolArray, DoubleArray, IntArray, Matches, counting

RECALL_POINTS: DoubleArray = np.linspace(0, 1, 101)


def average_precision(score: DoubleArray, hit: BoolArray, *, n_truth: int) -> float:
    """COCO's 101-point interpolated average precision of one ranked list.

    AP = mean over r in {0, 0.01, …, 1} of max over r' >= r of precision(r').
    """
    recall, precision, _ = ranked(score, hit, n_truth=n_truth)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    index = np.searchsorted(recall, RECALL_POINTS, side="left")
    padded = np.concatenate([envelope, [0.0]])
    return float(padded[np.minimum(index, len(envelope))].mean())


def class_precisions(parts: Sequence[Matches]) -> DoubleArray:
    """(10,) average precision of one class at each IoU threshold; NaN where there is no object."""
    n_truth = sum(part.n_truth for part in parts)
    if not n_truth:
        return np.full(len(IOU_THRESHOLDS), np.nan)
    thresholds = range(len(IOU_THRESHOLDS))
    return np.array([average_precision(*counting(parts, threshold), n_truth=n_truth) for threshold in thresholds])


def ranked(score: DoubleArray, hit: BoolArray, *, n_truth: int) -> tuple[DoubleArray, DoubleArray, IntArray]:
    """Recall and precision after each detection, best score first; and that order."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(hit[order])
    return hits / n_truth, hits / np.arange(1, len(hits) + 1), order
