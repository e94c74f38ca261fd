"""Average precision of small, medium and large objects, by their area in the source picture. numpy alone.

Decides by COCO's areas (Lin et al. 2014): small up to 32² px, medium from 32² to 96² px, large from 96² px; both ends
belong to a range. An object outside a range is ignored in it, and a detection that takes one is neither hit nor miss;
nor is a detection that matches nothing and is itself outside. The rules of pycocotools, in its order.

>>> list(SIZES)
['small', 'medium', 'large']
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.detect.matching import (
    IOU_THRESHOLDS,
    BoolArray,
    Matches,
    Met,
    take_greedily,
)
from edgewright.detect.ranking import class_precisions

SIZES: Mapping[str, tuple[float, float]] = {
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, math.inf),
}
"""px² of the source picture."""


@dataclass(frozen=True)
class SizeFigures:
    """Means over the classes that have objects of a size, in [0, 1]; None where no class has any."""

    n_truth: int
    map50: float | None
    map50_95: float | None


def match_by_size(met: Met, whole: Matches) -> dict[str, Matches]:
    """A size => what is a hit within it.

    Args:
        whole: the same matched whatever the size, which answers wherever all objects are of one.
    """
    return {name: _within(met, whole, least, most) for name, (least, most) in SIZES.items()}


def _within(met: Met, whole: Matches, least: float, most: float) -> Matches:
    inside = (met.area_truth >= least) & (met.area_truth <= most)
    n_truth = int(inside.sum())
    if n_truth == len(inside):
        hit, aside = whole.hit, whole.neutral
    elif not n_truth and not met.crowd.shape[1]:
        hit, aside = np.zeros_like(whole.hit), whole.hit
    else:
        hit = take_greedily(met.overlap[:, inside], IOU_THRESHOLDS) >= 0
        shared = np.arange(len(inside) - n_truth + met.crowd.shape[1]) >= len(inside) - n_truth
        both = np.hstack([met.overlap[:, ~inside], met.crowd])
        aside = take_greedily(both, IOU_THRESHOLDS, barred=hit, shared=shared) >= 0
    stray: BoolArray = (met.area_found < least) | (met.area_found > most)
    return Matches(met.score, hit, ~hit & (aside | stray), n_truth)


def size_figures(by_class: Sequence[Sequence[Matches]]) -> SizeFigures:
    """Of one size: its matches, `[class][image]`."""
    counted = [parts for parts in by_class if any(part.n_truth for part in parts)]
    precisions = [class_precisions(parts) for parts in counted]
    return SizeFigures(
        n_truth=sum(part.n_truth for parts in counted for part in parts),
        map50=float(np.mean([values[0] for values in precisions])) if counted else None,
        map50_95=float(np.mean([values.mean() for values in precisions])) if counted else None,
    )
