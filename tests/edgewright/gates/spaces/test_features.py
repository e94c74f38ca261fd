"""Spaces of features: told apart by their digests, fitted to what varies, refused where nothing does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edgewright.errors import InputError
from edgewright.gates.spaces.features import embedding_digest, fit_space, random_extractor
from tests.scenes import noise_tiles


def test_equal_seeds_are_equal_spaces_and_digests_tell_them_apart() -> None:
    tiles = noise_tiles(6)
    first, again, other = random_extractor(seed=0), random_extractor(seed=0), random_extractor(seed=1)
    np.testing.assert_array_equal(first(tiles), again(tiles))
    assert first.digest == again.digest != other.digest
    assert embedding_digest([first, other]) != embedding_digest([other, first])
    assert first(tiles[:0]).shape == (0, first(tiles).shape[1])


def test_a_space_drops_dead_channels_and_ignores_one_odd_tile() -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(60, 10))
    raw[:, 3] = 1.0  # dead
    raw[:, 4] *= 1e-6  # as good as dead
    space = fit_space(raw, dimensions=4)
    assert space.live.tolist() == [i not in (3, 4) for i in range(10)]
    projected = space.project(raw)
    assert projected.shape == (60, 4)
    assert np.square(projected).sum(axis=1).mean() == pytest.approx(4)
    odd = raw[:1].copy()
    odd[0, 0] = 1e6
    assert np.abs(space.project(odd)).max() < 20


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (np.ones((9, 4)), "all alike"),
        (np.full((9, 4), np.nan), "not finite"),
        (np.zeros((1, 4)), "all alike"),  # one tile
    ],
)
def test_a_space_is_refused(raw: npt.NDArray[np.float64], what: str) -> None:
    with pytest.raises(InputError, match=what):
        fit_space(raw, dimensions=2)


def test_features_of_another_width_or_not_finite_are_refused() -> None:
    space = fit_space(np.random.default_rng(0).normal(size=(20, 4)), dimensions=2)
    with pytest.raises(InputError, match="another width"):
        space.project(np.zeros((3, 5)))
    with pytest.raises(InputError, match="not finite"):
        space.project(np.full((3, 4), np.inf))
    with pytest.raises(InputError, match="not a stack"):
        random_extractor(seed=0)(np.zeros((3, 8, 8), np.uint8))
