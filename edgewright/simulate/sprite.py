"""From a part to pixels: shading, coverage, shadow.

Decides how metal looks under the line's lamps: a mirror of a soft box lamp in dark surroundings, turning marks that
light up in two opposite sectors, stains. Sprites are drawn at twice the resolution and averaged down.

    light = Light(azimuth_rad=1.0, elevation_rad=0.9)
    sprite = draw_sprite(draw_part(rng), light=light, rng=rng)
    shadow_of(sprite, light=light, pad_px=12)      # (H + 24, W + 24)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.runtime.boxes import FloatArray
from edgewright.simulate.lens import OVERSAMPLING, average_samples, blur, value_noise
from edgewright.simulate.parts import Part, Relief, relief

_MARGIN_PX = 2


@dataclass(frozen=True)
class Light:
    """Where the key lamp stands, seen from the belt."""

    azimuth_rad: float
    elevation_rad: float

    @property
    def direction(self) -> tuple[float, float, float]:
        """Unit vector towards the lamp: x right, y down, z towards the camera."""
        flat = float(np.cos(self.elevation_rad))
        return (
            flat * float(np.cos(self.azimuth_rad)),
            flat * float(np.sin(self.azimuth_rad)),
            float(np.sin(self.elevation_rad)),
        )


@dataclass(frozen=True)
class Sprite:
    """A drawn object, ready to be laid onto the belt.

    Attributes:
        rgb: (H, W, 3) linear light.
        coverage: (H, W) [0, 1], how much of each pixel the object covers.
        lift_px: its height, which decides the shadow.
    """

    rgb: FloatArray
    coverage: FloatArray
    lift_px: float


def draw_sprite(part: Part, *, light: Light, rng: np.random.Generator) -> Sprite:
    """A part as it looks under the light; its center falls on a random place within a pixel."""
    side_px = 2 * (int(np.ceil(part.radius_px)) + _MARGIN_PX)
    u, v, r = _part_grid(part, side_px, (rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)))
    shape = relief(part, u, v)
    coverage = np.clip(shape.inside_px * OVERSAMPLING + 0.5, 0, 1)
    shade = _metal_light(part, shape, _angle_on_picture(part, u, v), light=light, rng=rng)
    rings = 1 + part.metal.grain * 0.35 * np.interp(r, *_ring_marks(part, rng)).astype(np.float32) * shape.turned
    dirt = 1 - part.metal.stain * _stains(u.shape[0], rng)
    rgb = (shade * rings * dirt)[..., None] * _tint(part, rng)
    return Sprite(
        average_samples(rgb * coverage[..., None]), average_samples(coverage), float(shape.height_px.max()) * 0.8
    )


def _part_grid(part: Part, side_px: int, shift_xy: tuple[float, float]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The part's own coordinates `u, v` and its radius at every sample, px."""
    axis = (np.arange(side_px * OVERSAMPLING, dtype=np.float32) + 0.5) / OVERSAMPLING - side_px / 2
    x, y = axis[None, :] - np.float32(shift_xy[0]), axis[:, None] - np.float32(shift_xy[1])
    cos, sin = np.float32(np.cos(part.angle_rad)), np.float32(np.sin(part.angle_rad))
    u = np.asarray(x * cos + y * sin, dtype=np.float32)
    v = np.asarray(y * cos - x * sin, dtype=np.float32)
    return u, v, np.hypot(u, v)


def _angle_on_picture(part: Part, u: FloatArray, v: FloatArray) -> FloatArray:
    return np.asarray(np.arctan2(v, u) + part.angle_rad, dtype=np.float32)


def _metal_light(part: Part, shape: Relief, angle: FloatArray, *, light: Light, rng: np.random.Generator) -> FloatArray:
    """(H, W) linear light that leaves the metal towards the camera, before its color."""
    slope_y, slope_x = np.gradient(shape.height_px * OVERSAMPLING)
    slope_x += rng.normal(0, 0.06)  # no part lies perfectly flat
    slope_y += rng.normal(0, 0.06)
    nz = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    nx, ny = -slope_x * nz, -slope_y * nz
    lx, ly, lz = light.direction
    diffuse = np.maximum(nx * lx + ny * ly + nz * lz, 0)
    facing = 2 * nz * (nx * lx + ny * ly + nz * lz) - lz  # mirrored view · lamp
    lamp = np.exp(-(1 - facing) / 0.16)
    horizon = np.clip(2 * nz * nz - 1, 0, 1)  # steep faces mirror the dark hall
    sector = np.cos(angle - light.azimuth_rad) ** 6 * shape.turned * part.metal.grain
    mirror = 0.07 + 0.3 * horizon + 1.2 * lamp + 1.0 * sector
    return np.asarray(part.metal.gloss * mirror + (1 - part.metal.gloss) * 0.9 * diffuse, dtype=np.float32)


def _ring_marks(part: Part, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Turning marks: brightness over the radius."""
    radius = np.arange(0, part.radius_px * 1.5, 0.5, dtype=np.float32)
    return radius, rng.standard_normal(len(radius)).astype(np.float32)


def _stains(side: int, rng: np.random.Generator) -> FloatArray:
    """(side, side) [0, 1] blotches."""
    return np.asarray(np.clip(1.2 * value_noise((side, side), cell_px=10, rng=rng) + 0.3, 0, 1), dtype=np.float32)


def _tint(part: Part, rng: np.random.Generator) -> FloatArray:
    """The metal's color; two parts of one batch differ a little."""
    return np.array(part.metal.rgb, dtype=np.float32) * (rng.uniform(0.85, 1.1) * rng.uniform(0.97, 1.03, 3)).astype(
        np.float32
    )


def shadow_of(sprite: Sprite, *, light: Light, pad_px: int) -> FloatArray:
    """(H + 2 pad, W + 2 pad) share of light that the sprite keeps from what lies under it."""
    cover = np.pad(sprite.coverage, pad_px)
    reach = sprite.lift_px / float(np.tan(light.elevation_rad))
    lx, ly, _ = light.direction
    length = float(np.hypot(lx, ly))
    cast = np.zeros_like(cover)
    for share in (0.35, 0.7, 1.0):
        shift = (round(-ly / length * reach * share), round(-lx / length * reach * share))
        cast = np.maximum(cast, np.roll(cover, shift, axis=(0, 1)))
    contact = blur(cover, sigma_px=1.6)
    return np.clip(0.68 * blur(cast, sigma_px=1.2) + 0.35 * contact, 0, 0.85)
