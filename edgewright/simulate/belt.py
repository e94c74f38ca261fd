"""The conveyor belt and what lies on it besides parts: wear, seams, dirt, oil, chips, scratches.

Decides the background. Nothing here is labeled; some of it looks like a part to anything that judges by brightness.

>>> strip = draw_strip(np.random.default_rng(0), height_px=64)
>>> strip.shape
(64, 4096, 3)
"""

from __future__ import annotations

import numpy as np

from edgewright.runtime.boxes import FloatArray
from edgewright.simulate.lens import OVERSAMPLING, average_samples, blur, value_noise
from edgewright.simulate.sprite import Light, Sprite

STRIP_PX = 4096
_RUBBER = np.array([0.078, 0.088, 0.086], dtype=np.float32)  # linear reflectance of worn gray PVC
_SEAM_EVERY_PX = 760


def draw_strip(rng: np.random.Generator, *, height_px: int) -> FloatArray:
    """(height, STRIP_PX, 3) linear reflectance of the whole belt, which photographs see pieces of."""
    shape = (height_px, STRIP_PX)
    wear = 0.22 * value_noise(shape, cell_px=90, rng=rng) + 0.12 * value_noise(shape, cell_px=17, rng=rng)
    lanes = 0.16 * blur(rng.standard_normal((height_px, 1)).astype(np.float32), sigma_px=2.5)
    dust = np.clip(blur(rng.standard_normal(shape, dtype=np.float32), sigma_px=1.0) - 0.6, 0, 1) * 0.6
    gray = 1 + _weave(shape) + wear + lanes + dust + 0.05 * rng.standard_normal(shape, dtype=np.float32)
    for x in range(int(rng.integers(_SEAM_EVERY_PX)), STRIP_PX - 12, _SEAM_EVERY_PX):
        _cut_seam(gray, x)
    tint = 1 + 0.05 * value_noise(shape, cell_px=140, rng=rng)[..., None] * np.array([1, 0.2, -1], dtype=np.float32)
    strip = gray[..., None] * _RUBBER * tint
    for _ in range(60):
        _scratch(strip, rng)
    return np.asarray(np.maximum(strip, 0.01), dtype=np.float32)


def spill_oil(belt: FloatArray, rng: np.random.Generator, *, light: Light) -> None:
    """Darken a blob of the belt in place; its wet rim mirrors the lamp."""
    side = int(rng.integers(18, 46))
    y, x = (int(rng.integers(0, max(1, extent - side))) for extent in belt.shape[:2])
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    squeeze = rng.uniform(0.7, 1.4)
    radius = np.hypot(axis[None, :] * squeeze, axis[:, None]) + 0.3 * value_noise((side, side), cell_px=9, rng=rng)
    depth = np.asarray(np.clip((0.75 - radius) * 5, 0, 1), dtype=np.float32)
    slope_y, slope_x = np.gradient(blur(depth, sigma_px=1.2))
    lx, ly, _ = light.direction
    rim = np.clip(-(slope_x * lx + slope_y * ly) * 3.0, 0, 0.5)
    patch = belt[y : y + side, x : x + side]
    patch *= (1 - 0.6 * depth)[..., None]
    patch += np.asarray(rim)[..., None] * 0.35


def draw_chip(rng: np.random.Generator) -> Sprite:
    """Swarf: a thin bright curl of metal, as turning leaves behind."""
    side = int(rng.integers(10, 26))
    axis = (np.arange(side * OVERSAMPLING, dtype=np.float32) + 0.5) / OVERSAMPLING - side / 2
    angle = rng.uniform(0, 2 * np.pi)
    x, y = axis[None, :], axis[:, None]
    turn = np.mod(np.arctan2(y, x) - angle, 2 * np.pi)
    curl = side * (0.2 + 0.035 * turn)
    inside = np.minimum(rng.uniform(0.7, 1.5) - np.abs(np.hypot(x, y) - curl), (rng.uniform(1.8, 5.5) - turn) * 3)
    coverage = np.clip(inside * OVERSAMPLING + 0.5, 0, 1)
    glint = 0.16 + 0.5 * np.abs(np.sin(turn * rng.uniform(1, 3) + angle)) ** 3
    color = rng.uniform(0.5, 1.0) * rng.uniform(0.95, 1.05, 3).astype(np.float32)
    rgb = (glint * coverage)[..., None] * color
    return Sprite(average_samples(rgb), average_samples(coverage), lift_px=1.5)


def _weave(shape: tuple[int, int]) -> FloatArray:
    """The fabric under the coating: a fine diagonal lattice."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(0.05 * np.sin((x + y) * 1.7) + 0.05 * np.sin((x - y) * 1.7), dtype=np.float32)


def _cut_seam(gray: FloatArray, x: int) -> None:
    """The lacing where the belt's ends meet: a slanted dark gap with a light lip."""
    for row in range(gray.shape[0]):
        left = x + row // 24
        gray[row, left : left + 2] *= 0.45
        gray[row, left + 2 : left + 4] *= 1.35
        gray[row, left + 4 : left + 7] *= 1.1


def _scratch(strip: FloatArray, rng: np.random.Generator) -> None:
    """A light, nearly lengthwise line."""
    length = int(rng.integers(20, 160))
    x, y = int(rng.integers(0, STRIP_PX - length)), rng.uniform(0, strip.shape[0] - 1)
    rows = np.clip(np.round(y + rng.normal(0, 0.25) * np.arange(length)), 0, strip.shape[0] - 1).astype(np.int64)
    strip[rows, np.arange(x, x + length)] *= np.float32(rng.uniform(1.25, 1.9))
