"""The parts on the belt: nuts, washers and screws as height fields, and the metals they are made of.

Decides shapes and finishes. Every class comes in every metal and in overlapping sizes, so that neither color nor size
tells them apart. Lengths are px of the photograph.

>>> part = draw_part(np.random.default_rng(0))
>>> CLASSES[part.class_id], part.radius_px <= MAX_RADIUS_PX
('washer', True)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgewright.runtime.boxes import FloatArray

CLASSES = ("nut", "screw", "washer")
MAX_RADIUS_PX = 28.0


@dataclass(frozen=True)
class Metal:
    """How a finish reflects.

    Attributes:
        rgb: reflectance of red, green, blue, linear light [0, 1].
        gloss: share of mirror-like against diffuse reflection.
        grain: strength of the turning marks.
        stain: how much dirt and oxide darken it.
    """

    name: str
    rgb: tuple[float, float, float]
    gloss: float
    grain: float
    stain: float


METALS = (
    #     name            reflectance         gloss  grain  stain
    Metal("zinc",         (0.70, 0.74, 0.80), 0.80,  0.30,  0.10),
    Metal("stainless",    (0.62, 0.60, 0.57), 0.90,  0.45,  0.06),
    Metal("raw steel",    (0.36, 0.36, 0.36), 0.55,  0.35,  0.35),
    Metal("black oxide",  (0.09, 0.09, 0.10), 0.80, 0.20,  0.12),
    Metal("yellow zinc",  (0.58, 0.47, 0.27), 0.75,  0.30,  0.22),
)  # fmt: skip
NYLON = Metal("blue nylon", (0.03, 0.09, 0.34), 0.25, 0.05, 0.08)
METAL_SHARES = (0.27, 0.22, 0.27, 0.14, 0.1)


@dataclass(frozen=True)
class Part:
    """One part, before it lies anywhere.

    Attributes:
        radius_px: half of its longest extent.
        proportion: hole to outer radius (nut, washer); head radius to half length (screw).
        angle_rad: how it lies.
        metal: what it is made of.
        variant: [0, 1), which build of its class: flat or split washer, pan or cylinder head.
        capped: a nut with a dome in place of its hole.
    """

    class_id: int
    radius_px: float
    proportion: float
    angle_rad: float
    metal: Metal
    variant: float
    capped: bool = False


@dataclass(frozen=True)
class Relief:
    """A part seen from above, at the resolution of the grid it was asked for.

    Attributes:
        inside_px: (H, W) distance to the outline; negative outside.
        height_px: (H, W) above the belt; meaningless outside.
        turned: (H, W) [0, 1], where the face carries concentric turning marks.
    """

    inside_px: FloatArray
    height_px: FloatArray
    turned: FloatArray


def draw_part(rng: np.random.Generator, *, capped: bool = False) -> Part:
    """A part by chance: class, build, metal and angle are independent of each other.

    `capped`: nuts are cap nuts of blue nylon; everything else is as without.
    """
    class_id = int(rng.integers(len(CLASSES)))
    low, high, narrow, wide = _RANGES[class_id]
    part = Part(
        class_id=class_id,
        radius_px=float(rng.uniform(low, high)),
        proportion=float(rng.uniform(narrow, wide)),
        angle_rad=float(rng.uniform(0, 2 * np.pi)),
        metal=METALS[rng.choice(len(METALS), p=METAL_SHARES)],
        variant=float(rng.random()),
    )
    return replace(part, metal=NYLON, capped=True) if capped and CLASSES[class_id] == "nut" else part


def relief(part: Part, u: FloatArray, v: FloatArray) -> Relief:
    """The part's height field at the points `(u, v)` px of its own frame, centered, unrotated."""
    return _SHAPES[part.class_id](part, u, v)


