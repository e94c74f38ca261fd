"""Checks on one picture and on its boxes, before either enters a dataset.

Decides, from the header first: what is too large, what cannot be decoded to its last pixel, which way is up. Decides
box by box: a box that is at least half inside is clipped, every other fault refuses the box and leaves the picture.
Nothing is repaired by guessing: a label file made for a picture of another size refuses the picture.

    picture = check_picture(payload, max_pixels=40_000_000)          # raises Unusable with the reason
    checked = check_boxes(annotation, picture, classes=("RBC",))     # labels, and what was refused
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from edgewright.data.dataset import encode_png
from edgewright.data.formats.annotation import Annotation, RawBox, RunLengths
from edgewright.data.phash import perceptual_hash
from edgewright.data.polygons import Points, fill_polygons, is_box
from edgewright.data.rle import Mask, decode_coco, encode_mask
from edgewright.data.rows import Label
from edgewright.data.sources import Unusable
from edgewright.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
_KEPT_FORMATS = ("JPEG", "MPO", "PNG")
_ORIENTATION_TAG = 0x0112
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)  # what Pillow's decoders raise on files that lie
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
        payload: what is stored: the original bytes of an upright 8-bit JPEG or PNG, else a PNG made from the pixels.
        wh: px, upright.
        raw_wh: px as encoded, before the EXIF orientation.
        orientation: the EXIF value, 1 to 8; 1 is upright.
        phash: 16 hex digits.
    """

    payload: bytes
    wh: tuple[int, int]
    raw_wh: tuple[int, int]
    orientation: int
    phash: str


@dataclass(frozen=True)
class CheckedBoxes:
    """Attributes: refused: (index in the annotation, reason); clipped: how many were cut at the picture's edge."""

    labels: tuple[Label, ...]
    refused: tuple[tuple[int, str], ...]
    clipped: int


def check_picture(payload: bytes, *, max_pixels: int) -> CheckedPicture:
    """Raises Unusable: not a picture, too large by its header, truncated, corrupt."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's bomb and TIFF tag warnings: the first is checked right here
            with PillowImage.open(io.BytesIO(payload), formats=FORMATS) as opened:
                _check_header(opened.size, max_pixels)
                return _decoded(opened, payload)
    except PillowImage.DecompressionBombError as error:
        raise Unusable("picture too large", expected=f"<= {max_pixels} px", got=error) from error
    except UnidentifiedImageError as error:
        raise Unusable("not a picture", expected="/".join(FORMATS)) from error
    except _DECODER_ERRORS as error:
        raise Unusable("corrupt or truncated picture", got=error) from error


def check_boxes(annotation: Annotation, picture: CheckedPicture, *, classes: tuple[str, ...]) -> CheckedBoxes:
    """Boxes as labels in px of the upright picture. Raises Unusable where the annotation as a whole does not fit."""
    if annotation.reason:
        raise Unusable(annotation.reason)
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


def _check_header(wh: tuple[int, int], max_pixels: int) -> None:
    if wh[0] * wh[1] > max_pixels:
        raise Unusable("picture too large", expected=f"<= {max_pixels} px", got=f"{wh[0]}x{wh[1]}")


def _decoded(opened: PillowImage.Image, payload: bytes) -> CheckedPicture:
    raw_wh, kind = opened.size, opened.format
    opened.load()  # to the last pixel: a truncated file raises here
    orientation = opened.getexif().get(_ORIENTATION_TAG, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    deep = opened.mode.startswith(("I", "F"))
    upright = ImageOps.exif_transpose(opened) if orientation != 1 else opened
    rgb = _to_8_bit(upright) if deep else upright if upright.mode == "RGB" else upright.convert("RGB")
    keep = kind in _KEPT_FORMATS and orientation == 1 and not deep
    stored = payload if keep else encode_png(np.asarray(rgb))
    return CheckedPicture(stored, rgb.size, raw_wh, orientation, perceptual_hash(rgb))


def _to_8_bit(picture: PillowImage.Image) -> PillowImage.Image:
    """Gray of 16 bits [0, 65535] => 8-bit RGB [0, 255]; Pillow's own conversion would saturate."""
    values: npt.NDArray[np.float64] = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    scale = 1 / 257 if picture.mode.startswith("I;16") or values.max(initial=0) > 255 else 1.0
    return PillowImage.fromarray(np.clip(values * scale, 0, 255).astype(np.uint8)).convert("RGB")


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
