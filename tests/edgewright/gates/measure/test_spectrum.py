"""Spectra: blur and noise are seen, light is not, and more pictures are no advantage."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.gates.measure.spectrum import measure_spectrum, radial_spectrum_db, spectrum_gap_db
from edgewright.gates.measure.tile_metrics import Rounds
from edgewright.gates.selftest.controls import blurred, noisy
from tests.scenes import noise_tiles


def test_the_spectrum_sees_blur_and_noise_and_not_light() -> None:
    rng = np.random.default_rng(0)
    smooth = [blurred(blurred(tile)) for tile in noise_tiles(24)]
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
