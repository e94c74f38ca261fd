"""The compositor: paste crops into a background so that neither the eye nor a detector finds the seam.

Decides the blend of every pasted object, drawn at random so that no single seam can be learned (Dwibedi et al. 2017,
Cut, Paste and Learn, arXiv 1708.01642, §5), and the labels that follow: the tight box of what can still be seen, an
ignore region where too little can, nothing where it is smaller than MIN_BOX_PX. Refuses nothing: where objects stand
is the layout model's business.

    item = paste(canvas, sprite, plan, rng=rng)         # the canvas changes in place
    labels = label_scene(kept, [item], wh=(64, 48), min_visible=0.3)
    image = vary_light(canvas, photometry, rng=rng)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgewright.data.rows import Label, LabelSource
from edgewright.runtime.boxes import FloatArray, Image
from edgewright.synth.boxes import cut_to_frame, encode_part, tight_box
from edgewright.synth.compose.background import SceneObject
from edgewright.synth.layout.layouts import Planned, Rng
from edgewright.synth.matte import Mask
from edgewright.synth.objects.membrane import membrane
from edgewright.synth.objects.sprites import BLENDS, Cover, Fit, Sprite, fit
from edgewright.synth.sources import MIN_BOX_PX

_MAX_LIGHT_SHIFT = 30.0
_MAX_MEMBRANE = 12.0


@dataclass(frozen=True)
class Photometry:
    """How much real pictures of this source differ in light: relative sd of their mean and of their contrast."""

    gain_sd: float
    contrast_sd: float


def paste(canvas: FloatArray, sprite: Sprite, plan: Planned, *, rng: Rng, fit: Fit = fit) -> SceneObject:
    """Draw a sprite into the planned box of a picture, in place; the object that it is.

    Args:
        canvas: (H, W, 3) float32, levels of 8 bits, rounded and cut to [0, 255] when the picture is done.
        fit: how the sprite comes to its size; one that remembers what it did is faster and gives the same.
    """
    x1, y1, x2, y2 = map(round, plan.xyxy)
    box_wh = (max(x2 - x1, 1), max(y2 - y1, 1))
    mirrored, strength, blend = rng.random(3).tolist()
    fitted = fit(sprite, box_wh)
    cover = fitted.cover(BLENDS[int(blend * len(BLENDS))], mirrored=mirrored < 0.5)
    corner = (x1 - fitted.margin_wh[0], y1 - fitted.margin_wh[1])
    _blend(canvas, cover, corner, strength=(1 + strength) / 2)
    at = (corner[0] + fitted.shape_xy[0], corner[1] + fitted.shape_xy[1])  # a shape has equal margins on both sides
    shape = fitted.shape[:, ::-1] if mirrored < 0.5 else fitted.shape
    part, part_corner = cut_to_frame(shape, at, wh=(canvas.shape[1], canvas.shape[0]))
    px = fitted.shape_px if part is shape else int(np.count_nonzero(part))
    label = constructed(sprite.class_id)
    if part is shape and not sprite.masked:  # an ellipse touches all sides of its box
        box = (float(x1), float(y1), float(x1 + box_wh[0]), float(y1 + box_wh[1]))
    else:
        box = tight_box(part, part_corner) or label.xyxy
    return SceneObject(label, box, part, part_corner, px, fitted.shape_px)


@lru_cache(maxsize=1024)
def constructed(class_id: int) -> Label:
    """What the labels of made objects of a class have in common."""
    return Label(0, class_id, (0.0, 0.0, 0.0, 0.0), source=LabelSource.CONSTRUCTED)


def label_scene(
    kept: Sequence[SceneObject], pasted: Sequence[SceneObject], *, wh: tuple[int, int], min_visible: float
) -> list[Label]:
    """Labels of a finished scene, kept objects first, then pasted ones from the bottom up; instance ids from 0.

    A kept object that no pasted one covers has its label as it was; of a pasted one the visible mask is kept too.
    """
    items = [*kept, *pasted]
    covered = _covered(items, len(kept))
    top = np.zeros((wh[1], wh[0]), np.int16)  # which pasted object is seen, from 1; 0: none
    for number, item in enumerate(pasted, 1):
        np.copyto(item.of(top), number, where=item.shape)
    labels: list[Label] = []
    for index, item in enumerate(items):
        number = max(index - len(kept) + 1, 0)
        seen = item.shape & (item.of(top) == number) if covered[index] else item.shape
        label = _label(item, seen, instance_id=len(labels), wh=wh, min_visible=min_visible, pasted=number > 0)
        if label is not None:
            labels.append(label)
    return labels


def vary_light(canvas: FloatArray, photometry: Photometry, *, rng: Rng) -> Image:
    """Another exposure and contrast, as far apart as half of what real pictures differ by, in whole levels.

    (H, W, 3) float32, which is used up => (H, W, 3) uint8.
    """
    gain, contrast = (
        math.exp(min(max(draw * sd / 2, -0.15), 0.15))
        for draw, sd in zip(rng.standard_normal(2).tolist(), (photometry.gain_sd, photometry.contrast_sd), strict=True)
    )
    mean = gain * float(np.add.reduce(canvas, axis=None)) / canvas.size
    canvas *= np.float32(gain * contrast)
    canvas += np.float32(mean - mean * contrast)
    np.rint(canvas, out=canvas)
    np.minimum(np.maximum(canvas, 0, out=canvas), 255, out=canvas)  # as np.clip, which takes twice as long to call
    return canvas.astype(np.uint8)


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
) -> Label | None:
    """The label of what can be seen of an object, or none. A box that was given stays as it is where all is seen."""
    given = item.label
    seen_px = item.px if seen is item.shape else int(np.count_nonzero(seen))
    whole = seen_px == (item.px if pasted else item.full_px)
    box = item.xyxy if whole else tight_box(seen, item.corner_xy)
    if box is None or min(box[2] - box[0], box[3] - box[1]) < MIN_BOX_PX:
        return None
    mask = encode_part(seen, item.corner_xy, wh=wh) if pasted or given.mask else ""
    ignore = given.ignore or seen_px < min_visible * item.full_px
    return Label(
        instance_id, given.class_id, box, mask, ignore, given.confidence, given.source, given.model, given.person
    )


def _blend(canvas: FloatArray, cover: Cover, corner_xy: tuple[int, int], *, strength: float) -> None:
    """The crop over the picture; `strength` is how far its light follows that of the place, in [0, 1]."""
    seen, (left, top) = cover.cut(corner_xy, wh=(canvas.shape[1], canvas.shape[0]))
    height, width = seen.rim.mask.shape
    if not height or not width:
        return
    place = canvas[top : top + height, left : left + width]
    change = seen.rgb - place
    change += np.float32(strength) * _light_shift(change, seen)
    change *= seen.alpha
    place += change


def _light_shift(change: FloatArray, cover: Cover) -> FloatArray:
    """What to add to a crop so that its rim has the place's light: one color, or a membrane over the rim's differences.

    Bounded: where the rim lies on a neighbor, its color must not flood the crop.
    """
    if not len(cover.rim.at):
        return np.zeros(3, np.float32)
    values = change.reshape(-1, 3).take(cover.rim.at, axis=0)
    np.negative(values, out=values)
    usual: FloatArray = np.partition(values, len(values) // 2, axis=0)[len(values) // 2]
    light = membrane(values, cover.rim, usual=usual, limit=_MAX_MEMBRANE) if cover.smooth else usual
    bounded: FloatArray = np.minimum(np.maximum(light, -_MAX_LIGHT_SHIFT), _MAX_LIGHT_SHIFT)
    return bounded
