"""Checks on one picture and on its boxes, before either enters a dataset.

Decides what is stored of a picture: its own bytes where any reader finds the decoder's pixels in them, else a PNG of
these pixels, so that nobody sees others (`runtime/pictures.py` is the decoder, and says what it refuses). Decides box
by box: a box that is at least half inside is clipped, every other fault refuses the box and leaves the picture.
Nothing is repaired by guessing: a label file made for a picture of another size refuses the picture.

    picture = check_picture(payload, max_pixels=200_000_000)         # raises Unusable with the reason
    checked = check_boxes(annotation, picture, classes=("RBC",))     # labels, and what was refused
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from edgewright.data.codec import SOURCE, coded, encode_png
from edgewright.data.formats.annotation import Annotation, RawBox, RunLengths
from edgewright.data.phash import perceptual_hash
from edgewright.data.polygons import Points, fill_polygons, is_box
from edgewright.data.reduced import reduce_annotation
from edgewright.data.rle import Mask, decode_coco, encode_mask
from edgewright.data.rows import Label
from edgewright.data.sources import Unusable
from edgewright.errors import InputError
from edgewright.runtime.pictures import decode_picture, reduced_wh

MIN_INSIDE_SHARE = 0.5
_CUT_PX = 0.01
"""Less is the rounding of a label file's numbers."""
MAX_VERTICES = 20_000
"""Of one object: more is no outline that a person or a tool has drawn."""
_UPRIGHT: Mapping[int, Callable[[Mask], Mask]] = {
    5: lambda mask: mask.T,
    6: lambda mask: np.rot90(mask, -1),
    7: lambda mask: mask[::-1, ::-1].T,
    8: np.rot90,
}
"""EXIF orientation => what turns the picture as encoded upright (see `turn_upright`)."""
Xyxy = tuple[float, float, float, float]


@dataclass(frozen=True)
class CheckedPicture:
    """A picture that decodes.

    Attributes:
        payload: what is stored. codec, coded_of: how, and the sha256 of what was encoded; empty: as it is (`codec.py`).
        wh: px, upright, as stored.
        raw_wh: px as stored, before the EXIF orientation.
        orientation: the EXIF value, 1 to 8; 1 is upright.
        phash: 16 hex digits.
        reduced: how many px of the file one stored px is wide and high: 1, 2, 4 or 8.
        file_wh, upright_file_wh: px of the file, before and after the orientation, not reduced.
        notes: what the decoder changed, in words to be read after a number of pictures.
    """

    payload: bytes
    wh: tuple[int, int]
    raw_wh: tuple[int, int]
    orientation: int
    phash: str
    reduced: int
    file_wh: tuple[int, int]
    upright_file_wh: tuple[int, int]
    notes: tuple[str, ...]
    codec: str = ""
    coded_of: str = ""


@dataclass(frozen=True)
class CheckedBoxes:
    """Attributes: refused: (index in the annotation, reason); clipped: how many were cut at the picture's edge."""

    labels: tuple[Label, ...]
    refused: tuple[tuple[int, str], ...]
    clipped: int


def check_picture(payload: bytes, *, max_pixels: int, codec: str = SOURCE) -> CheckedPicture:
    """Raises Unusable: not a picture that is read, too large by its header, truncated, corrupt. MissingExtra."""
    try:
        picture = decode_picture(payload, max_pixels=max_pixels)
    except InputError as error:
        raise Unusable(str(error)) from error
    stored = coded(payload if picture.plain else encode_png(picture.pixels), codec)
    return CheckedPicture(
        payload=stored.payload,
        codec=stored.codec,
        coded_of=stored.of,
        wh=picture.rgb.size,
        raw_wh=reduced_wh(picture.file_wh, picture.reduced),
        orientation=picture.orientation,
        phash=perceptual_hash(picture.rgb),
        reduced=picture.reduced,
        file_wh=picture.file_wh,
        upright_file_wh=picture.upright_file_wh,
        notes=picture.notes + ((stored.why,) if stored.why else ()),
    )


def check_boxes(annotation: Annotation, picture: CheckedPicture, *, classes: tuple[str, ...]) -> CheckedBoxes:
    """Boxes as labels in px of the upright picture. Raises Unusable where the annotation as a whole does not fit."""
    if annotation.reason:
        raise Unusable(annotation.reason)
    annotation = reduce_annotation(
        annotation, by=picture.reduced, upright_wh=picture.upright_file_wh, encoded_wh=picture.file_wh
    )
    class_ids = {name: index for index, name in enumerate(classes)}
    turned = _needs_turn(annotation, picture)
    labels: list[Label] = []
    refused: list[tuple[int, str]] = []
    clipped = 0
    for index, box in enumerate(annotation.boxes):
        xyxy = _in_px(box.xyxy, picture.wh) if annotation.relative else box.xyxy
        xyxy = turn_upright(xyxy, picture.orientation, raw_wh=picture.raw_wh) if turned else xyxy
        inside = _clip(xyxy, picture.wh)
        reason = _fault(box, xyxy, inside, class_ids)
        if reason:
            refused.append((index, reason))
            continue
        try:
            mask = _mask(box, picture, relative=annotation.relative, turned=turned)
        except Unusable as error:
            refused.append((index, str(error)))
            continue
        clipped += any(abs(kept - drawn) > _CUT_PX for kept, drawn in zip(inside, xyxy, strict=True))
        labels.append(Label(len(labels), class_ids[box.name], inside, mask=mask, ignore=box.ignore))
    return CheckedBoxes(tuple(labels), tuple(refused), clipped)


