"""Labels → what the segmenter learns: a class map, the cores of the objects, and which pixels count.

Decides the pixels of a box (its ellipse, or all of it; a given mask wins) and who owns a pixel that two objects claim:
the one it lies deeper in. Instances that touch are told apart by their *cores*: the inner `CORE_RADIUS` of each object,
with a gap of one pixel kept between the cores of two. Ignored regions and the letterbox border do not count.

Law: a connected component of `core` lies within one instance.

>>> box = Label(instance_id=0, class_id=2, xyxy=(2, 2, 14, 14))
>>> int(rasterize([box], geometry=Letterbox(1.0, (0, 0), (16, 16)), size_px=16, shape="ellipse").class_map[8, 8])
3
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edgewright.data.rle import Mask, decode_mask
from edgewright.data.rows import Label
from edgewright.runtime.boxes import Boxes, FloatArray
from edgewright.runtime.preprocess import Letterbox

CORE_RADIUS = 0.5
"""Share of an object's radius. Larger cores of overlapping cells meet; smaller ones leave tiny objects one pixel."""

Shape = Literal["ellipse", "box", "grabcut", "sam"]
"""What stands in for a mask. Masks of GrabCut and SAM are found beforehand (`outlines.py`); else the ellipse."""


@dataclass(frozen=True)
class Target:
    """What a picture should look like to the segmenter, (S, S) in letterbox px.

    Attributes:
        class_map: uint8, 0 background, otherwise 1 + class id.
        core: bool, the inside of objects.
        counts: bool, False where nothing is known: ignored regions, letterbox border.
    """

    class_map: npt.NDArray[np.uint8]
    core: Mask
    counts: Mask


def rasterize(labels: Sequence[Label], *, geometry: Letterbox, size_px: int, shape: Shape) -> Target:
    """Draw labels (source px) into the letterbox. Pixels of ignored labels that no other object owns do not count."""
    depth = np.full((size_px, size_px), np.inf, dtype=np.float32)
    owner = np.zeros((size_px, size_px), dtype=np.int16)
    class_of = np.zeros(len(labels) + 1, dtype=np.uint8)
    counts = picture_area(geometry, size_px=size_px)
    for number, label in enumerate(sorted(labels, key=_area), start=1):
        radius = _radius(label, geometry, size_px=size_px, shape=shape)
        if label.ignore:
            counts &= radius > 1
            continue
        deeper = (radius <= 1) & (radius < depth)
        depth[deeper], owner[deeper], class_of[number] = radius[deeper], number, label.class_id + 1
    core = _keep_apart(np.where(depth <= CORE_RADIUS, owner, 0).astype(np.int16))
    return Target(class_of[owner], core, counts | (owner > 0))


def picture_area(geometry: Letterbox, *, size_px: int) -> Mask:
    """(S, S) bool: the letterbox without its border."""
    inside = np.zeros((size_px, size_px), dtype=bool)
    whole = Boxes.of([[0, 0, *geometry.source_wh]], class_id=[0])
    x1, y1, x2, y2 = geometry.to_input(whole).xyxy[0].round().astype(int)
    inside[y1:y2, x1:x2] = True
    return inside


def _area(label: Label) -> float:
    x1, y1, x2, y2 = label.xyxy
    return (x2 - x1) * (y2 - y1)


def _radius(label: Label, geometry: Letterbox, *, size_px: int, shape: Shape) -> FloatArray:
    """(S, S) float32: 0 in the middle of the object, 1 on its edge."""
    if label.mask:
        return _mask_radius(label, geometry, size_px)
    x1, y1, x2, y2 = geometry.to_input(Boxes.of([label.xyxy], class_id=[0])).xyxy[0]
    center_x, center_y = (x1 + x2) / 2, (y1 + y2) / 2
    at = np.arange(size_px, dtype=np.float32) + 0.5
    dx = np.abs(at - center_x)[None, :] / max((x2 - x1) / 2, 0.5)
    dy = np.abs(at - center_y)[:, None] / max((y2 - y1) / 2, 0.5)
    radius: FloatArray = (np.hypot(dx, dy) if shape != "box" else np.maximum(dx, dy)).astype(np.float32)
    # An object smaller than a pixel still has one.
    radius[min(int(center_y), size_px - 1), min(int(center_x), size_px - 1)] = 0
    return radius


def _mask_radius(label: Label, geometry: Letterbox, size_px: int) -> FloatArray:
    """The same for a given mask: 1 minus the distance to its edge, relative to the deepest pixel."""
    width, height = geometry.source_wh
    mask = decode_mask(label.mask, shape=(height, width)).astype(np.uint8)
    new_wh = (max(1, round(width * geometry.scale)), max(1, round(height * geometry.scale)))
    canvas = np.zeros((size_px, size_px), dtype=np.uint8)
    x, y = geometry.pad_xy
    canvas[y : y + new_wh[1], x : x + new_wh[0]] = cv2.resize(mask, new_wh, interpolation=cv2.INTER_NEAREST)
    depth = cv2.distanceTransform(np.pad(canvas, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    deepest = max(float(depth.max()), 1e-6)
    return np.where(canvas > 0, 1 - depth / deepest, np.inf).astype(np.float32)


def _keep_apart(cores: npt.NDArray[np.int16]) -> Mask:
    """Of two cores that touch, the one of the larger object (the higher number) gives way."""
    far = np.int16(np.iinfo(np.int16).max)
    lowest = cv2.erode(np.where(cores > 0, cores, far), np.ones((3, 3), dtype=np.uint8))
    kept: Mask = (cores > 0) & (lowest >= cores)
    return kept
