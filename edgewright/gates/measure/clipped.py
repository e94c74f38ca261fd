"""Clipped density and clipped coverage, and what single samples say: realism and authenticity.

Decides how the two clipped metrics of Salvy, Talbot & Thirion 2025 (arXiv 2507.01761) are calibrated: their value is
the share of good samples that a set with the rest bad would have. Knows nothing of pictures; works on distance matrices
as `metrics.py` makes them. Refuses what `neighbor_radii` refuses.

>>> float(coverage_calibration(n_real=50, n_fake=50, k=5)[-1].round(2))
0.77
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edgewright.gates.measure.metrics import Matrix, neighbor_radii

_Floats = npt.NDArray[np.float64]


def clipped_density(real_real: Matrix, real_fake: Matrix, *, k: int) -> float:
    """In [0, 1]: `mean_j min(1, c_j / k)` over the fakes, divided by the same mean over the reals.

    `c_j` counts the balls of reals that hold sample j; a ball's radius is the distance to the k-th real neighbor, but
    not more than the median of these radii. A real sample is not counted in its own ball. From (R, R) and (R, F).
    """
    radii = neighbor_radii(real_real, k=k)
    radii = np.minimum(radii, np.median(radii))[:, None]
    fake = np.minimum(1.0, (real_fake <= radii).sum(axis=0) / k).mean()
    others = real_real + np.diag(np.full(len(real_real), np.inf))
    ideal = np.minimum(1.0, (others <= radii).sum(axis=0) / k).mean()
    return float(min(1.0, fake / ideal)) if ideal > 0 else float("nan")


def clipped_coverage(real_real: Matrix, real_fake: Matrix, *, k: int) -> float:
    """In [0, 1], calibrated: `g(mean_i min(1, m_i / k))`, `m_i` the fakes in the ball of real i (radius not clipped).

    `g` inverts `coverage_calibration`: the smallest share of good fakes that is expected to cover as much. Divided by
    `n_fake + 1`, the length of `g`'s table, as the authors' own code does (nicolassalvy/ClippedDensityCoverage): a set
    that covers exactly what is expected of a perfect one has n / (n + 1), one that covers more has 1.
    """
    radii = neighbor_radii(real_real, k=k)[:, None]
    raw = np.minimum(1.0, (real_fake <= radii).sum(axis=1) / k).mean()
    expected = coverage_calibration(n_real=real_fake.shape[0], n_fake=real_fake.shape[1], k=k)
    return float(np.searchsorted(expected, raw) / len(expected))


def coverage_calibration(*, n_real: int, n_fake: int, k: int) -> _Floats:
    """(n_fake + 1,) the coverage to expect where m = 0 … n_fake of the fakes come from the real distribution.

    A ball that reaches the k-th of `n_real - 1` neighbors holds a Beta(k, n_real - k) share of the distribution, so
    `m_i` is beta-binomial, and `E min(m_i, k) = k - Σ_{j<k} (k - j) P(m_i = j)`. Ascending in m.
    """
    m = np.arange(n_fake + 1)
    log_gamma = np.array([0.0, *(math.lgamma(value) for value in range(1, n_real + n_fake + 2))])
    norm = log_gamma[k] + log_gamma[n_real - k] - log_gamma[n_real]
    missing = np.zeros(len(m))
    for j in range(k):
        some = m[m >= j]
        choose = log_gamma[some + 1] - log_gamma[j + 1] - log_gamma[some - j + 1]
        beta = log_gamma[k + j] + log_gamma[n_real - k + some - j] - log_gamma[n_real + some]
        missing[some] += (k - j) * np.exp(choose + beta - norm)
    return np.asarray(np.maximum(1 - missing / k, 0.0))


def realism(real_real: Matrix, real_fake: Matrix, *, k: int) -> _Floats:
    """(F,) `max_i r_i / d(i, j)` over the reals with a radius up to the median (Kynkäänniemi et al. 2019, eq. 3).

    1 and above: inside the real ones' balls. Infinite for a copy of a real sample.
    """
    radii = neighbor_radii(real_real, k=k)
    dense = radii <= np.median(radii)
    with np.errstate(divide="ignore"):
        return np.asarray((radii[dense, None] / real_fake[dense]).max(axis=0))


def authenticity(train_train: Matrix, train_fake: Matrix) -> float:
    """Share of fakes that are farther from their nearest training sample than that one is from its own nearest other
    (Alaa et al. 2022, arXiv 2102.08921, section 3.3). Low: copies. It cannot tell copying from fitting badly."""
    nearest = train_fake.argmin(axis=0)
    own = neighbor_radii(train_train, k=1)[nearest]
    return float((train_fake[nearest, np.arange(train_fake.shape[1])] > own).mean())