def turn_upright(xyxy: Xyxy, orientation: int, *, raw_wh: tuple[int, int]) -> Xyxy:
    """A box in px of the picture as encoded => px of the upright picture (EXIF 2.3, tag 0x0112, values 5 to 8)."""
    x1, y1, x2, y2 = xyxy
    w, h = raw_wh
    turns: Mapping[int, Xyxy] = {
        5: (y1, x1, y2, x2),
        6: (h - y2, x1, h - y1, x2),
        7: (h - y2, w - x2, h - y1, w - x1),
        8: (y1, w - x2, y2, w - x1),
    }
    return turns.get(orientation, xyxy)


def _mask(box: RawBox, picture: CheckedPicture, *, relative: bool, turned: bool) -> str:
    """The object's pixels as run lengths over the upright picture; empty where the file gives none.

    A polygon that is nothing but an upright box says no more than the box does. Raises Unusable.
    """
    shape = (picture.wh[1], picture.wh[0])
    if box.runs is not None:
        return _runs_mask(box.runs, picture, turned=turned)
    if sum(map(len, box.polygons)) > 2 * MAX_VERTICES:
        raise Unusable("a polygon with too many corners", expected=f"<= {MAX_VERTICES}")
    scale = picture.wh if relative else (1, 1)
    polygons = [np.array(part, dtype=np.float64).reshape(-1, 2) * scale for part in box.polygons if len(part) >= 6]
    if not all(np.isfinite(points).all() for points in polygons):
        raise Unusable("a corner of a polygon is not a finite number")
    if not polygons or (len(polygons) == 1 and is_box(polygons[0])):
        return ""
    if turned:
        polygons = [_turn_points(points, picture) for points in polygons]
    return fill_polygons(polygons, shape=shape).encode(shape=shape)


def _runs_mask(runs: RunLengths, picture: CheckedPicture, *, turned: bool) -> str:
    wh = picture.raw_wh if turned else picture.wh
    if runs.shape != (wh[1], wh[0]):
        raise Unusable("a mask of another size", expected=f"{wh[1]}x{wh[0]}", got=f"{runs.shape[0]}x{runs.shape[1]}")
    try:
        mask = decode_coco(runs.counts, shape=runs.shape)
    except InputError as error:
        raise Unusable(str(error)) from error
    if turned:
        mask = _UPRIGHT[picture.orientation](mask)
    return encode_mask(mask) if mask.any() else ""


def _turn_points(points: Points, picture: CheckedPicture) -> Points:
    turned = [turn_upright((x, y, x, y), picture.orientation, raw_wh=picture.raw_wh)[:2] for x, y in points.tolist()]
    return np.array(turned, dtype=np.float64)


def _needs_turn(annotation: Annotation, picture: CheckedPicture) -> bool:
    """Labels are in the upright frame, unless their file's own size is that of the picture as encoded."""
    if annotation.wh is None or annotation.wh == picture.wh:
        return False
    if annotation.wh == picture.raw_wh:
        return True
    expected, got = ("{}x{} px".format(*wh) for wh in (picture.wh, annotation.wh))
    raise Unusable("the labels were made for a picture of another size", expected=expected, got=got)


def _in_px(xyxy: Xyxy, wh: tuple[int, int]) -> Xyxy:
    return (xyxy[0] * wh[0], xyxy[1] * wh[1], xyxy[2] * wh[0], xyxy[3] * wh[1])


def _clip(xyxy: Xyxy, wh: tuple[int, int]) -> Xyxy:
    limits = (wh[0], wh[1], wh[0], wh[1])
    return cast("Xyxy", tuple(min(max(v, 0.0), float(limit)) for v, limit in zip(xyxy, limits, strict=True)))


def _fault(box: RawBox, xyxy: Xyxy, inside: Xyxy, class_ids: Mapping[str, int]) -> str:
    """Why a box is refused; empty where it is not."""
    if box.reason:
        return box.reason
    if box.name not in class_ids:
        return f"unknown class {box.name!r}"
    if not all(map(math.isfinite, xyxy)):
        return "a corner is not a finite number"
    x1, y1, x2, y2 = (round(value, 2) for value in xyxy)
    if x2 < x1 or y2 < y1:
        return f"corners in the wrong order [{x1:g}, {y1:g}, {x2:g}, {y2:g}]"
    if x1 == x2 or y1 == y2:
        return f"zero-area box [{x1:g}, {y1:g}, {x2:g}, {y2:g}]"
    if _area(inside) < MIN_INSIDE_SHARE * _area(xyxy):
        return f"more than half outside of the picture [{x1:g}, {y1:g}, {x2:g}, {y2:g}]"
    return ""


def _area(xyxy: Xyxy) -> float:
    return max(xyxy[2] - xyxy[0], 0) * max(xyxy[3] - xyxy[1], 0)
