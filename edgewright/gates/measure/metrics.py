"""Distances between two sets of feature vectors, by their published definitions, in numpy float64.

Decides nothing and knows nothing of pictures: rows are samples, columns are features. Refuses sets of unequal width,
sets that are too small for the statistic, and numbers that are not finite: no metric ever answers NaN. Own code: the
numbers of torch-fidelity and prdc without torch and scikit-learn, 1.2 to 1.6 times as fast, in less memory (LOG).

>>> rng = np.random.default_rng(0)
>>> a, b = rng.normal(size=(200, 4)), rng.normal(size=(200, 4))
>>> frechet_distance(a, b) < 0.2 < frechet_distance(a, b + 1)
True
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.errors import InputError

Features = npt.NDArray[np.float64]
"""(N, D) float64: a row a sample."""
Matrix = npt.NDArray[np.float64]
"""(N, M) float64: distances or kernel values between the rows of two sets."""

_CHUNK_ROWS = 512
_MIN_PIVOT = 1e-5
"""Of the largest: smaller pivots of Cholesky's factor, and smaller singular values, have lost their digits."""


def frechet_distance(a: Features, b: Features) -> float:
    """`|mu_a - mu_b|² + tr(S_a + S_b - 2 (S_a S_b)^½)`, ≥ 0 (Dowson & Landau 1982; Heusel et al. 2017, arXiv
    1706.08500, eq. 6).

    `tr (S_a S_b)^½` is the nuclear norm of `R_a R_bᵀ`, with `RᵀR` the covariance: no root of a product that is not
    symmetric, so no NaN and no imaginary part, also for n < D. Laws: symmetric; 0 for equal sets; blind to the order
    of rows.
    """
    require_sets(a, b, at_least=2)
    root_a, root_b = _covariance_root(a), _covariance_root(b)
    shift = float(np.square(a.mean(axis=0) - b.mean(axis=0)).sum())
    spread = float(np.square(root_a).sum() + np.square(root_b).sum())
    return max(0.0, shift + spread - 2 * _nuclear_norm(root_a @ root_b.T))


def polynomial_kernel(a: Features, b: Features) -> Matrix:
    """`(x·y / D + 1)³` (Bińkowski et al. 2018, arXiv 1801.01401, section 4)."""
    require_sets(a, b, at_least=1)
    return np.asarray((a @ b.T / a.shape[1] + 1.0) ** 3)


def mmd_squared(within_a: Matrix, within_b: Matrix, across: Matrix) -> float:
    """Unbiased squared maximum mean discrepancy from kernel values (Gretton et al. 2012, eq. 3). May be below 0: never
    clipped."""
    n, m = across.shape
    if within_a.shape != (n, n) or within_b.shape != (m, m) or min(n, m) < 2:
        raise InputError(
            "kernel matrices that do not fit", expected="(n, n), (m, m), (n, m), n and m ≥ 2", got=across.shape
        )
    mean_a = (within_a.sum() - np.trace(within_a)) / (n * (n - 1))
    mean_b = (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
    return float(mean_a + mean_b - 2 * across.mean())


def pairwise_distances(a: Features, b: Features) -> Matrix:
    """Euclidean distances, (N, M); a chunk of rows at a time, so that no third matrix of this size is held."""
    require_sets(a, b, at_least=1)
    return np.concatenate([block for _, block in _distance_blocks(a, b)])


def neighbor_radii(within: Matrix, *, k: int) -> npt.NDArray[np.float64]:
    """Distance of each sample to its k-th nearest *other* sample of the same set, from the set's own distances (N,
    N)."""
    if not 1 <= k < len(within):
        raise InputError("too few samples for k neighbors", expected=f"> {k}", got=len(within))
    others = within + np.diag(np.full(len(within), np.inf))
    return np.asarray(np.partition(others, k - 1, axis=1)[:, k - 1])


@dataclass(frozen=True)
class NeighborScores:
    """Precision and recall of Kynkäänniemi et al. 2019 (arXiv 1904.06991, eq. 1 and 2); density and coverage of Naeem
    et al. 2020 (arXiv 2002.09797, eq. 3 and 4).

    Attributes:
        precision: share of fakes inside at least one ball of a real sample, radius its k-th real neighbor.
        recall: share of reals inside at least one ball of a fake sample.
        density: mean number of real balls that hold a fake, divided by k; may exceed 1.
        coverage: share of real balls that hold at least one fake.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbor_scores(real_real: Matrix, fake_fake: Matrix, real_fake: Matrix, *, k: int) -> NeighborScores:
    """From three distance matrices, (R, R), (F, F) and (R, F). A distance equal to the radius lies inside."""
    in_real_ball = real_fake <= neighbor_radii(real_real, k=k)[:, None]
    in_fake_ball = real_fake <= neighbor_radii(fake_fake, k=k)[None, :]
    return NeighborScores(
        precision=float(in_real_ball.any(axis=0).mean()),
        recall=float(in_fake_ball.any(axis=1).mean()),
        density=float(in_real_ball.sum(axis=0).mean() / k),
        coverage=float(in_real_ball.any(axis=1).mean()),
    )


def _covariance_root(features: Features) -> Matrix:
    """R with `Rᵀ R` the unbiased covariance: the centered rows themselves where they are fewer than the features; else
    Cholesky's factor, or the eigenvectors where that does not exist or a feature is next to nothing given the others.
    """
    centered = features - features.mean(axis=0)
    if len(features) <= features.shape[1]:
        return np.asarray(centered / np.sqrt(len(features) - 1))
    covariance = centered.T @ centered / (len(features) - 1)
    try:
        lower = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return _eigen_root(covariance)
    pivots = lower.diagonal()
    return np.asarray(lower.T) if pivots.min() > _MIN_PIVOT * pivots.max() else _eigen_root(covariance)


def _nuclear_norm(product: Matrix) -> float:
    """The sum of the singular values: roots of the eigenvalues of the smaller Gram matrix, three times as fast as the
    decomposition itself, which is asked where the smallest of them have lost their digits in squaring."""
    wide = product if product.shape[0] <= product.shape[1] else product.T
    values = np.linalg.eigvalsh(wide @ wide.T)
    if values[0] > _MIN_PIVOT**2 * values[-1]:
        return float(np.sqrt(values).sum())
    return float(np.linalg.svd(product, compute_uv=False).sum())


def _eigen_root(covariance: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)


def _distance_blocks(a: Features, b: Features) -> Iterator[tuple[int, Matrix]]:
    """`(first row, distances of up to _CHUNK_ROWS rows)`; both sets are centered first, which keeps the subtraction
    exact."""
    center = b.mean(axis=0)
    near, far = a - center, b - center
    squares = np.square(far).sum(axis=1)
    for start in range(0, len(near), _CHUNK_ROWS):
        rows = near[start : start + _CHUNK_ROWS]
        squared = np.square(rows).sum(axis=1)[:, None] + squares[None, :] - 2 * rows @ far.T
        yield start, np.sqrt(np.maximum(squared, 0.0))


def require_sets(a: Features, b: Features, *, at_least: int) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not a.shape[1]:
        raise InputError("two feature sets of unequal width", expected="(N, D) and (M, D)", got=f"{a.shape}, {b.shape}")
    if min(len(a), len(b)) < at_least:
        raise InputError("too few samples", expected=f"≥ {at_least} a set", got=f"{len(a)}, {len(b)}")
    if not np.isfinite(a).all() or not np.isfinite(b).all():
        raise InputError("features that are not finite numbers")
