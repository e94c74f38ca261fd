"""Lens and sensor: what happens to light between the belt and the file.

Decides blur, vignette, shot and read noise and the tone curve. Works on linear light.

>>> blur(np.eye(5, dtype=np.float32), sigma_px=0.0)[2, 2]
np.float32(1.0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewright.runtime.boxes import FloatArray, Image

OVERSAMPLING = 2
"""Samples along each side of a pixel, where outlines are drawn."""
_TONE_STEPS = 4095
_TONE = np.round(255 * np.linspace(0, 1, _TONE_STEPS + 1) ** (1 / 2.2)).astype(np.uint8)  # sRGB's overall gamma


@dataclass(frozen=True)
class Exposure:
    """One exposure.

    Attributes:
        defocus_px: sigma of the lens blur.
        motion_px: how far the belt moved while the shutter was open, along x.
        gain: light to sensor value.
        electrons: full-well capacity: fewer means more shot noise.
        white: gain of red, green, blue.
        flicker: depth of the bands that mains light leaves on a rolling shutter.
        flicker_phase: where the bands begin, in turns.
    """

    defocus_px: float
    motion_px: float
    gain: float
    electrons: float
    white: tuple[float, float, float]
    flicker: float
    flicker_phase: float


def expose(light: FloatArray, exposure: Exposure, rng: np.random.Generator) -> Image:
    """(H, W, 3) linear light => (H, W, 3) uint8 RGB."""
    seen = blur(light, sigma_px=exposure.defocus_px)
    seen = _smear(seen, length_px=exposure.motion_px)
    rows = np.linspace(0, 1, light.shape[0], dtype=np.float32)[:, None, None]
    bands = 1 + exposure.flicker * np.sin(2 * np.pi * (2.5 * rows + exposure.flicker_phase))
    seen = seen * (bands * exposure.gain * np.array(exposure.white, dtype=np.float32)) * _vignette(light.shape[:2])
    sigma = np.sqrt(np.maximum(seen, 0) / exposure.electrons + 0.0035**2)
    noisy = seen + sigma * rng.standard_normal(seen.shape, dtype=np.float32)
    rolled = np.where(noisy > 0.75, 1 - 0.25 * np.exp(-(noisy - 0.75) / 0.25), noisy)  # highlights roll off softly
    return np.asarray(_TONE[(np.clip(rolled, 0, 1) * _TONE_STEPS).astype(np.int32)], dtype=np.uint8)


def blur(picture: FloatArray, *, sigma_px: float) -> FloatArray:
    """Gaussian blur over the first two axes, edges repeated; sigma 0 returns the picture."""
    reach = int(np.ceil(2.5 * sigma_px))
    if reach == 0:
        return picture
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    return _convolve(_convolve(picture, taps / taps.sum(), axis=0), taps / taps.sum(), axis=1)


def average_samples(samples: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """(H·k, W·k, …) => (H, W, …): means over the OVERSAMPLING × OVERSAMPLING samples of each pixel."""
    height, width = samples.shape[0] // OVERSAMPLING, samples.shape[1] // OVERSAMPLING
    blocks = samples.reshape(height, OVERSAMPLING, width, OVERSAMPLING, *samples.shape[2:])
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def value_noise(shape: tuple[int, int], *, cell_px: float, rng: np.random.Generator) -> FloatArray:
    """(H, W) smooth noise, about uniform in [-1, 1]: random values on a lattice, interpolated with a smooth step."""
    rows, cols = (int(np.ceil(side / cell_px)) + 2 for side in shape)
    lattice = rng.uniform(-1, 1, (rows, cols)).astype(np.float32)
    (y0, fy), (x0, fx) = _lattice_steps(shape[0], cell_px), _lattice_steps(shape[1], cell_px)
    along_y = lattice[y0] * (1 - fy)[:, None] + lattice[y0 + 1] * fy[:, None]
    return np.asarray(along_y[:, x0] * (1 - fx) + along_y[:, x0 + 1] * fx, dtype=np.float32)


def _lattice_steps(n: int, cell_px: float) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], FloatArray]:
    position = np.arange(n) / cell_px
    index = position.astype(np.int64)
    fraction = (position - index).astype(np.float32)
    return index, fraction * fraction * (3 - 2 * fraction)


def _smear(picture: FloatArray, *, length_px: float) -> FloatArray:
    """Motion blur along x: a box of `length_px`, its ends weighted."""
    reach = int(np.ceil(length_px / 2))
    taps = np.clip(length_px / 2 + 0.5 - np.abs(np.arange(-reach, reach + 1)), 0, 1)
    return picture if reach == 0 else _convolve(picture, taps / taps.sum(), axis=1)


def _convolve(picture: FloatArray, taps: np.ndarray[tuple[int], np.dtype[np.float64]], *, axis: int) -> FloatArray:
    reach = len(taps) // 2
    pad = [(reach, reach) if side == axis else (0, 0) for side in range(picture.ndim)]
    padded = np.pad(picture, pad, mode="edge")
    n = picture.shape[axis]
    windows = (padded[start : start + n] if axis == 0 else padded[:, start : start + n] for start in range(len(taps)))
    total = np.zeros_like(picture)
    for tap, window in zip(taps, windows, strict=True):
        total += np.float32(tap) * window
    return total


def _vignette(shape: tuple[int, int]) -> FloatArray:
    """(H, W, 1): cos⁴ law of a lens that sees 46° across the corners."""
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    return np.asarray((1 + 0.09 * (x * x + y * y)) ** -2, dtype=np.float32)[..., None]
