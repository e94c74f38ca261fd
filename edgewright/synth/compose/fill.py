"""Filling holes: smooth interpolation from what is known, and the removal of an object from a picture.

Decides nothing about what is removed. The smooth fill is a pull-push pyramid (Gortler et al. 1996, The Lumigraph):
a coarse picture of weighted means fills what the finer one does not know. Law: known pixels stay as they are.

>>> fill_smooth(np.array([[[1.0], [0.0], [1.0]]], np.float32), np.array([[True, False, True]]))[0, 1, 0]
np.float32(1.0)
"""

from __future__ import annotations

import numpy as np

from edgewright.runtime.boxes import FloatArray, Image
from edgewright.synth.matte import Mask, smooth

_TEXTURE_TRIES = 12


def fill_smooth(values: FloatArray, known: Mask) -> FloatArray:
    """(H, W, C) float32 and (H, W) known => the same with every unknown pixel interpolated, or 0 if none is known."""
    height, width = known.shape
    if known.all() or not known.any():
        return values * known[:, :, None]
    weight = known.astype(np.float32)[:, :, None]
    coarse_weight = _halve(weight)
    coarse = (_halve(values * weight) / np.maximum(coarse_weight, np.float32(1e-6))).astype(np.float32)
    guess = _double(fill_smooth(coarse, coarse_weight[:, :, 0] > 0), height, width)
    filled: FloatArray = np.where(known[:, :, None], values, guess)
    for _ in range(
        3
    ):  # nearest-neighbor doubling leaves blocks: relax the unknown pixels towards their neighbors' mean
        filled = np.where(known[:, :, None], values, smooth(filled))
    return filled


def remove(image: Image, hole: Mask, *, others: Mask, rng: np.random.Generator) -> Image:
    """(H, W, 3) uint8 with the hole filled by interpolated light and by texture from elsewhere in the picture.

    `others` are the pixels of other objects, whose color must not run into the hole.
    """
    if not hole.any():
        return image
    pixels = image.astype(np.float32)
    known = ~hole & ~others if (~hole & ~others).any() else ~hole
    texture = _texture_elsewhere(pixels - _local_mean(pixels, known), known, rng)
    filled = np.where(hole[:, :, None], fill_smooth(pixels, known) + texture, pixels)
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8)


def _texture_elsewhere(texture: FloatArray, known: Mask, rng: np.random.Generator) -> FloatArray:
    """The picture's fine grain, for unknown pixels taken from where a shift of the whole picture finds known ones."""
    found = np.where(known[:, :, None], texture, 0)
    missing = ~known
    for _ in range(_TEXTURE_TRIES):
        if not missing.any():
            break
        shift = tuple(int(rng.integers(1, side)) for side in known.shape)
        usable = missing & np.roll(known, shift, axis=(0, 1))
        found[usable] = np.roll(texture, shift, axis=(0, 1))[usable]
        missing &= ~usable
    limit = 3 * float(texture[known].std()) if known.any() else 0.0  # grain, not the outlines of other objects
    return np.clip(found, -limit, limit).astype(np.float32)


def _local_mean(pixels: FloatArray, known: Mask) -> FloatArray:
    """Mean of the known pixels among the 9 around each pixel; the pixel itself where none is."""
    weight = known.astype(np.float32)[:, :, None]
    share = smooth(weight)
    return np.where(share > 0, smooth(pixels * weight) / np.maximum(share, 1e-6), pixels).astype(np.float32)


def _halve(values: FloatArray) -> FloatArray:
    """(H, W, C) => (⌈H/2⌉, ⌈W/2⌉, C): means over 2 × 2, zeros beyond the edge."""
    height, width, channels = values.shape
    padded = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
    blocks = padded.reshape((height + 1) // 2, 2, (width + 1) // 2, 2, channels)
    mean: FloatArray = blocks.mean(axis=(1, 3), dtype=np.float32)
    return mean


def _double(values: FloatArray, height: int, width: int) -> FloatArray:
    doubled: FloatArray = values.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return doubled
