"""Our metrics against the published packages, on the same features."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_mmd
from torch_fidelity.metric_prc import prc_features_to_metric

from edgewright.gates.measure.metrics import (
    Features,
    frechet_distance,
    mmd_squared,
    neighbor_scores,
    pairwise_distances,
    polynomial_kernel,
)
from edgewright.gates.spaces.blocks import blockwise_neighbor_scores, kernel_distance


def features(n: int, *, width: int, seed: int, shift: float = 0.0) -> Features:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)) @ rng.normal(size=(width, width)) / np.sqrt(width) + shift


SETS = [
    (features(700, width=24, seed=0), features(600, width=24, seed=1, shift=0.2)),
    (features(90, width=64, seed=2), features(120, width=64, seed=3, shift=0.5)),
    (features(40, width=64, seed=4), features(50, width=64, seed=5)),  # fewer rows than columns
]


@pytest.mark.parametrize(("real", "fake"), SETS)
def test_frechet_distance_is_torch_fidelitys(real: Features, fake: Features) -> None:
    statistics = [fid_features_to_statistics(torch.from_numpy(each)) for each in (fake, real)]
    with contextlib.redirect_stderr(io.StringIO()):
        theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    if len(real) > real.shape[1]:
        assert frechet_distance(real, fake) == pytest.approx(theirs, rel=1e-6)
    else:  # theirs takes the root of a singular matrix
        assert frechet_distance(real, fake) == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize(("real", "fake"), SETS)
def test_kernel_distance_is_torch_fidelitys(real: Features, fake: Features) -> None:
    n = min(len(real), len(fake))
    theirs = kernel_mmd(real[:n], fake[:n])
    assert kernel_distance(real[:n], fake[:n]) == pytest.approx(float(theirs), rel=1e-6, abs=1e-9)
    kernels = [polynomial_kernel(*both) for both in ((real, real), (fake, fake), (real, fake))]  # as the gate has them
    assert kernel_distance(real, fake) == pytest.approx(mmd_squared(*kernels), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("real", "fake"), SETS)
@pytest.mark.parametrize("k", [3, 5])
def test_neighbor_scores_are_prdcs(real: Features, fake: Features, k: int) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = compute_prdc(real_features=real, fake_features=fake, nearest_k=k)
    ours = neighbor_scores(
        pairwise_distances(real, real), pairwise_distances(fake, fake), pairwise_distances(real, fake), k=k
    )
    found = {"precision": ours.precision, "recall": ours.recall, "density": ours.density, "coverage": ours.coverage}
    assert found == pytest.approx(theirs, abs=1e-6)
    assert blockwise_neighbor_scores(real, fake, k=k) == ours


def test_precision_and_recall_are_torch_fidelitys_with_the_generated_set_first() -> None:
    real, fake = SETS[0]
    theirs = prc_features_to_metric(
        torch.from_numpy(fake), torch.from_numpy(real), prc_neighborhood=3, prc_batch_size=256, verbose=False
    )
    ours = blockwise_neighbor_scores(real, fake, k=3)
    assert ours.precision == pytest.approx(theirs["precision"], abs=1e-6)
    assert ours.recall == pytest.approx(theirs["recall"], abs=1e-6)
