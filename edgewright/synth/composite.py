"""The compositor: paste crops into a background so that neither the eye nor a detector finds the seam.

Decides the blend of every pasted object, drawn at random so that no single seam can be learnt (Dwibedi et al. 2017,
Cut, Paste and Learn, arXiv 1708.01642, §5), and the labels that follow: the tight box of what can still be seen, an
ignore region where too little can, nothing where it is smaller than MIN_BOX_PX. Refuses nothing: where objects stand
is the layout model's business.

    item = paste(image, sprite, plan, rng=rng)          # the picture changes in place
    labels = label_scene(kept, [item], wh=(64, 48), min_visible=0.3)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.data.rows import Label
from edgewright.runtime.boxes import FloatArray, Image
from edgewright.synth.background import SceneObject
from edgewright.synth.boxes import cut_to_frame, encode_part, tight_box
from edgewright.synth.fill import Mask
from edgewright.synth.layouts import Planned, Rng
from edgewright.synth.membrane import membrane
from edgewright.synth.sources import MIN_BOX_PX
from edgewright.synth.sprites import BLENDS, Fit, Fitted, Sprite, fit

_MAX_LIGHT_SHIFT = 30.0
_MAX_MEMBRANE = 12.0
_LEVELS = np.arange(256, dtype=np.float32)


@dataclass(frozen=True)
class Photometry:
    """How much real pictures of this source differ in light: relative sd of their mean and of their contrast."""

    gain_sd: float
    contrast_sd: float


def paste(image: Image, sprite: Sprite, plan: Planned, *, rng: Rng, fit: Fit = fit) -> SceneObject:
    """Draw a sprite into the planned box of a picture, in place; the object that it is.

    Args:
        fit: how the sprite comes to its size; one that remembers what it did is faster and gives the same.
    """
    x1, y1, x2, y2 = (round(value) for value in plan.xyxy)
    box_wh = (max(x2 - x1, 1), max(y2 - y1, 1))
    mirrored, strength, blend = rng.random(3).tolist()
    fitted = fit(sprite, box_wh)
    step = -1 if mirrored < 0.5 else 1
    corner = (x1 - fitted.margin_wh[0], y1 - fitted.margin_wh[1])
    _blend(image, fitted, corner, step=step, blend=BLENDS[int(blend * len(BLENDS))], strength=(1 + strength) / 2)
    at = (corner[0] + fitted.shape_xy[0], corner[1] + fitted.shape_xy[1])  # a shape has equal margins on both sides
    part, part_corner = cut_to_frame(fitted.shape[:, ::step], at, wh=(image.shape[1], image.shape[0]))
    label = Label(0, sprite.class_id, (0.0, 0.0, 0.0, 0.0), source="constructed")
    if part.shape == fitted.shape.shape and not sprite.masked:  # an ellipse touches all sides of its box
        box = (float(x1), float(y1), float(x1 + box_wh[0]), float(y1 + box_wh[1]))
    else:
        box = tight_box(part, part_corner) or label.xyxy
    return SceneObject(label, box, part, part_corner, int(np.count_nonzero(fitted.shape)))


def label_scene(
    kept: Sequence[SceneObject], pasted: Sequence[SceneObject], *, wh: tuple[int, int], min_visible: float
) -> list[Label]:
    """Labels of a finished scene, kept objects first, then pasted ones from the bottom up; instance ids from 0.

    A kept object that no pasted one covers has its label as it was; of a pasted one the visible mask is kept too.
    """
    items = [*kept, *pasted]
    if not items:
        return []
    covered = _covered(items, len(kept))
    top = np.zeros((wh[1], wh[0]), np.int16)  # which pasted object is seen, from 1; 0: none
    for number, item in enumerate(pasted, 1):
        np.copyto(item.of(top), number, where=item.shape)
    labels: list[Label] = []
    for index, item in enumerate(items):
        number = max(index - len(kept) + 1, 0)
        seen = item.shape & (item.of(top) == number) if covered[index] else item.shape
        labels += _label(item, seen, instance_id=len(labels), wh=wh, min_visible=min_visible, pasted=number > 0)
    return labels


def vary_light(image: Image, photometry: Photometry, *, rng: Rng) -> Image:
    """Another exposure and contrast, as far apart as half of what real pictures differ by."""
    draws = rng.standard_normal(2) * (photometry.gain_sd / 2, photometry.contrast_sd / 2)
    gain, contrast = np.exp(np.clip(draws, -0.15, 0.15)).tolist()
    mean = gain * float(image.mean())
    level = _to_uint8((_LEVELS * np.float32(gain) - np.float32(mean)) * np.float32(contrast) + np.float32(mean))
    return level.take(image)


def _covered(items: Sequence[SceneObject], n_kept: int) -> list[bool]:
    """Whether a pasted object above an item reaches into its part. All pasted ones lie above all kept ones."""
    spans = [(*item.corner_xy, item.shape.shape[1], item.shape.shape[0]) for item in items]
    return [
        any(
            x < left + width and left < x + w and y < top + height and top < y + h
            for left, top, width, height in spans[max(index + 1, n_kept) :]
        )
        for index, (x, y, w, h) in enumerate(spans)
    ]


def _label(
    item: SceneObject, seen: Mask, *, instance_id: int, wh: tuple[int, int], min_visible: float, pasted: bool
) -> list[Label]:
    """The label of what can be seen of an object, or none. A box that was given stays as it is where all is seen."""
    given = item.label
    seen_px = item.px if seen is item.shape else int(np.count_nonzero(seen))
    whole = seen_px == (item.px if pasted else item.full_px)
    box = item.xyxy if whole else tight_box(seen, item.corner_xy)
    if box is None or min(box[2] - box[0], box[3] - box[1]) < MIN_BOX_PX:
        return []
    mask = encode_part(seen, item.corner_xy, wh=wh) if pasted or given.mask else ""
    ignore = given.ignore or seen_px < min_visible * item.full_px
    return [
        Label(instance_id, given.class_id, box, mask, ignore, given.confidence, given.source, given.model, given.person)
    ]


def _blend(image: Image, fitted: Fitted, corner_xy: tuple[int, int], *, step: int, blend: str, strength: float) -> None:
    """The crop over the picture; `strength` is how far its light follows that of the place, in [0, 1].

    Args:
        step: -1 mirrors the crop, 1 does not.
    """
    wh = (image.shape[1], image.shape[0])
    rgb, (left, top) = cut_to_frame(fitted.rgb[:, ::step], corner_xy, wh=wh)
    whole_alpha, whole_rim = fitted.opacity(blend)
    alpha, _ = cut_to_frame(whole_alpha[:, ::step], corner_xy, wh=wh)
    rim, _ = cut_to_frame(whole_rim[:, ::step], corner_xy, wh=wh)
    height, width = rim.shape
    if not height or not width:
        return
    under = image[top : top + height, left : left + width]
    place = under.astype(np.float32)
    over = rgb - place
    over += np.float32(strength) * _light_shift(-over, rim, blend)
    over *= alpha[:, :, None]
    over += place
    under[:] = _to_uint8(over)


def _light_shift(difference: FloatArray, rim: Mask, blend: str) -> FloatArray:
    """What to add to a crop so that its rim has the place's light: one color, or a membrane over the rim's differences.

    Bounded: where the rim lies on a neighbor, its color must not flood the crop.
    """
    values = difference[rim]
    if not len(values):
        return np.zeros(3, np.float32)
    usual: FloatArray = np.partition(values, len(values) // 2, axis=0)[len(values) // 2]
    light = membrane(difference, rim, usual=usual, limit=_MAX_MEMBRANE) if blend == "membrane" else usual
    bounded: FloatArray = np.minimum(np.maximum(light, -_MAX_LIGHT_SHIFT), _MAX_LIGHT_SHIFT)
    return bounded


def _to_uint8(pixels: FloatArray) -> Image:
    """Rounded and cut to [0, 255]; the floats passed in are used up."""
    np.rint(pixels, out=pixels)
    np.minimum(np.maximum(pixels, 0, out=pixels), 255, out=pixels)  # as np.clip, which takes twice as long to call
    return pixels.astype(np.uint8)
