"""Intervals by half-samples of whole pictures.

Decides how uncertain a statistic is. The pictures are the clusters: tiles of one picture are not independent. Each
round takes half of the pictures *without* replacement. For a statistic that is a mean, the variance of a half-sample
about the whole sample is exactly the variance of the whole sample's estimate (McCarthy 1969; Politis, Romano & Wolf
1999, chapter 2); and no picture stands twice in a round: the copies of an ordinary bootstrap would be their own
nearest neighbors and shrink every radius, density and Fréchet distance.

>>> halves(8, rounds=3, rng=np.random.default_rng(0)).shape
(3, 4)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
CONFIDENCE = 0.90
"""Two-sided, so that each end alone is a 95 % bound."""


def halves(n: int, *, rounds: int, rng: np.random.Generator) -> Indices:
    """(rounds, n // 2) indices in `[0, n)`, none twice in a row, ascending."""
    order = np.argsort(rng.random((rounds, n)), axis=1)[:, : n // 2]
    return np.sort(order, axis=1).astype(np.int64)


def tile_rows(pictures: Indices, *, tiles_per_image: int) -> Indices:
    """Rows of a tile matrix that belong to these pictures: picture i holds rows `i * t … i * t + t - 1`."""
    return (pictures[:, None] * tiles_per_image + np.arange(tiles_per_image)).reshape(-1)


def ratio_interval(value: float, rounds: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The estimate times the spread of the rounds about their own median (the rounds' n is smaller, so their level
    differs)."""
    low, high = np.quantile(rounds, _tails())
    center = np.median(rounds)
    if center <= 0:  # most rounds are 0, e.g. the coverage of noise: there is no spread to scale
        return float(min(low, value)), float(max(high, value))
    return float(value * low / center), float(value * high / center)


def shift_interval(value: float, rounds: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The estimate plus the spread of the rounds about their own median."""
    low, high = np.quantile(rounds, _tails()) - np.median(rounds)
    return float(value + low), float(value + high)


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
