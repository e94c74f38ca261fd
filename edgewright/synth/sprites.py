"""Sprites: crops on their way into a scene, resampled to the size they are wanted at.

Decides from which of a crop's reductions (each half as large as the one before) it is resampled: the smallest that is
not smaller than what is wanted, which is as good as antialiasing from the crop itself and costs as little at any size;
and how opaque each blend makes it (Dwibedi et al. 2017, Cut, Paste and Learn, arXiv 1708.01642, §5).

    fitted = fit(Sprite(crop.pyramid, crop.class_id, crop.source, crop.masked), (12, 9))
    fitted.rgb, fitted.opacity("feather"), fitted.shape
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageFilter

from edgewright.runtime.boxes import FloatArray
from edgewright.synth.boxes import oval
from edgewright.synth.matte import MARGIN, Mask

Rgba = npt.NDArray[np.uint8]
"""(H, W, 4) uint8: RGB and opacity."""
BLENDS = ("hard", "feather", "membrane")
_RIM_OPACITY = 0.05
_BYTES_PER_PX = 12 + 3 * 5
"""Of a fitted sprite: its colors, and for each blend its opacity and rim."""


class Pyramid:
    """A crop and its reductions, made as they are asked for. RGB and opacity are resampled apart from each other."""

    def __init__(self, rgba: Rgba) -> None:
        height, width = rgba.shape[:2]
        # "RGBX": Pillow multiplies RGBA by its opacity, and the surroundings' colors are wanted too
        pixels = np.ascontiguousarray(rgba)
        self._levels = [PillowImage.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)]

    def resized(self, size_wh: tuple[int, int], *, region: tuple[float, float, float, float]) -> Rgba:
        """(H, W, 4) uint8: a region, given as shares of the crop's sides, at `size_wh` px."""
        width, height = self._levels[0].size
        ratio = min((region[2] - region[0]) * width / size_wh[0], (region[3] - region[1]) * height / size_wh[1])
        picture = self._level(int(np.log2(ratio)) if ratio >= 2 else 0)
        width, height = picture.size
        box = (region[0] * width, region[1] * height, region[2] * width, region[3] * height)
        found = picture.resize(size_wh, PillowImage.Resampling.BILINEAR, box=box)
        return np.frombuffer(found.tobytes(), np.uint8).reshape(size_wh[1], size_wh[0], 4)

    def _level(self, wanted: int) -> PillowImage.Image:
        while len(self._levels) <= wanted:
            last = self._levels[-1]
            half = (max(1, last.size[0] // 2), max(1, last.size[1] // 2))
            self._levels.append(last.resize(half, PillowImage.Resampling.BOX))
        return self._levels[wanted]


@dataclass(frozen=True)
class Sprite:
    """A crop on its way into a scene.

    Attributes:
        source: id of the row it was cut from; empty for a generated one.
        masked: its opacity is its shape; otherwise the box's ellipse is.
    """

    pyramid: Pyramid
    class_id: int
    source: str
    masked: bool


@dataclass(frozen=True)
class Fitted:
    """A sprite at the size of a box. Not to be written to.

    Attributes:
        rgb: (H, W, 3) float32 [0, 255], the box with whole px of margin around it.
        alpha: (H, W) uint8.
        shape: (h, w) bool, the object's pixels; beginning at `shape_xy`.
        margin_wh: px around the box, on each side.
    """

    rgb: FloatArray
    alpha: npt.NDArray[np.uint8]
    shape: Mask
    shape_xy: tuple[int, int]
    margin_wh: tuple[int, int]
    _opacities: dict[str, tuple[FloatArray, Mask]] = field(default_factory=dict)

    def opacity(self, blend: str) -> tuple[FloatArray, Mask]:
        """(H, W) float32 [0, 1], and (H, W) bool where the surroundings show."""
        if blend not in self._opacities:
            found = _opacity(self.alpha, blend)
            self._opacities[blend] = (found, found < _RIM_OPACITY)
        return self._opacities[blend]

    @property
    def bytes(self) -> int:
        return self.alpha.size * _BYTES_PER_PX


Fit = Callable[[Sprite, tuple[int, int]], Fitted]


def fit(sprite: Sprite, box_wh: tuple[int, int]) -> Fitted:
    """The sprite resampled so that its box has `box_wh` px."""
    margin = (int(box_wh[0] * MARGIN), int(box_wh[1] * MARGIN))
    half_w, half_h = (
        min((box_px / 2 + margin_px) / (box_px * (1 + 2 * MARGIN)), 0.5)
        for box_px, margin_px in zip(box_wh, margin, strict=True)
    )
    size = (box_wh[0] + 2 * margin[0], box_wh[1] + 2 * margin[1])
    rgba = sprite.pyramid.resized(size, region=(0.5 - half_w, 0.5 - half_h, 0.5 + half_w, 0.5 + half_h))
    alpha = np.ascontiguousarray(rgba[:, :, 3])
    shape, at = (alpha > 127, (0, 0)) if sprite.masked else (oval(*box_wh), margin)
    return Fitted(rgba[:, :, :3].astype(np.float32), alpha, shape, at, margin)


def _opacity(alpha: npt.NDArray[np.uint8], blend: str) -> FloatArray:
    """(H, W) uint8 => float32 [0, 1]: steep for `hard`, blurred for `feather`, as it is for `membrane`."""
    if blend == "hard":
        return np.clip((alpha.astype(np.float32) - 64) / 128, 0, 1)
    if blend == "feather":
        radius = max(0.6, min(alpha.shape) / 40)
        picture = PillowImage.fromarray(alpha).filter(ImageFilter.GaussianBlur(radius))
        return np.asarray(picture, np.float32) / np.float32(255)
    return alpha.astype(np.float32) / np.float32(255)
