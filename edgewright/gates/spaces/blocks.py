"""KID and the neighbor scores of large sets, a block of rows at a time: memory grows with n, not with n².

Decides nothing new: the same numbers as `metrics.py`, without its (N, M) matrices. For features of thousands of
pictures; the gate itself cuts its matrices for each round and keeps them.

>>> rng = np.random.default_rng(0)
>>> a = rng.normal(size=(300, 4))
>>> kernel_distance(a[:150], a[150:]) < 0.5 < kernel_distance(a, a + 1)
True
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from edgewright.errors import InputError
from edgewright.gates.measure.metrics import (
    Features,
    Matrix,
    NeighborScores,
    require_sets,
)

BLOCK_ROWS = 512
_Floats = npt.NDArray[np.float64]


def blockwise_neighbor_scores(real: Features, fake: Features, *, k: int) -> NeighborScores:
    """Precision, recall, density and coverage, as `metrics.neighbor_scores` of the three distance matrices."""
    require_sets(real, fake, at_least=1)
    center = fake.mean(axis=0)
    real, fake = real - center, fake - center
    real_radii, fake_radii = _squared_radii(real, k=k), _squared_radii(fake, k=k)
    held = np.zeros(len(fake), dtype=np.int64)
    covered = recalled = 0
    for rows, squared in _squared_blocks(real, fake):
        inside = squared <= real_radii[rows, None]
        held += inside.sum(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((squared <= fake_radii[None, :]).any(axis=1).sum())
    return NeighborScores(
        precision=float((held > 0).mean()),
        recall=recalled / len(real),
        density=float(held.mean() / k),
        coverage=covered / len(real),
    )


def kernel_distance(a: Features, b: Features) -> float:
    """KID: `metrics.mmd_squared` with the polynomial kernel (Bińkowski et al. 2018); each pair is looked at once.

    Laws: symmetric; blind to the order of rows.
    """
    require_sets(a, b, at_least=2)
    within = [_kernel_sum_within(each) / (len(each) * (len(each) - 1)) for each in (a, b)]
    across = sum(float(_kernel(a[rows], b).sum()) for rows in _blocks(len(a)))
    return within[0] + within[1] - 2 * across / (len(a) * len(b))


def _kernel_sum_within(features: Features) -> float:
    """Sum over all pairs of different rows."""
    total = 0.0
    for rows in _blocks(len(features)):
        block = _kernel(features[rows], features[rows.start :])
        own = block[:, : block.shape[0]]
        total += float(own.sum() - np.trace(own)) + 2 * float(block[:, block.shape[0] :].sum())
    return total


def _kernel(a: Features, b: Features) -> Matrix:
    inner = a @ b.T
    inner /= a.shape[1]
    inner += 1.0
    return np.asarray(inner * inner * inner)


def _squared_radii(features: Features, *, k: int) -> _Floats:
    """Squared distance of each row to its k-th nearest other row; every pair is looked at once."""
    if not 1 <= k < len(features):
        raise InputError("too few samples for k neighbors", expected=f"> {k}", got=len(features))
    nearest = np.full((len(features), k), np.inf)
    for rows in _blocks(len(features)):
        squared = _squared(features[rows], features[rows.start :])
        own = squared[:, : len(squared)]
        np.fill_diagonal(own, np.inf)
        later = slice(rows.start + len(squared), None)
        nearest[rows] = _smallest(np.concatenate([nearest[rows], squared], axis=1), k=k)
        mirrored = np.ascontiguousarray(squared[:, len(squared) :].T)
        nearest[later] = _smallest(np.concatenate([nearest[later], mirrored], axis=1), k=k)
    return np.asarray(nearest.max(axis=1))


def _smallest(values: Matrix, *, k: int) -> Matrix:
    """(N, M) => (N, k): the k smallest of each row, in no order."""
    return np.asarray(np.partition(values, k - 1, axis=1)[:, :k])


def _squared(a: Features, b: Features) -> Matrix:
    block = a @ b.T
    block *= -2
    block += np.square(b).sum(axis=1)
    block += np.square(a).sum(axis=1)[:, None]
    return np.asarray(np.maximum(block, 0.0, out=block))


def _squared_blocks(a: Features, b: Features) -> Iterator[tuple[slice, Matrix]]:
    return ((rows, _squared(a[rows], b)) for rows in _blocks(len(a)))


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK_ROWS) for start in range(0, n, BLOCK_ROWS))
