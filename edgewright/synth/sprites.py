"""Sprites: crops on their way into a scene, resampled to the size they are wanted at.

Decides from which of a crop's reductions (each half as large as the one before) it is resampled: the smallest that is
not smaller than what is wanted, which is as good as antialiasing from the crop itself and costs as little at any size.

    rgba = Sprite(crop.pyramid, crop.class_id, crop.source, crop.masked).fitted(box_wh=(12, 9), margin_wh=(2, 1))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from edgewright.synth.matte import MARGIN

Rgba = npt.NDArray[np.uint8]
"""(H, W, 4) uint8: RGB and opacity."""


class Pyramid:
    """A crop and its reductions, made as they are asked for. RGB and opacity are resampled apart from each other."""

    def __init__(self, rgba: Rgba) -> None:
        height, width = rgba.shape[:2]
        # "RGBX": Pillow multiplies RGBA by its opacity, and the surroundings' colors are wanted too
        self._levels = [
            PillowImage.frombuffer("RGBX", (width, height), np.ascontiguousarray(rgba), "raw", "RGBX", 0, 1)
        ]

    def resized(self, size_wh: tuple[int, int], *, region: tuple[float, float, float, float]) -> Rgba:
        """(H, W, 4) uint8: a region, given as shares of the crop's sides, at `size_wh` px."""
        level = 0
        while (
            self._side(level, region, axis=0) >= 2 * size_wh[0] and self._side(level, region, axis=1) >= 2 * size_wh[1]
        ):
            level += 1
        picture = self._level(level)
        box = tuple(share * side for share, side in zip(region, picture.size * 2, strict=True))
        return np.asarray(picture.resize(size_wh, PillowImage.Resampling.BILINEAR, box=box))

    def _side(self, level: int, region: tuple[float, float, float, float], *, axis: int) -> float:
        """How many px a region has on one side of a level."""
        return (region[axis + 2] - region[axis]) * self._levels[0].size[axis] / 2**level

    def _level(self, wanted: int) -> PillowImage.Image:
        while len(self._levels) <= wanted:
            last = self._levels[-1]
            half = (max(1, last.size[0] // 2), max(1, last.size[1] // 2))
            self._levels.append(last.resize(half, PillowImage.Resampling.BOX))
        return self._levels[wanted]


@dataclass(frozen=True)
class Sprite:
    """A crop on its way into a scene. `masked`: its opacity is its shape; otherwise the box's ellipse is."""

    pyramid: Pyramid
    class_id: int
    source: str
    masked: bool

    def fitted(self, *, box_wh: tuple[int, int], margin_wh: tuple[int, int]) -> Rgba:
        """The crop resampled so that its box has `box_wh` px and whole px of margin are left around it."""
        low, high = [], []
        for box_px, margin_px in zip(box_wh, margin_wh, strict=True):
            half = min((box_px / 2 + margin_px) / (box_px * (1 + 2 * MARGIN)), 0.5)
            low.append(0.5 - half)
            high.append(0.5 + half)
        size = (box_wh[0] + 2 * margin_wh[0], box_wh[1] + 2 * margin_wh[1])
        return self.pyramid.resized(size, region=(low[0], low[1], high[0], high[1]))
