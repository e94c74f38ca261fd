"""Mattes: how opaque each pixel of an object crop is, told from a box and the picture itself.

Decides what is object and what is surroundings in a crop whose box is known. Where only a box is known, a pixel is
object if its color differs from the rim of the crop (a difference matte against the rim's median); where that finds
too little, the box's ellipse is the object.

>>> int(ellipse(5, 3).sum())
11
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.runtime.boxes import FloatArray, Image

Mask = npt.NDArray[np.bool_]
MARGIN = 0.2
"""Surroundings kept around a box, as a share of its side, on each of the four sides: what a seam is matched to."""
_CORE = 0.55
"""The inner part of the box's ellipse that is object in any case (pale centers, holes)."""
_MIN_COVER = 0.6
"""A difference matte that covers less of the box's ellipse than this has lost the object."""
_NOISE_SDS = (2.5, 6.0)
"""Color differences, in robust sds of the rim, between which a pixel goes from surroundings to object."""


def ellipse(width_px: int, height_px: int) -> Mask:
    """The ellipse inscribed in a box of whole pixels; it touches all four sides."""
    return _radius(width_px, height_px, margin=0.0, power=2) <= 1


def matte_from_box(crop: Image) -> FloatArray:
    """(H, W, 3) uint8 crop with MARGIN around its box => (H, W) float32 opacity in [0, 1]."""
    height, width = crop.shape[:2]
    inside = _soft_edge(_radius(width, height, margin=MARGIN, power=6), width, height)
    oval_radius = _radius(width, height, margin=MARGIN, power=2)
    matte = np.maximum(
        _difference(crop, rim=_radius(width, height, margin=MARGIN, power=6) > 1.1), oval_radius <= _CORE
    )
    matte = smooth(matte.astype(np.float32)) * inside
    oval = oval_radius <= 1
    if float(matte[oval].mean()) < _MIN_COVER:
        return _soft_edge(oval_radius, width, height)
    return matte


def smooth(values: FloatArray) -> FloatArray:
    """(H, W, ...) float32 => its 3 × 3 means, edges repeated."""
    padded = np.pad(values, ((1, 1), (1, 1), *((0, 0),) * (values.ndim - 2)), mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    mean: FloatArray = ((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9)).astype(np.float32)
    return mean


def _difference(crop: Image, *, rim: Mask) -> FloatArray:
    """How surely each pixel is not of the rim's color, in [0, 1]."""
    pixels = crop.astype(np.float32)
    distance = np.linalg.norm(pixels - np.median(pixels[rim], axis=0), axis=2)
    noise = 1.4826 * float(np.median(distance[rim])) + 1.0
    low, high = _NOISE_SDS
    matte: FloatArray = np.clip((distance / noise - low) / (high - low), 0, 1).astype(np.float32)
    return matte


def _radius(width_px: int, height_px: int, *, margin: float, power: int) -> FloatArray:
    """(H, W): `(|x|^p + |y|^p)^(1/p)` with the box at 1; p = 2 is its ellipse, larger p nearly the box itself."""
    scale = 1 + 2 * margin
    x = (2 * (np.arange(width_px) + 0.5) / width_px - 1) * scale
    y = (2 * (np.arange(height_px) + 0.5) / height_px - 1) * scale
    radius: FloatArray = ((np.abs(x)[None] ** power + np.abs(y)[:, None] ** power) ** (1 / power)).astype(np.float32)
    return radius


def _soft_edge(radius: FloatArray, width_px: int, height_px: int) -> FloatArray:
    """1 inside, 0 outside, with an edge of about two pixels."""
    half_px = min(width_px, height_px) / (2 * (1 + 2 * MARGIN))
    return np.clip((1 - radius) * half_px / 2 + 0.5, 0, 1).astype(np.float32)
