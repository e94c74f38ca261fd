"""Sprites: crops on their way into a scene, resampled to the size they are wanted at.

Decides from which of a crop's reductions (each half as large as the one before) it is resampled: the smallest that is
not smaller than what is wanted, which is as good as antialiasing from the crop itself and costs as little at any size;
and how opaque each blend makes it (Dwibedi et al. 2017, Cut, Paste and Learn, arXiv 1708.01642, §5).

    fitted = fit(Sprite(crop.pyramid, crop.class_id, crop.source, crop.masked), (12, 9))
    fitted.cover("feather", mirrored=False).alpha, fitted.shape
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageFilter

from edgewright.runtime.boxes import FloatArray
from edgewright.synth.boxes import cut_to_frame, oval, oval_px
from edgewright.synth.matte import MARGIN, Mask
from edgewright.synth.objects.membrane import Rim

Rgba = npt.NDArray[np.uint8]
"""(H, W, 4) uint8: RGB and opacity."""
BLENDS = ("hard", "feather", "membrane")
_RIM_OPACITY = 0.05
_HALF = 127
_AS_IT_IS = np.arange(256, dtype=np.float32) / np.float32(255)
_STEEP = np.clip((np.arange(256, dtype=np.float32) - 64) / 128, 0, 1).astype(np.float32)
"""Opacity of each of the levels of 8 bits."""
_BYTES_PER_PX = 2 * 12 + 6 * (4 + 1 + 4)
"""Of a fitted sprite: its colors, mirrored ones too; for each blend, mirrored and not, opacity and rim (half of it)."""


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
class Cover:
    """A fitted sprite as one blend lays it over a place, mirrored or not. Not to be written to.

    Attributes:
        rgb: (H, W, 3) float32 [0, 255].
        alpha: (H, W, 1) float32 [0, 1].
        rim: where the surroundings show.
        smooth: its light follows the place's all around, not in the mean alone.
    """

    rgb: FloatArray
    alpha: FloatArray
    rim: Rim
    smooth: bool

    def cut(self, corner_xy: tuple[int, int], *, wh: tuple[int, int]) -> tuple[Cover, tuple[int, int]]:
        """What of it lies in a frame of `wh` px, and where that begins."""
        (x, y), (height, width) = corner_xy, self.rim.mask.shape
        if x >= 0 and y >= 0 and x + width <= wh[0] and y + height <= wh[1]:
            return self, corner_xy
        rgb, corner = cut_to_frame(self.rgb, corner_xy, wh=wh)
        alpha, _ = cut_to_frame(self.alpha, corner_xy, wh=wh)
        rim, _ = cut_to_frame(self.rim.mask, corner_xy, wh=wh)
        return Cover(np.ascontiguousarray(rgb), alpha, Rim.of(rim), self.smooth), corner


@dataclass(frozen=True)
class Fitted:
    """A sprite at the size of a box. Not to be written to.

    Attributes:
        rgb: (H, W, 3) float32 [0, 255], the box with whole px of margin around it.
        alpha: (H, W) uint8.
        shape: (h, w) bool, the object's pixels; beginning at `shape_xy`.
        margin_wh: px around the box, on each side.
        shape_px: how many pixels the object has.
    """

    rgb: FloatArray
    alpha: npt.NDArray[np.uint8]
    shape: Mask
    shape_xy: tuple[int, int]
    margin_wh: tuple[int, int]
    shape_px: int
    _alphas: dict[str, FloatArray] = field(default_factory=dict)
    _covers: dict[tuple[str, bool], Cover] = field(default_factory=dict)

    def cover(self, blend: str, *, mirrored: bool) -> Cover:
        """As a blend lays it down; worked out once."""
        found = self._covers.get((blend, mirrored))
        if found is None:
            found = self._covers[blend, mirrored] = self._cover(blend, mirrored=mirrored)
        return found

    def _cover(self, blend: str, *, mirrored: bool) -> Cover:
        alpha = self._alphas.get(blend)
        if alpha is None:
            alpha = self._alphas[blend] = _opacity(self.alpha, blend)
        rgb = self.rgb
        if mirrored:  # one copy of the mirrored colors serves every blend
            known = next((cover.rgb for cover in self._covers.values() if cover.rgb is not self.rgb), None)
            rgb = np.ascontiguousarray(self.rgb[:, ::-1]) if known is None else known
            alpha = np.ascontiguousarray(alpha[:, ::-1])
        return Cover(rgb, alpha[:, :, None], Rim.of(alpha < _RIM_OPACITY), smooth=blend == "membrane")

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
    rgb = rgba[:, :, :3].astype(np.float32)
    if not sprite.masked:
        return Fitted(rgb, alpha, oval(*box_wh), margin, margin, oval_px(*box_wh))
    shape = alpha > _HALF
    return Fitted(rgb, alpha, shape, (0, 0), margin, int(np.count_nonzero(shape)))


def _opacity(alpha: npt.NDArray[np.uint8], blend: str) -> FloatArray:
    """(H, W) uint8 => float32 [0, 1]: steep for `hard`, blurred for `feather`, as it is for `membrane`."""
    if blend == "hard":
        return _STEEP.take(alpha)
    if blend == "feather":
        height, width = alpha.shape
        picture = PillowImage.frombuffer("L", (width, height), alpha, "raw", "L", 0, 1)
        blurred = picture.filter(ImageFilter.GaussianBlur(max(0.6, min(alpha.shape) / 40)))
        alpha = np.frombuffer(blurred.tobytes(), np.uint8).reshape(height, width)
    return _AS_IT_IS.take(alpha)
