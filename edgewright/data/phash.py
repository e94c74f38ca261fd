"""A 64-bit perceptual hash, and which pictures are near-duplicates by it.

Decides the distance at which two pictures are one: not a constant, but the largest at which chance alone would give
less than half a pair in *this* set, judged by the set's own distance histogram and capped. Pictures of a fixed camera
resemble each other; where they do so too much for the hash to tell, only identical files are duplicates. Own code:
rounded, so that processors agree on the bits; imagehash rounds nothing, and brings PyWavelets.

>>> choose_threshold(np.bincount([32] * 900 + [30] * 400 + [34] * 400, minlength=65))
6
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

HASH_BITS = 64
MAX_THRESHOLD_BITS = 6
EXPECTED_CHANCE_PAIRS = 0.5
_SIDE_PX = 32
_MIDDLE = 31
"""The median's place among 63."""
_MIN_SPREAD_BITS = 1.0
_BLOCK = 256
_NO_PAIR = 255
Histogram = npt.NDArray[np.int64]
"""(65,) pairs by Hamming distance."""


@dataclass(frozen=True)
class Duplicates:
    """Near-duplicate pairs.

    Attributes:
        threshold_bits: pairs up to this Hamming distance count; -1: identical files alone.
        histogram: number of pairs by distance, 0 to 64 bits.
        pairs: (id, id, distance in bits), closest first.
    """

    threshold_bits: int
    histogram: tuple[int, ...]
    pairs: tuple[tuple[str, str, int], ...]


def perceptual_hash(picture: PillowImage.Image) -> str:
    """16 hex digits: signs of the 8×8 lowest DCT coefficients against their median (Zauner, pHash, 2010).

    Law: equal pixels give equal hashes. A picture of one gray has the hash 0.
    """
    gray = picture.convert("L").resize((_SIDE_PX, _SIDE_PX), PillowImage.Resampling.BILINEAR, reducing_gap=3.0)
    basis = _dct_basis()
    low = basis @ np.asarray(gray, dtype=np.float64) @ basis.T
    low = np.round(low.reshape(-1), 3)  # the last bits differ between processors
    low[0] = 0.0  # the mean brightness says nothing about the picture
    bits = np.packbits(low > np.sort(low[1:])[_MIDDLE])
    return bits.tobytes().hex()


def find_duplicates(hashes: Sequence[tuple[str, str, str]]) -> Duplicates:
    """From (id, perceptual hash, sha256) of every picture, sorted by id. Quadratic in time, not in memory."""
    ids = [item[0] for item in hashes]
    values = np.array([int(item[1], 16) for item in hashes], dtype=np.uint64)
    histogram = np.zeros(HASH_BITS + 1, dtype=np.int64)
    near: list[tuple[int, int, int]] = []
    for start in range(0, len(values), _BLOCK):
        distance = _distances(values, start)
        histogram += np.bincount(distance.reshape(-1), minlength=_NO_PAIR + 1)[: HASH_BITS + 1]
        rows, columns = np.nonzero(distance <= MAX_THRESHOLD_BITS)
        found = distance[rows, columns]
        near += zip((rows + start).tolist(), (columns + start).tolist(), found.tolist(), strict=True)
    threshold = choose_threshold(histogram)
    pairs = [(ids[i], ids[j], bits) for i, j, bits in near if bits <= threshold or (hashes[i][2] == hashes[j][2])]
    return Duplicates(threshold, tuple(histogram.tolist()), tuple(sorted(pairs, key=lambda pair: (pair[2], pair))))


def choose_threshold(histogram: Histogram) -> int:
    """The largest distance up to MAX_THRESHOLD_BITS at which chance explains less than half a pair; -1: none.

    Chance is a normal law with the median and the spread (1.4826 MAD) of all distances, which near-duplicates, being
    few among the pairs, do not move.
    """
    pairs = int(histogram.sum())
    if pairs == 0:
        return -1
    distances = np.arange(HASH_BITS + 1)
    center = _weighted_median(distances, histogram)
    spread = max(1.4826 * _weighted_median(np.abs(distances - center), histogram), _MIN_SPREAD_BITS)
    chance = [pairs * _normal_cdf((bits + 0.5 - center) / spread) for bits in range(MAX_THRESHOLD_BITS + 1)]
    return max((bits for bits, expected in enumerate(chance) if expected < EXPECTED_CHANCE_PAIRS), default=-1)


def _distances(values: npt.NDArray[np.uint64], start: int) -> npt.NDArray[np.uint8]:
    """Bits between the pictures of one block and those from it on; _NO_PAIR where i >= j."""
    block = values[start : start + _BLOCK]
    distance: npt.NDArray[np.uint8] = np.bitwise_count(block[:, None] ^ values[None, start:])
    distance[np.tril_indices(len(block))] = _NO_PAIR
    return distance


@cache
def _dct_basis() -> npt.NDArray[np.float64]:
    """(8, 32): the lowest rows of the DCT-II (Ahmed, Natarajan, Rao, 1974)."""
    k, n = np.arange(8)[:, None], np.arange(_SIDE_PX)[None, :]
    return np.cos(np.pi * k * (2 * n + 1) / (2 * _SIDE_PX)) * math.sqrt(2 / _SIDE_PX)


def _weighted_median(values: npt.NDArray[np.int64], weights: Histogram) -> int:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return int(values[order][np.searchsorted(total, total[-1] / 2)])


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
