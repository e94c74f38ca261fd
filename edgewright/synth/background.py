"""Backgrounds: a real train picture, framed anew, with some of its own objects kept and the others painted over.

Decides which of a picture's objects stay. Refuses to paint over an object that touches one that stays: its removal
would leave a stump. What stays keeps its label, moved with the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from edgewright.data.rle import decode_mask
from edgewright.data.rows import Label
from edgewright.runtime.boxes import Boxes, Image
from edgewright.synth.fill import Mask, remove
from edgewright.synth.layouts import Rng
from edgewright.synth.matte import ellipse

MIN_WINDOW = 0.92
"""The part of the picture that is framed, as a share of its sides: between this and 1."""
_HOLE_MARGIN = 0.12
"""How far beyond its box an object is painted over, as a share of the box's side (shadows, blur, loose boxes)."""

_TOUCHING_IOU = 0.05


@dataclass(frozen=True)
class SceneObject:
    """An object in a scene.

    Attributes:
        label: with its box in px of the scene; `mask` is text here only where the source had one.
        mask: (H, W) bool, its pixels in the frame, whether covered by others or not.
        full_px: how many pixels it would have without the frame.
    """

    label: Label
    mask: Mask
    full_px: int


@dataclass(frozen=True)
class Window:
    """A part of a picture, mirrored or not, at a new size. The same for pixels, boxes and masks."""

    corner_xy: tuple[float, float]
    size_wh: tuple[float, float]
    mirrored: bool
    to_wh: tuple[int, int]

    def pixels(self, image: Image) -> Image:
        """(H, W, 3) uint8 => (to_h, to_w, 3) uint8, bilinear and antialiased as in `letterbox`."""
        region = (*self.corner_xy, self.corner_xy[0] + self.size_wh[0], self.corner_xy[1] + self.size_wh[1])
        picture = PillowImage.fromarray(image).resize(self.to_wh, PillowImage.Resampling.BILINEAR, box=region)
        found = np.asarray(picture)
        return np.ascontiguousarray(found[:, ::-1]) if self.mirrored else found

    def box(self, xyxy: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Corners in px of the new picture, beyond its frame where the window cuts the box."""
        scale_x, scale_y = self.to_wh[0] / self.size_wh[0], self.to_wh[1] / self.size_wh[1]
        x1, x2 = ((x - self.corner_xy[0]) * scale_x for x in (xyxy[0], xyxy[2]))
        y1, y2 = ((y - self.corner_xy[1]) * scale_y for y in (xyxy[1], xyxy[3]))
        return (self.to_wh[0] - x2, y1, self.to_wh[0] - x1, y2) if self.mirrored else (x1, y1, x2, y2)


def scaled_wh(wh: tuple[int, int], *, longer_px: int) -> tuple[int, int]:
    """The size with the same shape whose longer side is `longer_px`."""
    scale = longer_px / max(wh)
    return (max(1, round(wh[0] * scale)), max(1, round(wh[1] * scale)))


def whole_window(wh: tuple[int, int], *, longer_px: int) -> Window:
    return Window((0.0, 0.0), (float(wh[0]), float(wh[1])), False, scaled_wh(wh, longer_px=longer_px))


def random_window(wh: tuple[int, int], *, longer_px: int, rng: Rng) -> Window:
    """Between MIN_WINDOW and all of a picture, mirrored half of the time."""
    share = rng.uniform(MIN_WINDOW, 1)
    size = (wh[0] * share, wh[1] * share)
    corner = (rng.uniform(0, wh[0] - size[0]), rng.uniform(0, wh[1] - size[1]))
    return Window(corner, size, bool(rng.random() < 0.5), scaled_wh(wh, longer_px=longer_px))


def place_labels(image: Image, labels: Sequence[Label], window: Window) -> list[SceneObject]:
    """A picture's own labels in the window; those wholly outside are left out."""
    placed = [_place(image, label, window) for label in labels]
    return [item for item in placed if item.mask.any()]


def keep_some(
    objects: Sequence[SceneObject], *, keep_share: float, rng: Rng
) -> tuple[list[SceneObject], list[SceneObject]]:
    """The objects that stay and those that go.

    An ignored object always stays, and so does one whose box overlaps the box of an object that stays.
    """
    stays = [bool(item.label.ignore or rng.random() < keep_share) for item in objects]
    boxes = Boxes.of([item.label.xyxy for item in objects], class_id=[0] * len(objects))
    touching = boxes.iou(boxes) > _TOUCHING_IOU
    while (spread := _spread(stays, touching)) != stays:
        stays = spread
    kept = [item for item, here in zip(objects, stays, strict=True) if here]
    gone = [item for item, here in zip(objects, stays, strict=True) if not here]
    return kept, gone


def paint_over(image: Image, gone: Sequence[SceneObject], kept: Sequence[SceneObject], *, rng: Rng) -> Image:
    """The picture without the objects that go, and with every pixel of those that stay."""
    if not gone:
        return image
    others = np.zeros_like(gone[0].mask)
    for item in kept:
        others |= item.mask
    hole = np.zeros_like(others)
    for item in gone:
        x1, y1, x2, y2 = (round(value) for value in _grown(item.label.xyxy, _HOLE_MARGIN))
        hole[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
    return remove(image, hole & ~others, others=others, rng=rng)


def box_mask(xyxy: tuple[float, float, float, float], *, wh: tuple[int, int]) -> tuple[Mask, int]:
    """The ellipse of a box (rounded to whole px) in a frame, and how many pixels it has without the frame."""
    x1, y1, x2, y2 = (round(value) for value in xyxy)
    shape = ellipse(max(x2 - x1, 1), max(y2 - y1, 1))
    return into_frame(shape, (x1, y1), wh=wh), int(shape.sum())


def into_frame(shape: Mask, corner_xy: tuple[int, int], *, wh: tuple[int, int]) -> Mask:
    """(H, W) bool of the frame with a smaller mask's upper left corner at `corner_xy`, cut by the frame."""
    frame = np.zeros((wh[1], wh[0]), np.bool_)
    (x, y), (height, width) = corner_xy, shape.shape
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, wh[0]), min(y + height, wh[1])
    if left < right and top < bottom:
        frame[top:bottom, left:right] = shape[top - y : bottom - y, left - x : right - x]
    return frame


def _place(image: Image, label: Label, window: Window) -> SceneObject:
    box = window.box(label.xyxy)
    if label.mask:
        source = decode_mask(label.mask, shape=image.shape[:2])  # type: ignore[arg-type]
        mask = window.pixels(source.astype(np.uint8) * 255) > 127
        scale = (window.to_wh[0] / window.size_wh[0]) * (window.to_wh[1] / window.size_wh[1])
        full_px = max(int(mask.sum()), round(float(source.sum()) * scale))
    else:
        mask, full_px = box_mask(box, wh=window.to_wh)
    w, h = map(float, window.to_wh)
    x1, y1, x2, y2 = box
    inside = (min(max(x1, 0.0), w), min(max(y1, 0.0), h), min(max(x2, 0.0), w), min(max(y2, 0.0), h))
    return SceneObject(replace(label, xyxy=inside), mask, full_px)


def _spread(stays: list[bool], touching: npt.NDArray[np.bool_]) -> list[bool]:
    return [here or bool((touching[index] & np.array(stays)).any()) for index, here in enumerate(stays)]


def _grown(xyxy: tuple[float, float, float, float], share: float) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = xyxy
    dx, dy = (x2 - x1) * share, (y2 - y1) * share
    return (x1 - dx, y1 - dy, x2 + dx, y2 + dy)
