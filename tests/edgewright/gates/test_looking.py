"""Scale, tiles, features, spectra and half-samples: what the data gate sees of a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.data.rows import Row
from edgewright.errors import InputError
from edgewright.gates.controls import blurred, noisy
from edgewright.gates.features import embedding_digest, fit_space, random_extractor
from edgewright.gates.likeness import Rounds
from edgewright.gates.resample import halves, ratio_interval, shift_interval, tile_rows
from edgewright.gates.spectrum import measure_spectrum, radial_spectrum_db, spectrum_gap_db
from edgewright.gates.tiles import Scale, centered_corners, cut_tiles, random_corners
from edgewright.runtime.boxes import Boxes


def pictures(n: int, *, side: int = 32, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, size=(n, side, side, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    "wh",
    [
        (640, 480),  # a photograph: reduced twice
        (192, 144),  # a synthetic picture: reduced once
        (96, 72),  # smaller than both: enlarged
    ],
)
def test_everything_ends_at_one_scale(wh: tuple[int, int]) -> None:
    scale = Scale.of([Row(id=str(i), sha256="", width=192, height=144) for i in range(3)])
    assert (scale.synthetic_px, scale.common_px) == (192, 144)
    assert scale.reduce(np.zeros((wh[1], wh[0], 3), np.uint8)).shape == (108, 144, 3)


def test_tiles_are_cut_where_asked_and_mirrored_at_the_border() -> None:
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    inside, outside = cut_tiles(image, [(1, 0), (-2, 3)], tile_px=3)
    np.testing.assert_array_equal(inside, image[:3, 1:4])
    np.testing.assert_array_equal(outside, image[[3, 3, 2]][:, [1, 0, 0]])
    corners = random_corners(image, tile_px=3, count=50, rng=np.random.default_rng(0))
    assert {x for x, _ in corners} == {0, 1, 2}
    assert {y for _, y in corners} == {0, 1}
    assert centered_corners(Boxes.of([[10, 20, 30, 40]], class_id=[0]), scale=0.5, tile_px=4) == [(8, 13)]


def test_equal_seeds_are_equal_spaces_and_digests_tell_them_apart() -> None:
    tiles = pictures(6)
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


def test_the_spectrum_sees_blur_and_noise_and_not_light() -> None:
    rng = np.random.default_rng(0)
    smooth = [blurred(blurred(tile)) for tile in pictures(24)]
    usual = radial_spectrum_db(np.stack(smooth[:12]))
    fresh = spectrum_gap_db(usual, radial_spectrum_db(np.stack(smooth[12:])))
    brighter = spectrum_gap_db(usual, radial_spectrum_db(np.stack([tile // 2 + 100 for tile in smooth[:12]]) * 1))
    assert fresh < 1.5
    assert brighter == pytest.approx(20 * np.log10(2), abs=1.0)  # half the contrast is 6 dB in every band
    assert spectrum_gap_db(usual, radial_spectrum_db(np.stack([blurred(tile) for tile in smooth[12:]]))) > 5
    noise = np.stack([noisy(tile, sd=25, rng=rng) for tile in smooth[12:]])
    assert spectrum_gap_db(usual, radial_spectrum_db(noise)) > 5


def test_the_excess_of_a_perfect_generator_is_the_same_for_any_number_of_pictures() -> None:
    """Both gaps are of half-samples: neither has the advantage of more pictures."""
    rng = np.random.default_rng(0)
    found = []
    for n in (40, 160):
        sets = [rng.normal(0, 4, size=(n, 8)) for _ in range(3)]
        rounds = Rounds.draw(n_matched=n, n_held_out=n, rounds=200, rng=rng)
        one = measure_spectrum(*sets, rounds, tiles_per_image=1, n=n)
        assert one.value is not None and one.low is not None and one.baseline is not None
        assert one.value < 0
        assert one.low < one.value
        found.append(-one.value / one.baseline)
    assert found[0] == pytest.approx(found[1], abs=0.25)


@given(st.integers(2, 40), st.integers(0, 5))
def test_a_half_sample_holds_no_picture_twice(n: int, seed: int) -> None:
    drawn = halves(n, rounds=7, rng=np.random.default_rng(seed))
    assert drawn.shape == (7, n // 2)
    assert all(len(set(row)) == n // 2 and set(row) <= set(range(n)) for row in drawn.tolist())


def test_half_samples_have_the_variance_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=60)
    means = np.array([values[row].mean() for row in halves(60, rounds=4000, rng=np.random.default_rng(1))])
    assert means.std() == pytest.approx(values.std(ddof=1) / np.sqrt(60), rel=0.05)


def test_intervals_hold_the_estimate() -> None:
    rounds = np.array([0.8, 1.0, 1.2, 1.1, 0.9]) * 3
    assert tile_rows(np.array([0, 2]), tiles_per_image=2).tolist() == [0, 1, 4, 5]
    low, high = ratio_interval(2.0, rounds)
    assert 1.6 <= low < 2.0 < high <= 2.4
    low, high = shift_interval(-1.0, rounds)
    assert -1.6 <= low < -1.0 < high <= -0.4
    assert ratio_interval(0.0, np.zeros(5)) == (0.0, 0.0)  # nothing is covered in any round
