"""Is there as much detail as in real pictures? Radial power spectra, in dB.

Decides what random feature networks do not see: blur, noise, checkerboards. The statistic is the largest difference of
mean log power over radial frequency bands. Pure numpy.

>>> rng = np.random.default_rng(0)
>>> tiles = rng.integers(0, 256, size=(8, 32, 32, 3)).astype(np.uint8)
>>> spectrum_gap_db(radial_spectrum_db(tiles), radial_spectrum_db(tiles))
0.0
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.gates.evidence import Measurement, measured
from edgewright.gates.measure.resample import shift_interval, tile_rows
from edgewright.gates.measure.tile_metrics import Rounds
from edgewright.gates.measure.tiles import Tiles

Spectra = npt.NDArray[np.float64]
"""(N, BANDS) float64 dB: mean power in rings of equal width up to the Nyquist frequency, lowest first."""

BANDS = 8
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_FLOOR = 0.5**2
"""Power per pixel below which nothing is seen: half a gray level. Keeps empty tiles from giving -inf dB."""


def radial_spectrum_db(tiles: Tiles) -> Spectra:
    """(N, S, S, 3) uint8 => (N, BANDS) dB of the Hann-windowed luma, mean removed."""
    side = tiles.shape[1]
    window = np.hanning(side)[:, None] * np.hanning(side)[None, :]
    ring = _rings(side)
    counts = np.bincount(ring.reshape(-1), minlength=BANDS + 1)[:BANDS]
    spectra = np.empty((len(tiles), BANDS))
    for index, tile in enumerate(tiles):
        luma = tile @ _LUMA
        power = np.square(np.abs(np.fft.fft2((luma - luma.mean()) * window))) / np.square(window).sum()
        sums = np.bincount(ring.reshape(-1), weights=power.reshape(-1), minlength=BANDS + 1)[:BANDS]
        spectra[index] = 10 * np.log10(sums / np.maximum(counts, 1) + _FLOOR)
    return spectra


def spectrum_gap_db(a: Spectra, b: Spectra) -> float:
    """Largest absolute difference, over the bands, of the two sets' mean dB."""
    return float(np.abs(a.mean(axis=0) - b.mean(axis=0)).max())


def measure_spectrum(
    synthetic: Spectra, train: Spectra, held_out: Spectra, rounds: Rounds, *, tiles_per_image: int, n: int
) -> Measurement:
    """`spectrum_excess_db`: the median gap of half-samples of (S, H) above the 95 % quantile of that of (T, H).

    Both over half-samples: a gap is the larger, the fewer pictures it is taken from.
    """

    def gaps(fake: Spectra, pictures: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        rows = [
            (tile_rows(a, tiles_per_image=tiles_per_image), tile_rows(b, tiles_per_image=tiles_per_image))
            for a, b in zip(pictures, rounds.held_out, strict=True)
        ]
        return np.array([spectrum_gap_db(fake[mine], held_out[real]) for mine, real in rows])

    usual = float(np.quantile(gaps(train, rounds.train), 0.95))
    drawn = gaps(synthetic, rounds.synthetic)
    excess = float(np.median(drawn)) - usual
    interval = shift_interval(excess, drawn)
    return measured("spectrum_excess_db", excess, interval=interval, n=n, baseline=usual)


def _rings(side: int) -> npt.NDArray[np.int64]:
    """(side, side) band of each frequency; BANDS for the corners beyond Nyquist and for the constant."""
    frequency = np.fft.fftfreq(side)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    ring = np.minimum((radius / 0.5 * BANDS).astype(np.int64), BANDS)
    ring[0, 0] = BANDS
    return np.asarray(ring)
