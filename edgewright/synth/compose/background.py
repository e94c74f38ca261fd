"""Backgrounds: a real train picture, framed anew, with some of its own objects kept and the others painted over.

Decides which of a picture's objects stay. Refuses to paint over an object that touches one that stays: its removal
would leave a stump. What stays keeps its label, moved with the picture. What every picture made from one source has in
common (decoded pixels at a working size, the clean picture without objects, who touches whom) is a `Plate`, made once.

    plate = make_plate(image, row.labels, longer_px=64, grain_seed=(0,))
    stays = keep_some(plate, keep_share=0.5, rng=rng)
    window = random_window(plate.wh, longer_px=64, rng=rng)
    image, objects = window.pixels(plate.without(stays)), place_objects(plate, window)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from edgewright.data.rle import decode_mask
from edgewright.data.rows import Label
from edgewright.runtime.boxes import Boxes, Image
from edgewright.synth.boxes import Corners, Floats, cut_to_frame, frame_boxes, oval, oval_px, overlaps
from edgewright.synth.compose.fill import remove
from edgewright.synth.layout.layouts import Planned, Rng
from edgewright.synth.matte import Mask

MIN_WINDOW = 0.92
"""The part of the picture that is framed, as a share of its sides: between this and 1."""
_HOLE_MARGIN = 0.12
"""How far beyond its box an object is painted over, as a share of the box's side (shadows, blur, loose boxes)."""
_TOUCHING_IOU = 0.05
_WORKING_SCALE = 1.5
"""A plate is at least this many times as large as what is made of it, if its source is: windows are resampled again."""
_MIN_KNOWN = 0.02
"""A clean picture is filled in from no less than this share of its pixels."""
_PATCH_BORDER = 4
_MIN_GAP_PX = 0.5
"""Of an object that goes: with less of it in the frame, nothing was painted over there."""


