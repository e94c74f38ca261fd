"""A person's box → the pixels of the object in it, by GrabCut (Rother, Kolmogorov, Blake 2004).

Decides where the search begins (outside of all boxes is background, the ellipse in it is probably the object, its
corners probably not) and when its answer is worth nothing: too few pixels, or pixels that do not fill the box that a
person drew tightly. Then the ellipse stands in. A label that has a mask keeps it; ignored labels get none.

    outlined = outline(image, row.labels)
    outlined.fallbacks                                 # labels whose ellipse had to do
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from edgewright.data.rle import Mask, encode_window
from edgewright.data.rows import Label
from edgewright.runtime.boxes import Boxes, Image

MIN_AREA_OF_ELLIPSE = 0.3
"""Below this share of the ellipse's area GrabCut has collapsed onto a highlight or an edge."""
MIN_BOX_IOU = 0.7
"""The mask's own box against the person's: people draw boxes tightly."""
_CONTEXT = 0.5
"""Background around the box, as a share of its sides: what the background's colors are learned from."""
_MAX_SIDE_PX = 96
_MIN_PIXELS = 16
"""In the ellipse, and around the box; the five color clusters of each cannot be told apart with fewer."""
_ROUNDS = 3
_NO_RECTANGLE = (0, 0, 1, 1)  # not read where the search begins with a mask


@dataclass(frozen=True)
class Outlined:
    """Attributes: labels: as given, with masks; fallbacks: how many boxes GrabCut found nothing usable in."""

    labels: tuple[Label, ...]
    fallbacks: int


Outliner = Callable[[Image, Sequence[Label]], Outlined]
"""(picture, its labels in px) => the labels with masks."""


def leave_boxes(_: Image, labels: Sequence[Label]) -> Outlined:
    """No masks: a box's ellipse, or all of it, is drawn where it is needed (`masks.py`)."""
    return Outlined(tuple(labels), 0)


def outline(image: Image, labels: Sequence[Label]) -> Outlined:
    """Labels in px of `image`, each with its mask where one could be found. Pure."""
    outlined: list[Label] = []
    fallbacks = 0
    for label in labels:
        if label.mask or label.ignore:
            outlined.append(label)
            continue
        mask = _mask_of(image, label, [other.xyxy for other in labels if other is not label])
        fallbacks += not mask
        outlined.append(replace(label, mask=mask))
    return Outlined(tuple(outlined), fallbacks)


def fills_box(mask: Mask, xyxy: Sequence[float]) -> bool:
    """Whether a mask, px of the picture, is that of an object that a person drew this box around."""
    x1, y1, x2, y2 = xyxy
    y, x = np.nonzero(mask)
    if len(x) < MIN_AREA_OF_ELLIPSE * np.pi / 4 * (x2 - x1) * (y2 - y1) or not len(x):
        return False
    own = Boxes.of([[x.min(), y.min(), x.max() + 1, y.max() + 1]], class_id=[0])
    return float(own.iou(Boxes.of([xyxy], class_id=[0]))[0, 0]) >= MIN_BOX_IOU


def cut_out(
    image: Image, *, inner_xyxy: tuple[int, int, int, int], others_xyxy: Sequence[tuple[int, int, int, int]] = ()
) -> Mask | None:
    """(H, W, 3) with a box in it, px => (H, W) pixels of the object; None where the answer is worth nothing.

    Args:
        others_xyxy: boxes of other objects: no background to learn colors from.
    """
    begin = _beginning(image.shape[:2], inner_xyxy, others_xyxy)
    inside = np.zeros(begin.shape, dtype=bool)
    inside[inner_xyxy[1] : inner_xyxy[3], inner_xyxy[0] : inner_xyxy[2]] = True
    probable = np.count_nonzero(inside & (begin == cv2.GC_PR_FGD))
    if min(probable, np.count_nonzero(begin == cv2.GC_BGD)) < _MIN_PIXELS:
        return None
    cv2.setRNGSeed(0)  # its clusters begin at random places: the same picture gives the same mask
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        found, *_ = cv2.grabCut(image, begin, _NO_RECTANGLE, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return None  # one of the two kinds has run out of pixels between two rounds
    mask: Mask = inside & ((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD))
    return mask if fills_box(mask, inner_xyxy) else None


def _mask_of(image: Image, label: Label, others: Sequence[Sequence[float]]) -> str:
    """Run lengths over the whole picture; empty where there is no mask. Large objects are looked at smaller."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = label.xyxy
    margin = _CONTEXT * max(x2 - x1, y2 - y1)
    left, top = max(0, int(x1 - margin)), max(0, int(y1 - margin))
    right, bottom = min(width, int(np.ceil(x2 + margin))), min(height, int(np.ceil(y2 + margin)))
    window = image[top:bottom, left:right]
    scale = min(1.0, _MAX_SIDE_PX / max(1, *window.shape[:2]))
    small_wh = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    small = cv2.resize(window, small_wh, interpolation=cv2.INTER_AREA) if scale < 1 else np.ascontiguousarray(window)
    inner, *around = (
        _whole([(v - at) * scale for v, at in zip(xyxy, (left, top, left, top), strict=True)], small_wh)
        for xyxy in (label.xyxy, *others)
    )
    mask = cut_out(np.asarray(small, dtype=np.uint8), inner_xyxy=inner, others_xyxy=around)
    if mask is None:
        return ""
    whole = cv2.resize(mask.astype(np.uint8), (right - left, bottom - top), interpolation=cv2.INTER_NEAREST) > 0
    return encode_window(whole, at_xy=(left, top), shape=(height, width))


def _whole(xyxy: Sequence[float], wh: tuple[int, int]) -> tuple[int, int, int, int]:
    x1, x2 = (min(max(round(value), 0), wh[0]) for value in (xyxy[0], xyxy[2]))
    y1, y2 = (min(max(round(value), 0), wh[1]) for value in (xyxy[1], xyxy[3]))
    return x1, y1, x2, y2


def _beginning(
    shape: tuple[int, ...], xyxy: tuple[int, int, int, int], others: Sequence[tuple[int, int, int, int]]
) -> npt.NDArray[np.uint8]:
    begin = np.full(shape, cv2.GC_BGD, dtype=np.uint8)
    for x1, y1, x2, y2 in others:  # neighbors look like the object more often than like what lies behind it
        part = begin[y1:y2, x1:x2]
        part[_radius((x1, y1, x2, y2)) <= 1] = cv2.GC_PR_FGD
    x1, y1, x2, y2 = xyxy
    begin[y1:y2, x1:x2] = np.where(_radius(xyxy) <= 1, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    return begin


def _radius(xyxy: tuple[int, int, int, int]) -> npt.NDArray[np.float64]:
    """(H, W) of the box: 0 in its middle, 1 on its ellipse."""
    x1, y1, x2, y2 = xyxy
    y, x = np.mgrid[y1:y2, x1:x2] + 0.5
    radius: npt.NDArray[np.float64] = np.hypot(
        (x - (x1 + x2) / 2) / max((x2 - x1) / 2, 0.5), (y - (y1 + y2) / 2) / max((y2 - y1) / 2, 0.5)
    )
    return radius
