"""Metrics against a matrix root, plain loops, and their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import sqrtm

from edgewright.errors import InputError
from edgewright.gates.measure.metrics import (
    Features,
    frechet_distance,
    neighbor_radii,
    neighbor_scores,
    pairwise_distances,
)
from edgewright.gates.spaces.blocks import kernel_distance

FINITE = st.floats(-10, 10, width=32)
SETS = st.tuples(st.integers(7, 15), st.integers(7, 15), st.integers(1, 4)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float64, (shape[0], shape[2]), elements=FINITE),
        arrays(np.float64, (shape[1], shape[2]), elements=FINITE),
    )
)


def gaussian(n: int, width: int, *, seed: int, shift: float = 0.0) -> Features:
    rng = np.random.default_rng(seed)
    return rng.normal(shift, np.linspace(0.5, 2.0, width), size=(n, width))


@pytest.mark.parametrize(
    ("n", "m", "width"),
    [
        (200, 150, 8),  # more samples than features
        (12, 10, 12),  # about as many
    ],
)
def test_frechet_distance_is_the_matrix_root_formula(n: int, m: int, width: int) -> None:
    a, b = gaussian(n, width, seed=0), gaussian(m, width, seed=1, shift=0.3)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(cov_a @ cov_b + 1e-12 * np.eye(width)).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-3)


def test_frechet_distance_of_fewer_samples_than_features_is_finite() -> None:
    a, b = gaussian(5, 40, seed=0), gaussian(6, 40, seed=1)
    assert 0 < frechet_distance(a, b) < 1e4


def test_kid_is_the_unbiased_double_loop() -> None:
    a, b = gaussian(9, 3, seed=0), gaussian(7, 3, seed=1, shift=1)

    def kernel(x: Features, y: Features) -> float:
        return float((x @ y / 3 + 1) ** 3)

    within_a = np.mean([kernel(a[i], a[j]) for i in range(9) for j in range(9) if i != j])
    within_b = np.mean([kernel(b[i], b[j]) for i in range(7) for j in range(7) if i != j])
    across = np.mean([kernel(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across)


def test_kid_of_one_distribution_is_centered_on_zero_and_may_be_negative() -> None:
    values = [kernel_distance(gaussian(40, 4, seed=i), gaussian(40, 4, seed=100 + i)) for i in range(40)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_neighbor_scores_are_their_definitions_in_loops() -> None:
    real, fake, k = gaussian(14, 2, seed=0), gaussian(11, 2, seed=1, shift=0.5), 3

    def radius(points: Features, i: int) -> float:
        return float(sorted(np.linalg.norm(points[i] - p) for j, p in enumerate(points) if j != i)[k - 1])

    real_radii = [radius(real, i) for i in range(14)]
    fake_radii = [radius(fake, i) for i in range(11)]
    inside = [[bool(np.linalg.norm(r - f) <= real_radii[i]) for f in fake] for i, r in enumerate(real)]
    scores = neighbor_scores(
        pairwise_distances(real, real), pairwise_distances(fake, fake), pairwise_distances(real, fake), k=k
    )
    assert scores.precision == pytest.approx(np.mean([any(row[j] for row in inside) for j in range(11)]))
    assert scores.density == pytest.approx(sum(map(sum, inside)) / (k * 11))
    assert scores.coverage == pytest.approx(np.mean([any(row) for row in inside]))
    assert scores.recall == pytest.approx(
        np.mean([any(np.linalg.norm(r - f) <= fake_radii[j] for j, f in enumerate(fake)) for r in real])
    )


def test_coverage_of_a_perfect_model_is_one_minus_two_to_the_minus_k() -> None:
    values = []
    for seed in range(6):
        real, fake = gaussian(200, 6, seed=seed), gaussian(200, 6, seed=50 + seed)
        distances = (pairwise_distances(real, real), pairwise_distances(fake, fake), pairwise_distances(real, fake))
        values.append(neighbor_scores(*distances, k=3).coverage)
    assert np.mean(values) == pytest.approx(1 - 2**-3, abs=0.04)  # Naeem et al. 2020, section 3.3


@settings(max_examples=40, deadline=None)
@given(SETS)
def test_laws(sets: tuple[Features, Features]) -> None:
    a, b = sets
    scale = 1 + float(np.square(a).sum() + np.square(b).sum())
    assert frechet_distance(a, a) <= 1e-6 * scale
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), abs=1e-6 * scale)
    assert frechet_distance(a[::-1], b) == pytest.approx(frechet_distance(a, b), abs=1e-6 * scale)
    assert kernel_distance(a, b) == pytest.approx(kernel_distance(b[::-1], a), rel=1e-6, abs=1e-3)
    expected = np.linalg.norm(a[:, None] - b[None], axis=2)
    np.testing.assert_allclose(pairwise_distances(a, b), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "what"),
    [
        (np.zeros((5, 3)), np.zeros((5, 4)), "unequal width"),
        (np.zeros((1, 3)), np.zeros((5, 3)), "too few"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "not finite"),
        (np.zeros((5, 0)), np.zeros((5, 0)), "unequal width"),  # no features at all
    ],
)
def test_refuses(a: Features, b: Features, what: str) -> None:
    with pytest.raises(InputError, match=what):
        frechet_distance(a, b)


def test_radii_need_more_samples_than_neighbors() -> None:
    with pytest.raises(InputError, match="too few samples for k neighbors"):
        neighbor_radii(np.zeros((5, 5)), k=5)
