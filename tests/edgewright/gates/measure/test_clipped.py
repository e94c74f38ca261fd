"""Clipped density and coverage, realism and authenticity: calibration, and what each is blind to."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.gates.measure.clipped import (
    authenticity,
    clipped_coverage,
    clipped_density,
    coverage_calibration,
    realism,
)
from edgewright.gates.measure.metrics import Features, pairwise_distances


def gaussian(n: int, *, seed: int, width: int = 6) -> Features:
    return np.random.default_rng(seed).normal(size=(n, width))


def both(real: Features, fake: Features) -> tuple[float, float]:
    within, across = pairwise_distances(real, real), pairwise_distances(real, fake)
    return clipped_density(within, across, k=5), clipped_coverage(within, across, k=5)


@pytest.mark.parametrize("bad_share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_both_fall_linearly_with_the_share_of_bad_samples(bad_share: float) -> None:
    real, fake = gaussian(400, seed=0), gaussian(400, seed=1)
    fake[: int(400 * bad_share)] += 100
    density, coverage = both(real, fake)
    assert density == pytest.approx(1 - bad_share, abs=0.08)
    assert coverage == pytest.approx(1 - bad_share, abs=0.12)


def test_one_far_real_sample_does_not_make_everything_realistic() -> None:
    real, fake = gaussian(200, seed=0), gaussian(200, seed=1) + 30
    real[0] += 1000  # its ball holds every fake: density and precision are fooled
    assert both(real, fake)[0] < 0.05


@pytest.mark.parametrize(("n_real", "n_fake"), [(20, 20), (40, 160), (100, 30)])
def test_the_calibration_is_the_expected_coverage(n_real: int, n_fake: int) -> None:
    expected = coverage_calibration(n_real=n_real, n_fake=n_fake, k=5)
    assert expected[0] == 0
    assert (np.diff(expected) > 0).all()
    assert expected[1] == pytest.approx(1 / n_real)  # one fake lies in a ball with chance k / n_real, and fills a k-th
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(300):
        within = np.abs(np.subtract.outer(real := rng.random(n_real), real)) + np.diag(np.full(n_real, np.inf))
        radii = np.partition(within, 4, axis=1)[:, 4]
        held = (np.abs(np.subtract.outer(real, rng.random(n_fake))) <= radii[:, None]).sum(axis=1)
        drawn.append(np.minimum(1, held / 5).mean())
    assert float(np.mean(drawn)) == pytest.approx(float(expected[-1]), abs=0.02)


def test_copies_are_infinitely_realistic_and_not_authentic() -> None:
    train, fresh = gaussian(100, seed=0), gaussian(100, seed=1)
    within = pairwise_distances(train, train)
    copies = pairwise_distances(train, train[:50] + 1e-9)
    assert realism(within, copies, k=5).max() > 1e6
    assert authenticity(within, copies) == 0.0
    assert 0.3 < authenticity(within, pairwise_distances(train, fresh)) < 0.8
    assert authenticity(within, pairwise_distances(train, fresh + 50)) == 1.0  # nor does it see a bad fit
    assert realism(within, pairwise_distances(train, fresh + 50), k=5).max() < 0.2
