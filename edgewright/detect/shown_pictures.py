"""What a training picture shows: the photograph at the network's size, without what nobody may learn from.

Decides the filter: the one by which the device resizes; regions of `ignore` labels are painted in the padding gray.
"""

from __future__ import annotations

import numpy as np
from PIL import Image as PillowImage

from edgewright.runtime.boxes import Boxes, Image
from edgewright.runtime.preprocess import PAD_VALUE


def shrink(image: Image, *, longer_px: int) -> tuple[Image, float]:
    """(H, W, 3) uint8 => the longer side at `longer_px`, by the filter that `letterbox` uses; and the scale."""
    height, width = image.shape[:2]
    scale = min(longer_px / width, longer_px / height)
    new_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    if new_wh == (width, height):
        return image, 1.0
    return np.asarray(PillowImage.fromarray(image).resize(new_wh, PillowImage.Resampling.BILINEAR)), scale


def hide_ignored(image: Image, *, ignored: Boxes, counted: Boxes) -> Image:
    """Paint ignored regions gray, except where a box that counts lies over them."""
    if not len(ignored):
        return image
    hidden = _cover(ignored, image) & ~_cover(counted, image)
    painted = image.copy()
    painted[hidden] = PAD_VALUE
    return painted


def _cover(boxes: Boxes, image: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """(H, W) bool: pixels that a box touches."""
    covered = np.zeros(image.shape[:2], dtype=bool)
    low, high = np.floor(boxes.xyxy[:, :2]).astype(int).clip(0), np.ceil(boxes.xyxy[:, 2:]).astype(int).clip(0)
    for (x1, y1), (x2, y2) in zip(low.tolist(), high.tolist(), strict=True):
        covered[y1:y2, x1:x2] = True
    return covered
