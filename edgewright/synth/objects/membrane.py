"""The membrane: what to add to a crop so that its rim has the light of the place it is put into, smoothly inside.

Decides the smooth interpolation that Poisson cloning adds (Farbman et al. 2009, Coordinates for Instant Image Cloning,
eq. 1), in closed form: the box's ellipse is mapped to the unit disk, where the harmonic function with given values on
the rim is Poisson's integral, u(r, t) = sum_k value_k (1 - r^2) / (1 - 2 r cos(t - t_k) + r^2), weights normalized.
The rim's values are the means of its sectors. Refuses nothing: a sector without a pixel has the usual value.

    light = membrane(difference, Rim.of(mask), usual=usual, limit=12.0)        # (H, W, 3)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edgewright.runtime.boxes import FloatArray
from edgewright.synth.matte import Mask

_SECTORS = 16
_GRID = 16
_BANDS = np.arange(3)
_MAX_RADIUS = 0.85
"""On the rim itself the integral is one sector's value alone: beyond this radius it is taken at it."""


@dataclass(frozen=True)
class Rim:
    """Where a crop shows its surroundings. Not to be written to.

    Attributes:
        mask: (H, W) bool.
        at: (K,) its pixels, counted row by row.
    """

    mask: Mask
    at: npt.NDArray[np.int64]

    @classmethod
    def of(cls, mask: Mask) -> Rim:
        return cls(mask, mask.ravel().nonzero()[0])


def membrane(difference: FloatArray, rim: Rim, *, usual: FloatArray, limit: float) -> FloatArray:
    """(H, W, 3) float32: the rim's differences, no further than `limit` from the usual one, continued inside.

    Args:
        difference: (K, 3) float32, place minus crop on the rim's pixels.
        usual: (3,) float32, their median.
    """
    height, width = rim.mask.shape
    beyond = np.minimum(np.maximum(difference - usual, -limit), limit)
    sector = _sectors(height, width).take(rim.at)
    count = np.maximum(np.bincount(sector, minlength=_SECTORS), 1)
    cell = (sector[:, None] * 3 + _BANDS).ravel()
    sums = np.bincount(cell, beyond.ravel(), _SECTORS * 3).reshape(_SECTORS, 3)
    grid = _poisson() @ (sums / count[:, None]).astype(np.float32)
    columns = (_stretch(height) @ grid.reshape(_GRID, _GRID * 3)).reshape(height, _GRID, 3)
    smooth: FloatArray = usual + np.matmul(_stretch(width), columns)
    return smooth


def _polar(height: int, width: int) -> tuple[FloatArray, FloatArray]:
    """(H, W) radius, 1 where the inscribed ellipse ends, and angle in [-pi, pi]."""
    x = ((np.arange(width) + 0.5) / width * 2 - 1)[None].astype(np.float32)
    y = ((np.arange(height) + 0.5) / height * 2 - 1)[:, None].astype(np.float32)
    return np.hypot(x, y), np.arctan2(y, x)


@lru_cache(maxsize=512)
def _sectors(height: int, width: int) -> npt.NDArray[np.int64]:
    angle = _polar(height, width)[1]
    found: npt.NDArray[np.int64] = np.floor((angle / (2 * np.pi) + 0.5) * _SECTORS).astype(np.int64) % _SECTORS
    return found


@lru_cache(maxsize=1)
def _poisson() -> FloatArray:
    """(GRID², SECTORS): the weight of each sector of the rim at each point of a coarse grid; rows sum to 1."""
    radius, angle = (values.reshape(-1, 1) for values in _polar(_GRID, _GRID))
    r = np.minimum(radius, _MAX_RADIUS)
    middle = ((np.arange(_SECTORS) + 0.5) / _SECTORS - 0.5) * 2 * np.pi
    kernel = (1 - r**2) / (1 - 2 * r * np.cos(angle - middle[None]) + r**2)
    weights: FloatArray = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


@lru_cache(maxsize=1024)
def _stretch(side: int) -> FloatArray:
    """(side, GRID): linear interpolation from the grid's points to pixel centers, edges repeated."""
    at = np.clip((np.arange(side) + 0.5) / side * _GRID - 0.5, 0, _GRID - 1)
    low = np.minimum(at.astype(np.int64), _GRID - 2)
    weights = np.zeros((side, _GRID), np.float32)
    weights[np.arange(side), low] = 1 - (at - low)
    weights[np.arange(side), low + 1] = at - low
    return weights