def _nut(part: Part, u: FloatArray, v: FloatArray) -> Relief:
    """A hexagon with a threaded hole; the corners are chamfered by a cone, as on a real nut."""
    if part.capped:
        return _cap_nut(part, u, v)
    flat = part.radius_px * np.float32(np.cos(np.pi / 6))
    hole = part.radius_px * part.proportion
    r = np.hypot(u, v)
    slant = np.float32(np.sqrt(3) / 2) * v
    hexagon = flat - np.maximum(np.abs(u), np.maximum(np.abs(u / 2 + slant), np.abs(u / 2 - slant)))
    inside = np.minimum(hexagon, r - hole)
    chamfer = np.maximum(r - 0.94 * flat, 0) * 0.7 + np.maximum(1.28 * hole - r, 0) * 0.9
    height = part.radius_px * 0.7 - chamfer - _rounded_edge(hexagon, radius_px=0.9)
    turned = ((r < 0.94 * flat) & (r > 1.28 * hole)).astype(np.float32)
    return Relief(inside, height.astype(np.float32), turned)


def _cap_nut(part: Part, u: FloatArray, v: FloatArray) -> Relief:
    """A hexagon under a dome."""
    flat = part.radius_px * np.float32(np.cos(np.pi / 6))
    r = np.hypot(u, v)
    slant = np.float32(np.sqrt(3) / 2) * v
    inside = flat - np.maximum(np.abs(u), np.maximum(np.abs(u / 2 + slant), np.abs(u / 2 - slant)))
    dome = np.sqrt(np.maximum((0.82 * flat) ** 2 - r**2, 0))
    height = part.radius_px * 0.35 - _rounded_edge(inside, radius_px=0.9) + dome
    return Relief(inside, height.astype(np.float32), np.zeros_like(u))


def _washer(part: Part, u: FloatArray, v: FloatArray) -> Relief:
    """A flat ring; a third are split spring washers, which are narrower, rounder and cut through."""
    split = part.variant < 0.3
    hole = part.radius_px * (part.proportion + (0.08 if split else 0.0))
    r = np.hypot(u, v)
    inside = np.minimum(part.radius_px - r, r - hole)
    if split:
        cut = np.abs(v + 0.5 * (u - part.radius_px * 0.8)) - 0.07 * part.radius_px
        inside = np.where(u > 0, np.minimum(inside, cut), inside)
    edge_px = 0.4 * (part.radius_px - hole) if split else 1.0
    height = part.radius_px * (0.3 if split else 0.16) - _rounded_edge(inside, radius_px=edge_px)
    return Relief(inside.astype(np.float32), height, np.full_like(r, 0.3 if split else 1.0))


def _screw(part: Part, u: FloatArray, v: FloatArray) -> Relief:
    """A screw lying on its side: a solid of revolution around `u` with a slanted thread."""
    half, head = part.radius_px, part.radius_px * part.proportion
    head_px, shaft = head * (0.75 if part.variant < 0.5 else 1.05), head * 0.6
    pitch = max(1.9, 0.32 * shaft + 0.5)
    phase = (u + 0.45 * v) / pitch
    ripple = np.abs(phase - np.floor(phase) - 0.5) * 2
    tip = np.clip((half - u) / (0.5 * shaft), 0, 1)
    thread = shaft * (0.86 + 0.18 * ripple) * (0.6 + 0.4 * tip)
    from_end = np.clip((u + half) / head_px, 0, 1)
    dome = np.sqrt(np.clip(1 - (1 - from_end) ** 2.4, 0, 1)) if part.variant < 0.5 else np.clip(6 * from_end, 0.8, 1)
    profile = np.where(u < head_px - half, head * dome, thread)
    inside = np.minimum(profile - np.abs(v), np.minimum(half - u, half + u))
    height = head * 0.25 + np.sqrt(np.maximum(profile**2 - v**2, 0))
    return Relief(inside, height, np.zeros_like(u))


def _rounded_edge(inside_px: FloatArray, *, radius_px: float) -> FloatArray:
    """How far a rounded edge lies under the flat top, px: a quarter circle over the outermost `radius_px`."""
    depth = np.clip(1 - inside_px / radius_px, 0, 1)
    return np.asarray(radius_px * (1 - np.sqrt(1 - depth**2)), dtype=np.float32)


_SHAPES: tuple[Callable[[Part, FloatArray, FloatArray], Relief], ...] = (_nut, _screw, _washer)
# class: smallest and largest radius px, smallest and largest proportion
_RANGES = ((16.0, 25.0, 0.42, 0.56), (18.0, 28.0, 0.46, 0.58), (15.0, 25.0, 0.4, 0.58))
