"""A grid of real and generated crops, class by class: the first thing a person looks at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.runtime.boxes import Image
from edgewright.synth.objects.samplers import Rgba

PREVIEW_COLUMNS = 8
_GAP_PX = 2
_BACKDROP = 128


def preview_grid(pairs: Sequence[tuple[Sequence[Rgba], Sequence[Rgba]]], *, side_px: int) -> Image:
    """One row a class: eight real squares, then as many generated ones, each over gray by its opacity."""
    step = side_px + _GAP_PX
    grid = np.full((len(pairs) * step + _GAP_PX, 2 * PREVIEW_COLUMNS * step + 4 * _GAP_PX, 3), 255, np.uint8)
    for line, sides in enumerate(pairs):
        for half, crops in enumerate(sides):
            for column, rgba in enumerate(crops[:PREVIEW_COLUMNS]):
                x = _GAP_PX + (half * PREVIEW_COLUMNS + column) * step + half * 2 * _GAP_PX
                y = _GAP_PX + line * step
                grid[y : y + side_px, x : x + side_px] = over_gray(rgba)
    return grid


def opaque(rgb: Image) -> Rgba:
    """(H, W, 3) => (H, W, 4) uint8 without a transparent pixel."""
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


def over_gray(rgba: Rgba) -> Image:
    """(S, S, 4) => (S, S, 3) uint8."""
    opacity = rgba[:, :, 3:].astype(np.float32) / np.float32(255)
    mixed = rgba[:, :, :3] * opacity + _BACKDROP * (1 - opacity)
    flat: Image = np.rint(mixed).astype(np.uint8)
    return flat
