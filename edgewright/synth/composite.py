"""The compositor: paste crops into a background so that neither the eye nor a detector finds the seam.

Decides the blend of every pasted object, drawn at random so that no single seam can be learnt (Dwibedi et al. 2017,
Cut, Paste and Learn, arXiv 1708.01642, §5), and the labels that follow: the tight box of what can still be seen, an
ignore region where too little can, nothing where it is smaller than MIN_BOX_PX. Refuses nothing: where objects stand
is the layout model's business.

    image, item = paste(background, sprite, plan, rng=rng)
    labels = label_scene(kept, [item], min_visible=0.3)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFilter

from edgewright.data.rle import encode_mask
from edgewright.data.rows import Label
from edgewright.runtime.boxes import FloatArray, Image
from edgewright.synth.background import SceneObject, into_frame
from edgewright.synth.crops import Rgba
from edgewright.synth.fill import Mask, fill_smooth
from edgewright.synth.layouts import Planned, Rng
from edgewright.synth.matte import MARGIN, ellipse
from edgewright.synth.sources import MIN_BOX_PX

BLENDS = ("hard", "feather", "membrane")
_MAX_LIGHT_SHIFT = 30.0
_MAX_MEMBRANE = 12.0
_RIM_OPACITY = 0.05


@dataclass(frozen=True)
class Sprite:
    """A crop on its way into a scene. `masked`: its opacity is its shape; otherwise the box's ellipse is."""

    rgba: Rgba
    class_id: int
    source: str
    masked: bool


@dataclass(frozen=True)
class Photometry:
    """How much real pictures of this source differ in light: relative sd of their mean and of their contrast."""

    gain_sd: float
    contrast_sd: float


def paste(image: Image, sprite: Sprite, plan: Planned, *, rng: Rng) -> tuple[Image, SceneObject]:
    """The picture with a sprite in the planned box, and the object that it is. The picture passed in stays as it is."""
    x1, y1, x2, y2 = (round(value) for value in plan.xyxy)
    box_wh = (max(x2 - x1, 1), max(y2 - y1, 1))
    margin = (int(box_wh[0] * MARGIN), int(box_wh[1] * MARGIN))
    rgba = _fit(sprite.rgba, box_wh=box_wh, margin_wh=margin)
    rgba = rgba[:, ::-1] if rng.random() < 0.5 else rgba
    corner = (x1 - margin[0], y1 - margin[1])
    frame_wh = (image.shape[1], image.shape[0])
    shape = rgba[:, :, 3] > 127 if sprite.masked else _box_shape(box_wh, margin)
    mask = into_frame(shape, corner, wh=frame_wh)
    blended = _blend(image, rgba, corner, blend=BLENDS[int(rng.integers(len(BLENDS)))], strength=rng.uniform(0.5, 1))
    label = Label(0, sprite.class_id, tight_box(mask) or (0.0, 0.0, 0.0, 0.0), source="constructed")
    return blended, SceneObject(label, mask, int(shape.sum()))


def label_scene(kept: Sequence[SceneObject], pasted: Sequence[SceneObject], *, min_visible: float) -> list[Label]:
    """Labels of a finished scene, kept objects first, then pasted ones from the bottom up; instance ids from 0.

    A kept object that no pasted one covers has its label as it was; of a pasted one the visible mask is kept too.
    """
    visible: list[Label] = []
    covered = np.zeros_like((*kept, *pasted)[0].mask) if (*kept, *pasted) else np.zeros((1, 1), np.bool_)
    for item in reversed(pasted):
        seen = item.mask & ~covered
        covered |= item.mask
        visible += _seen_label(item, seen, min_visible=min_visible, with_mask=True)
    for item in reversed(kept):
        if (item.mask & covered).any() or int(item.mask.sum()) < item.full_px:
            visible += _seen_label(item, item.mask & ~covered, min_visible=min_visible, with_mask=bool(item.label.mask))
        elif min(item.label.xyxy[2] - item.label.xyxy[0], item.label.xyxy[3] - item.label.xyxy[1]) >= MIN_BOX_PX:
            visible.append(replace(item.label, mask=encode_mask(item.mask) if item.label.mask else ""))
    return [replace(label, instance_id=index) for index, label in enumerate(reversed(visible))]


def tight_box(mask: Mask) -> tuple[float, float, float, float] | None:
    """The smallest box that holds every pixel of a mask, in px; None for an empty mask."""
    xs, ys = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(xs):
        return None
    return (float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1))