@dataclass(frozen=True)
class SceneObject:
    """An object in a scene.

    Attributes:
        label: whose class, source and flags it has; its own box and mask are those of where it came from.
        xyxy: box in px of the scene, inside the frame.
        shape: (h, w) bool, its pixels in the frame, whether covered by others or not.
        corner_xy: where `shape` begins in the frame, px.
        px: how many pixels that are.
        full_px: how many it would be without the frame.
    """

    label: Label
    xyxy: Corners
    shape: Mask
    corner_xy: tuple[int, int]
    px: int
    full_px: int

    def of(self, frame: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """(H, W, ...) of the frame => the (h, w, ...) behind `shape`, as a view."""
        (x, y), (height, width) = self.corner_xy, self.shape.shape
        return frame[y : y + height, x : x + width]


@dataclass(frozen=True)
class Window:
    """A part of a picture, mirrored or not, at a new size. The same for pixels, boxes and masks."""

    corner_xy: tuple[float, float]
    size_wh: tuple[float, float]
    mirrored: bool
    to_wh: tuple[int, int]

    @property
    def scale_xy(self) -> tuple[float, float]:
        return (self.to_wh[0] / self.size_wh[0], self.to_wh[1] / self.size_wh[1])

    def pixels(self, image: Image) -> Image:
        """(H, W, 3) uint8 => (to_h, to_w, 3) uint8 of its own, bilinear and antialiased as in `letterbox`."""
        height, width = image.shape[:2]
        right, bottom = self.corner_xy[0] + self.size_wh[0], self.corner_xy[1] + self.size_wh[1]
        region = (*self.corner_xy, min(right, width), min(bottom, height))
        picture = PillowImage.fromarray(image).resize(self.to_wh, PillowImage.Resampling.BILINEAR, box=region)
        if self.mirrored:
            picture = picture.transpose(PillowImage.Transpose.FLIP_LEFT_RIGHT)
        return np.array(picture)

    def boxes(self, xyxy: Floats) -> Floats:
        """(N, 4) corners in px of the new picture, beyond its frame where the window cuts the box."""
        moved: Floats = (xyxy - np.array(self.corner_xy * 2)) * np.array(self.scale_xy * 2)
        if self.mirrored:
            moved[:, [0, 2]] = self.to_wh[0] - moved[:, [2, 0]]
        return moved

    def patch(self, patch: npt.NDArray[np.uint8], corner_xy: tuple[int, int]) -> tuple[Mask, tuple[int, int]]:
        """A mask's patch (0 or 255, border 0) as a mask in the new picture, and its corner there, uncut."""
        low, high = [], []
        for axis, side in enumerate((patch.shape[1], patch.shape[0])):
            start = (corner_xy[axis] + _PATCH_BORDER - self.corner_xy[axis]) * self.scale_xy[axis]
            low.append(int(np.floor(start)))
            high.append(int(np.ceil(start + (side - 2 * _PATCH_BORDER) * self.scale_xy[axis])))
        left, top, right, bottom = (
            value / self.scale_xy[axis] + self.corner_xy[axis] - corner_xy[axis]
            for axis, value in ((0, low[0]), (1, low[1]), (0, high[0]), (1, high[1]))
        )
        region = (max(left, 0.0), max(top, 0.0), min(right, float(patch.shape[1])), min(bottom, float(patch.shape[0])))
        size = (high[0] - low[0], high[1] - low[1])
        picture = PillowImage.fromarray(patch).resize(size, PillowImage.Resampling.BILINEAR, box=region)
        found = np.asarray(picture) > 127
        return (found[:, ::-1], (self.to_wh[0] - high[0], low[1])) if self.mirrored else (found, (low[0], low[1]))


@dataclass(frozen=True)
class Plate:
    """A train picture at working size.

    Attributes:
        picture: its pixels; the last column and row may hold less than a whole one's worth.
        wh: its sides in px of the plate, not whole where the size is no multiple of the reduction.
        labels: all of them, as they were given.
        xyxy: (N, 4) their boxes, px of the plate.
        patches: their masks around the object with a border of 0, and the corner, or None where a label has none.
        groups: which objects touch each other, directly or through others: equal numbers.
        grain_seed: what the texture under removed objects is drawn from.
    """

    picture: Image
    wh: tuple[float, float]
    labels: tuple[Label, ...]
    xyxy: Floats
    patches: tuple[tuple[npt.NDArray[np.uint8], tuple[int, int]] | None, ...]
    groups: npt.NDArray[np.int64]
    grain_seed: tuple[int, ...]

    @cached_property
    def class_id(self) -> npt.NDArray[np.int64]:
        """(N,)"""
        return np.array([label.class_id for label in self.labels], np.int64)

    @cached_property
    def ignored(self) -> npt.NDArray[np.bool_]:
        """(N,)"""
        return np.array([label.ignore for label in self.labels], np.bool_)

    @cached_property
    def objects(self) -> list[SceneObject]:
        """Where the objects are in the plate itself."""
        height, width = self.picture.shape[:2]
        return place_objects(self, Window((0.0, 0.0), (float(width), float(height)), False, (width, height)))

    @cached_property
    def holes(self) -> list[tuple[slice, slice]]:
        """What is painted over where an object goes: its box and some more."""
        margin = _HOLE_MARGIN * (self.xyxy[:, 2:] - self.xyxy[:, :2])
        grown = np.rint(np.concatenate([self.xyxy[:, :2] - margin, self.xyxy[:, 2:] + margin], axis=1))
        corners = np.maximum(grown, 0).astype(np.int64).tolist()
        return [(slice(y1, y2), slice(x1, x2)) for x1, y1, x2, y2 in corners]

    @cached_property
    def crossed(self) -> Mask:
        """(N, N): whether painting over the first object's box reaches into the second's."""
        margin = _HOLE_MARGIN * (self.xyxy[:, 2:] - self.xyxy[:, :2]) + 1
        holes = np.concatenate([self.xyxy[:, :2] - margin, self.xyxy[:, 2:] + margin], axis=1)
        return overlaps(holes, self.xyxy)

    @cached_property
    def clean(self) -> Image:
        """The picture without any object, ignored ones excepted."""
        hole, ignored = np.zeros((2, *self.picture.shape[:2]), np.bool_)
        for item, where in zip(self.objects, self.holes, strict=True):
            if item.label.ignore:
                item.of(ignored)[item.shape] = True
            else:
                hole[where] = True
        if (~hole & ~ignored).mean() < _MIN_KNOWN:  # crowded: what lies between the boxes is no object either
            hole[:] = False
            for item in self.objects:
                item.of(hole)[item.shape] = True
        if (~hole & ~ignored).mean() < _MIN_KNOWN:
            return self.picture
        return remove(self.picture, hole & ~ignored, others=ignored, rng=np.random.default_rng(self.grain_seed))

    def without(self, stays: npt.NDArray[np.bool_]) -> Image:
        """The picture without the objects that go, and with every pixel of those that stay; not to be written to."""
        if stays.all():
            return self.picture
        image = self.picture.copy()
        for index in (~stays).nonzero()[0].tolist():
            image[self.holes[index]] = self.clean[self.holes[index]]
        for index in (stays & self.crossed[~stays].any(axis=0)).nonzero()[0].tolist():
            item = self.objects[index]
            np.copyto(item.of(image), item.of(self.picture), where=item.shape[:, :, None])
        return image

    @property
    def bytes(self) -> int:
        """Memory it takes when the clean picture is made, in bytes; shapes and labels estimated."""
        return (
            2 * self.picture.nbytes + sum(patch[0].nbytes for patch in self.patches if patch) + 600 * len(self.labels)
        )


def make_plate(image: Image, labels: Sequence[Label], *, longer_px: int, grain_seed: tuple[int, ...]) -> Plate:
    """A source (H, W, 3) uint8 and its labels at the working size of pictures whose longer side is `longer_px`."""
    height, width = image.shape[:2]
    factor = max(1, int(max(width, height) / (_WORKING_SCALE * longer_px)))
    picture = _reduced(image, factor) if factor > 1 else image
    xyxy = np.array([label.xyxy for label in labels], np.float64).reshape(-1, 4) / factor
    masks = [decode_mask(label.mask, shape=(height, width)) if label.mask else None for label in labels]
    patches = tuple(None if mask is None or not mask.any() else _patch(mask, factor) for mask in masks)
    return Plate(picture, (width / factor, height / factor), tuple(labels), xyxy, patches, _groups(xyxy), grain_seed)


def scaled_wh(wh: tuple[float, float], *, longer_px: int) -> tuple[int, int]:
    """The size with the same shape whose longer side is `longer_px`."""
    scale = longer_px / max(wh)
    return (max(1, round(wh[0] * scale)), max(1, round(wh[1] * scale)))


def whole_window(wh: tuple[float, float], *, longer_px: int) -> Window:
    return Window((0.0, 0.0), wh, False, scaled_wh(wh, longer_px=longer_px))


def random_window(wh: tuple[float, float], *, longer_px: int, rng: Rng) -> Window:
    """Between MIN_WINDOW and all of a picture, mirrored half of the time."""
    share, x, y, side = rng.random(4).tolist()
    share = MIN_WINDOW + (1 - MIN_WINDOW) * share
    size = (wh[0] * share, wh[1] * share)
    return Window((x * (wh[0] - size[0]), y * (wh[1] - size[1])), size, side < 0.5, scaled_wh(wh, longer_px=longer_px))


def keep_some(plate: Plate, *, keep_share: float | Floats, rng: Rng) -> npt.NDArray[np.bool_]:
    """(N,) which objects stay: an ignored one always, and whatever touches one that stays.

    Args:
        keep_share: of all objects, or (N,) of each.
    """
    chosen = plate.ignored | (rng.random(len(plate.labels)) < keep_share)
    held = np.zeros(len(plate.labels), np.bool_)
    held[plate.groups[chosen]] = True
    stays: npt.NDArray[np.bool_] = held[plate.groups]
    return stays


def place_labels(image: Image, labels: Sequence[Label], window: Window) -> list[SceneObject]:
    """The labels of a picture of full size in a window of it; those that have no pixel there are left out."""
    longer_px = max(image.shape[:2])
    plate = make_plate(image, labels, longer_px=longer_px, grain_seed=())
    return [item for item in place_objects(plate, window) if item.px]


def place_objects(plate: Plate, window: Window) -> list[SceneObject]:
    """Every object of the plate in the window, in order; those outside have no pixel."""
    return split_objects(plate, window, stays=np.ones(len(plate.labels), np.bool_))[0]


def split_objects(
    plate: Plate, window: Window, *, stays: npt.NDArray[np.bool_]
) -> tuple[list[SceneObject], list[Planned]]:
    """Objects that stay, in order, those outside without a pixel; and the boxes of those that go, as far as inside."""
    moved = window.boxes(plate.xyxy)
    inside, seen = frame_boxes(moved, wh=window.to_wh, min_px=_MIN_GAP_PX)
    boxes, visible, corners = inside.tolist(), seen.tolist(), np.rint(moved).astype(np.int64).tolist()
    kept, gaps = [], []
    for index, here in enumerate(stays.tolist()):
        if here:
            kept.append(_place(plate, index, window, box=boxes[index], corners=corners[index]))
        elif visible[index]:
            left, top, right, bottom = boxes[index]
            gaps.append(Planned(plate.labels[index].class_id, (left, top, right, bottom)))
    return kept, gaps


def _place(plate: Plate, index: int, window: Window, *, box: list[float], corners: list[int]) -> SceneObject:
    """One object in the window, its box given, cut and in whole px."""
    x1, y1, x2, y2 = corners
    patch = plate.patches[index]
    if patch is None:
        width, height = max(x2 - x1, 1), max(y2 - y1, 1)
        shape, corner, full_px = oval(width, height), (x1, y1), oval_px(width, height)
    else:
        shape, corner = window.patch(*patch)
        full_px = int(np.count_nonzero(shape))
    part, corner = cut_to_frame(shape, corner, wh=window.to_wh)
    px = full_px if part is shape else int(np.count_nonzero(part))
    left, top, right, bottom = box
    return SceneObject(plate.labels[index], (left, top, right, bottom), part, corner, px, full_px)


def _reduced(image: Image, factor: int) -> Image:
    """Smaller by a whole factor, edges repeated up to a multiple of it.

    Lanczos, because the mean of blocks costs sharpness that the window's own resampling cannot bring back.
    """
    height, width = image.shape[:2]
    full = np.pad(image, ((0, -height % factor), (0, -width % factor), (0, 0)), mode="edge")
    size = (full.shape[1] // factor, full.shape[0] // factor)
    return np.asarray(PillowImage.fromarray(full).resize(size, PillowImage.Resampling.LANCZOS))


def _patch(mask: Mask, factor: int) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """A mask's surroundings, reduced to shares of covered pixels in [0, 255], and the corner in px of the plate."""
    ys, xs = np.logical_or.reduce(mask, axis=1).nonzero()[0], np.logical_or.reduce(mask, axis=0).nonzero()[0]
    x, y = int(xs[0]) // factor, int(ys[0]) // factor
    width, height = int(xs[-1]) // factor - x + 1, int(ys[-1]) // factor - y + 1
    part = mask[y * factor : (y + height) * factor, x * factor : (x + width) * factor]
    full = np.zeros((height * factor, width * factor), np.float32)
    full[: part.shape[0], : part.shape[1]] = part
    shares = full.reshape(height, factor, width, factor).mean(axis=(1, 3))
    patch = np.pad(np.rint(shares * 255).astype(np.uint8), _PATCH_BORDER)
    return patch, (x - _PATCH_BORDER, y - _PATCH_BORDER)


def _groups(xyxy: Floats) -> npt.NDArray[np.int64]:
    """(N,) the smallest index among all that an object touches, directly or through others."""
    boxes = Boxes.of(xyxy, class_id=np.zeros(len(xyxy)))
    touching = (boxes.iou(boxes) > _TOUCHING_IOU) | np.eye(len(xyxy), dtype=np.bool_)
    groups = np.arange(len(xyxy))
    while len(groups) and ((spread := np.where(touching, groups, len(groups)).min(axis=1)) != groups).any():
        groups = spread
    return groups
