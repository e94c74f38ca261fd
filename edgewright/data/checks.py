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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from edgewright.data.dataset import encode_png
from edgewright.data.formats.annotation import Annotation, RawBox
from edgewright.data.phash import perceptual_hash
from edgewright.data.rows import Label
from edgewright.data.sources import Unusable

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
Xyxy = tuple[float, float, float, float]


@dataclass(frozen=True)
class Picture:
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


def check_picture(payload: bytes, *, max_pixels: int) -> Picture:
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


def check_boxes(annotation: Annotation, picture: Picture, *, classes: tuple[str, ...]) -> CheckedBoxes:
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
        clipped += not np.allclose(inside, xyxy, atol=1e-3)
        labels.append(Label(len(labels), class_ids[box.name], inside, ignore=box.ignore))
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


def _check_header(wh: tuple[int, int], max_pixels: int) -> None:
    if wh[0] * wh[1] > max_pixels:
        raise Unusable("picture too large", expected=f"<= {max_pixels} px", got=f"{wh[0]}x{wh[1]}")


def _decoded(opened: PillowImage.Image, payload: bytes) -> Picture:
    raw_wh, kind = opened.size, opened.format
    opened.load()  # to the last pixel: a truncated file raises here
    orientation = opened.getexif().get(_ORIENTATION_TAG, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    deep = opened.mode.startswith(("I", "F"))
    upright = ImageOps.exif_transpose(opened) if orientation != 1 else opened
    rgb = _to_8_bit(upright) if deep else upright.convert("RGB")
    keep = kind in _KEPT_FORMATS and orientation == 1 and not deep
    stored = payload if keep else encode_png(np.asarray(rgb))
    return Picture(stored, rgb.size, raw_wh, orientation, perceptual_hash(rgb))


def _to_8_bit(picture: PillowImage.Image) -> PillowImage.Image:
    """Gray of 16 bits [0, 65535] => 8-bit RGB [0, 255]; Pillow's own conversion would saturate."""
    values: npt.NDArray[np.float64] = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    scale = 1 / 257 if picture.mode.startswith("I;16") or values.max(initial=0) > 255 else 1.0
    return PillowImage.fromarray(np.clip(values * scale, 0, 255).astype(np.uint8)).convert("RGB")


def _needs_turn(annotation: Annotation, picture: Picture) -> bool:
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