def vary_light(image: Image, photometry: Photometry, *, rng: Rng) -> Image:
    """Another exposure and contrast, as far apart as half of what real pictures differ by."""
    gain = float(np.exp(np.clip(rng.normal(0, photometry.gain_sd / 2), -0.15, 0.15)))
    contrast = float(np.exp(np.clip(rng.normal(0, photometry.contrast_sd / 2), -0.15, 0.15)))
    pixels = image.astype(np.float32) * np.float32(gain)
    mean = pixels.mean()
    return _to_uint8((pixels - mean) * np.float32(contrast) + mean)


def _seen_label(item: SceneObject, seen: Mask, *, min_visible: float, with_mask: bool) -> list[Label]:
    box = tight_box(seen)
    if box is None or min(box[2] - box[0], box[3] - box[1]) < MIN_BOX_PX:
        return []
    ignore = item.label.ignore or float(seen.sum()) < min_visible * item.full_px
    return [replace(item.label, xyxy=box, mask=encode_mask(seen) if with_mask else "", ignore=ignore)]


def _fit(rgba: Rgba, *, box_wh: tuple[int, int], margin_wh: tuple[int, int]) -> Rgba:
    """The crop resampled so that its box has `box_wh` px and whole px of margin are left around it."""
    regions = []
    for side_px, box_px, margin_px in zip((rgba.shape[1], rgba.shape[0]), box_wh, margin_wh, strict=True):
        per_px = side_px / (box_px * (1 + 2 * MARGIN))
        half = (box_px / 2 + margin_px) * per_px
        regions.append((max(side_px / 2 - half, 0.0), min(side_px / 2 + half, float(side_px))))
    (left, right), (top, bottom) = regions
    size = (box_wh[0] + 2 * margin_wh[0], box_wh[1] + 2 * margin_wh[1])
    parts = [
        PillowImage.fromarray(np.ascontiguousarray(part)).resize(
            size, PillowImage.Resampling.BILINEAR, box=(left, top, right, bottom)
        )
        for part in (rgba[:, :, :3], rgba[:, :, 3])
    ]
    return np.dstack([np.asarray(part) for part in parts])


def _box_shape(box_wh: tuple[int, int], margin_wh: tuple[int, int]) -> Mask:
    return np.pad(ellipse(*box_wh), ((margin_wh[1],) * 2, (margin_wh[0],) * 2))


def _blend(image: Image, rgba: Rgba, corner_xy: tuple[int, int], *, blend: str, strength: float) -> Image:
    """The crop over the picture; `strength` is how far its light follows that of the place, in [0, 1]."""
    (x, y), (height, width) = corner_xy, rgba.shape[:2]
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, image.shape[1]), min(y + height, image.shape[0])
    if left >= right or top >= bottom:
        return image
    crop = rgba[top - y : bottom - y, left - x : right - x].astype(np.float32)
    place = image[top:bottom, left:right].astype(np.float32)
    alpha = _opacity(crop[:, :, 3], blend)[:, :, None]
    light = _light_shift(place - crop[:, :, :3], alpha[:, :, 0] < _RIM_OPACITY, blend)
    over = crop[:, :, :3] + np.float32(strength) * np.clip(light, -_MAX_LIGHT_SHIFT, _MAX_LIGHT_SHIFT)
    result = image.copy()
    result[top:bottom, left:right] = _to_uint8(alpha * over + (1 - alpha) * place)
    return result


def _opacity(alpha: FloatArray, blend: str) -> FloatArray:
    """uint8-valued opacity => [0, 1]: steep for `hard`, blurred for `feather`, as it is for `membrane`."""
    if blend == "hard":
        return np.clip((alpha - 64) / 128, 0, 1).astype(np.float32)
    if blend == "feather":
        radius = max(0.6, min(alpha.shape) / 40)
        picture = PillowImage.fromarray(alpha.astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
        return np.asarray(picture, np.float32) / np.float32(255)
    return alpha / np.float32(255)


def _light_shift(difference: FloatArray, rim: Mask, blend: str) -> FloatArray:
    """What to add to a crop so that its rim has the place's light: one color, or a membrane over the rim's differences.

    The membrane is the smooth interpolation that Poisson cloning adds (Farbman et al. 2009, eq. 1).
    """
    if not rim.any():
        return np.zeros((1, 1, 3), np.float32)
    usual = np.median(difference[rim], axis=0).astype(np.float32)[None, None]
    if blend == "membrane":  # bounded: where the rim lies on a neighbor, its color must not flood the crop
        return fill_smooth(usual + np.clip(difference - usual, -_MAX_MEMBRANE, _MAX_MEMBRANE), rim)
    return usual


def _to_uint8(pixels: FloatArray) -> Image:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
