"""Encoded bytes → picture: the one decoder of the factory, of the device and of `edgewright detect`.

Decides what a file's pixels are, so that a device sees what was learned from:

- upright, by the EXIF orientation of a JPEG, PNG, WebP or TIFF;
- a sample of more than 8 bits keeps its highest 8: 65535 => 255, 257 k => k. How many bits it has is what the file
  declares: a PNG its depth (samples fill it, whatever its sBIT says), a PGM its largest value, a TIFF its bits a
  sample, or fewer where its MaxSampleValue is 2^n - 1. Never what this picture's own values look like: 12 bits in 16
  of which the file says nothing are 16, and dark, here as on the device;
- what can be seen through lies on white; CMYK becomes RGB without its color profile;
- the first of several frames or pages;
- above MAX_PIXELS a half, a quarter or an eighth of the width and height: a JPEG is decoded at that size, any other
  file is averaged over squares. Whoever needs fewer px says so, and a JPEG is decoded smaller (`fit_px`): a device does
  with its feed; training, gates and golden pictures see all px, which differ by what two ways of averaging differ.

Refuses, from the header and with what to do about it: what it does not read (GIF, HEIC, raw camera files…), more pixels
or memory than it is told; and while decoding: bytes that end early or lie. What a file is, its bytes say and not its
name.

    picture = decode_picture(payload)         # raises InputError with the reason
    picture.pixels.shape, picture.reduced     # ((3468, 4624, 3), 2): the file holds 9248 × 6936
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from edgewright.errors import InputError
from edgewright.runtime.boxes import Boxes, Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")
_TIFF_SUFFIXES, _PNM_SUFFIXES = (".tif", ".tiff"), (".ppm", ".pgm", ".pbm", ".pnm")
IMAGE_SUFFIXES = (*_JPEG_SUFFIXES, ".png", ".webp", ".bmp", *_TIFF_SUFFIXES, *_PNM_SUFFIXES)
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
MAX_PIXELS = 40_000_000
"""What is handed out: a larger picture is read at a part of its size."""
MAX_FILE_PIXELS = 200_000_000
"""Larger pictures are refused from their header, before a byte is decoded (a decompression bomb, or a mistake)."""
MAX_MEMORY_BYTES = 1_000_000_000
"""What decoding one picture may take, unless told: 200 megapixels of color in Pillow's four bytes a pixel fit."""
REDUCTIONS = (1, 2, 4, 8)
FIT_MARGIN = 2
"""Px left, times those wanted: the letterbox's own filter still averages, as it does over a picture read whole."""
PillowImage.MAX_IMAGE_PIXELS = MAX_FILE_PIXELS  # Pillow's own limit lies at 89 million, and is a global

_BAND_ROWS = 512  # a multiple of every reduction
_JPEG = ("JPEG", "MPO")
_PLAIN_MODES = ("1", "L", "P", "RGB")
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)  # what Pillow's decoders raise on files that lie
_UPRIGHT = {
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_270,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_90,
}
"""EXIF 2.3, tag 0x0112 => what turns the picture as encoded upright."""
_WIDTH, _HEIGHT, _ORIENTATION, _BITS, _PHOTOMETRIC, _STRIP_ROWS, _TILE_WIDTH = 256, 257, 0x0112, 258, 262, 278, 322
_SUBFILE, _MAX_SAMPLE, _SAMPLE_FORMAT, _DNG_VERSION = 254, 281, 339, 50706
_CONVERT = "convert it to JPEG or PNG"
_NARROW = "scale its samples to 16 or 8 bits"
_DEVELOP = "develop it to JPEG, or to TIFF of 16 bits"
_UNREAD = (
    (0, (b"GIF8",), "GIF pictures are not read", f"{_CONVERT}, frame by frame where it moves"),
    (4, (b"ftypavif", b"ftypavis"), "AVIF pictures are not read", _CONVERT),
    (4, (b"ftypcrx",), "raw camera files are not read", _DEVELOP),
    (4, (b"ftyphe", b"ftypmif1", b"ftypmsf1"), "HEIC pictures are not read", f"{_CONVERT}; phones can save JPEG"),
    (0, (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0"), "raw camera files are not read", _DEVELOP),
    (4, (b"jP  ",), "JPEG 2000 pictures are not read", _CONVERT),
    (0, (b"\xff\x0a", b"\0\0\0\x0cJXL "), "JPEG XL pictures are not read", _CONVERT),
    (0, (b"8BPS",), "Photoshop documents are not read", _CONVERT),
    (128, (b"DICM",), "DICOM files are not read", "save their pictures as PNG of 16 bits"),
    (0, (b"version https://git-lfs",), "a pointer of Git LFS, not the picture", "git lfs pull"),
    (0, (b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML"), "a web page, not a picture", "fetch the picture again"),
    (
        0,
        (b"II*\0", b"MM\0*"),
        "a damaged TIFF, or a kind that is not read",
        "save it anew, 8 or 16 bits a sample",
    ),
    (0, (b"<svg", b"<?xml"), "drawings in XML (SVG) are not read", _CONVERT),
)
"""(offset, beginnings, what it is, the next step) of files that people take for pictures."""


@dataclass(frozen=True)
class DecodedPicture:
    """A picture as every part of edgewright sees it.

    Attributes:
        rgb: 8 bits a sample, upright, reduced.
        file_wh: px as the header says: before the orientation, not reduced.
        orientation: the EXIF value, 1 to 8; 1 is upright.
        reduced: how many px of the file one px is wide and high: 1, 2, 4 or 8.
        plain: any other reader finds the same pixels in these bytes.
        notes: what the decoder changed, in words to be read after a number of pictures.
    """

    rgb: PillowImage.Image
    file_wh: tuple[int, int]
    orientation: int
    reduced: int
    plain: bool
    notes: tuple[str, ...]

    @property
    def pixels(self) -> Image:
        """(H, W, 3) uint8 RGB."""
        return np.asarray(self.rgb)

    @property
    def upright_file_wh(self) -> tuple[int, int]:
        return self.file_wh if self.orientation < 5 else (self.file_wh[1], self.file_wh[0])

    def to_file(self, boxes: Boxes) -> Boxes:
        """Px of `rgb` => px of the upright file, clipped to it."""
        return boxes.transform(scale=self.reduced).clip(self.upright_file_wh)

    def from_file(self, boxes: Boxes) -> Boxes:
        """Px of the upright file => px of `rgb`."""
        return boxes.transform(scale=1 / self.reduced)


def decode_picture(
    payload: bytes,
    *,
    max_pixels: int = MAX_FILE_PIXELS,
    max_memory_bytes: int | None = None,
    fit_px: int | None = None,
    where: str = "",
) -> DecodedPicture:
    """Law: equal bytes and equal `fit_px` give equal pixels, whoever asks.

    Args:
        max_pixels: more of them in the file refuse it.
        max_memory_bytes: what decoding it may take; MAX_MEMORY_BYTES unless told.
        fit_px: side of the square that the picture is about to be fitted into: a JPEG is decoded at the half, quarter
            or eighth of its size that still has FIT_MARGIN times as many px; of any other file all px are read.
        where: for messages.

    Raises:
        InputError: not one of FORMATS, too large, truncated or corrupt.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow on bombs, which are refused right here, and on TIFF tags
            with PillowImage.open(io.BytesIO(payload), formats=FORMATS) as opened:
                _check_header(opened, payload, max_pixels=max_pixels)
                _check_memory(opened, max_memory_bytes or MAX_MEMORY_BYTES, fit_px=fit_px)
                return _decoded(opened, payload, fit_px=fit_px)
    except _Refused as refused:
        raise InputError(refused.what, where=where or None, **refused.said) from refused
    except UnidentifiedImageError as error:
        what, said = _not_read(payload)
        raise InputError(what, where=where or None, **said) from error
    except PillowImage.DecompressionBombError as error:
        raise InputError("picture too large", expected=f"<= {max_pixels} px", got=error, where=where or None) from error
    except _DECODER_ERRORS as error:
        raise InputError("corrupt or truncated picture", got=error, where=where or None) from error


def read_picture(path: Path) -> DecodedPicture:
    """A picture file, decoded. Raises InputError as `decode_picture` does, and as `read_encoded` does."""
    return decode_picture(read_encoded(path), where=str(path))


def read_encoded(path: Path, *, max_bytes: int | None = None) -> bytes:
    """A picture file's bytes. Raises InputError: it cannot be read, or is longer (MAX_MEMORY_BYTES unless told)."""
    max_bytes = max_bytes or MAX_MEMORY_BYTES
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise InputError("a file too long for a picture", expected=f"<= {max_bytes} bytes", got=size, where=path)
        return path.read_bytes()
    except OSError as error:
        raise InputError("cannot read the picture", got=error.strerror, where=path) from error


def reduction(wh: tuple[int, int]) -> int:
    """By how much a picture of `wh` px is reduced, so that at most MAX_PIXELS are left.

    >>> reduction((8000, 5000)), reduction((8160, 6120)), reduction((16330, 12247))
    (1, 2, 4)
    """
    return next((by for by in REDUCTIONS if math.prod(reduced_wh(wh, by)) <= MAX_PIXELS), REDUCTIONS[-1])


def fitting(wh: tuple[int, int], fit_px: int) -> int:
    """By how much a JPEG of `wh` px may be reduced before it is fitted into a square of `fit_px`.

    >>> fitting((1280, 720), 320), fitting((1280, 720), 640), fitting((4624, 3468), 320)
    (2, 1, 4)
    """
    return next((by for by in reversed(REDUCTIONS) if max(wh) >= by * FIT_MARGIN * fit_px), 1)


def _drafted_by(wh: tuple[int, int], fit_px: int | None) -> int:
    """By how much a JPEG is reduced while it is decoded."""
    return max(reduction(wh), fitting(wh, fit_px) if fit_px else 1)


def reduced_wh(wh: tuple[int, int], by: int) -> tuple[int, int]:
    """px; a part of a square at the right or lower edge is a pixel too."""
    return (-(-wh[0] // by), -(-wh[1] // by))


class _Refused(Exception):
    """What becomes an InputError that says where."""

    def __init__(self, what: str, **said: str) -> None:
        super().__init__(what)
        self.what, self.said = what, said


def _check_header(opened: PillowImage.Image, payload: bytes, *, max_pixels: int) -> None:
    if _is_raw(opened, payload):
        raise _Refused("raw camera files are not read", next_step=_DEVELOP)
    size = "{}x{}".format(*opened.size)
    if math.prod(opened.size) > max_pixels:
        raise _Refused("picture too large", expected=f"<= {max_pixels} px", got=size)


def _check_memory(opened: PillowImage.Image, max_memory_bytes: int, *, fit_px: int | None) -> None:
    needed = _memory_bytes(opened, fit_px=fit_px)
    if needed > max_memory_bytes:
        raise _Refused(
            "picture too large to be decoded in one piece",
            expected=f"<= {max_memory_bytes / 1e9:g} GB of memory",
            got="{:.1f} GB for {}x{} px".format(needed / 1e9, *opened.size),
            next_step="save it smaller, or as a JPEG that is not progressive",
        )


def _memory_bytes(opened: PillowImage.Image, *, fit_px: int | None) -> int:
    """What decoding takes, roughly: Pillow's picture, and what its decoder holds beside it."""
    pixels = math.prod(opened.size)
    if opened.format in _JPEG:
        share = pixels // _drafted_by(opened.size, fit_px) ** 2
        if "progressive" not in opened.info:
            return 4 * share
        sampled = [across * down for _, across, down, _ in opened.layer]  # type: ignore[attr-defined]
        coefficients = pixels * sum(sampled) // max(sampled)  # of two bytes; libjpeg keeps every one
        return int(4 * share + 2 * coefficients)
    if opened.format == "WEBP":
        return 8 * pixels
    tags = _tiff_tags(opened)
    turned = 4 * pixels * (tags.get(_ORIENTATION, 1) != 1)  # Pillow turns a TIFF as it loads it
    strip = 0
    if tags and _TILE_WIDTH not in tags:
        width, height = tags[_WIDTH], tags[_HEIGHT]
        strip = 4 * width * min(height, tags.get(_STRIP_ROWS, height))
    return int(4 * pixels + turned + strip)


def _decoded(opened: PillowImage.Image, payload: bytes, *, fit_px: int | None) -> DecodedPicture:
    tags = _tiff_tags(opened)
    file_wh = (tags[_WIDTH], tags[_HEIGHT]) if tags else opened.size
    by = reduction(file_wh)
    bits, notes = _sample_bits(opened, payload), list(_notes(opened, by))
    if opened.format in _JPEG:
        by = _drafted_by(file_wh, fit_px)
    tagged = tags.get(_ORIENTATION, 1)  # a TIFF is turned by Pillow while it is loaded, which forgets the tag
    inverted = tags.get(_PHOTOMETRIC) == 0 and bits > 8
    drafted = opened.format in _JPEG and by > 1
    if drafted:
        opened.draft(None, (file_wh[0] // by, file_wh[1] // by))
    opened.load()  # to the last pixel: a truncated file raises here
    orientation = tagged if tags else opened.getexif().get(_ORIENTATION, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    if bits > 8:
        notes.append("pictures of more than 8 bits a sample, of which the highest 8 are kept")
    if _seen_through(opened):
        notes.append("pictures that can be seen through, laid on white")
    plain = not tags and _is_plain(opened, bits, orientation) and by == 1
    rgb = _reduced(opened, bits, by=1 if drafted else by)
    if inverted:
        rgb = rgb.point(lambda value: 255 - value)
    if orientation != 1 and not tags:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    return DecodedPicture(rgb, file_wh, orientation, by, plain, tuple(notes))


def _notes(opened: PillowImage.Image, by: int) -> Iterator[str]:
    if by > 1:
        part = {2: "half", 4: "quarter"}.get(by, "eighth")
        yield f"pictures of more than {MAX_PIXELS // 1_000_000} megapixels, read at a {part} of their width and height"
    if opened.format != "MPO" and getattr(opened, "n_frames", 1) > 1:  # an MPO's others are a depth map, a second eye
        yield "pictures of several frames or pages, of which the first is taken"
    if opened.mode == "CMYK":
        yield "CMYK pictures, turned to RGB without their color profile"


def _is_plain(opened: PillowImage.Image, bits: int, orientation: int) -> bool:
    kept = opened.format in (*_JPEG, "PNG") and opened.mode in _PLAIN_MODES
    return kept and bits <= 8 and orientation == 1 and not opened.has_transparency_data


def _sample_bits(opened: PillowImage.Image, payload: bytes) -> int:
    """Bits of a sample, as the file declares them. Raises _Refused where it declares no range."""
    tags = _tiff_tags(opened)
    if opened.mode == "F":
        raise _Refused("samples that are fractions, without a range", next_step=_NARROW)
    if opened.format == "PNG":
        return payload[24]  # IHDR comes first: width, height, bit depth (PNG, 11.2.1)
    if opened.format == "PPM":
        return 16 if opened.mode.startswith("I") else 8  # Pillow stretches every other largest value to these
    if not tags:
        return 8
    stored = max(_numbers(tags.get(_BITS, 1)))
    bits = stored - (max(_numbers(tags.get(_SAMPLE_FORMAT, 1))) == 2)  # a signed sample has one less
    said = max(_numbers(tags.get(_MAX_SAMPLE, 0)))
    if 255 < said < 2**bits - 1 and said & (said + 1) == 0:  # any other number is one picture's own maximum
        bits = said.bit_length()
    if bits > 16:
        raise _Refused("samples without a declared range", got=f"{stored} bits", next_step=_NARROW)
    if 8 < bits < min(stored, 16) and not opened.mode.startswith("I"):  # Pillow has kept their highest 8 of 16
        raise _Refused("color of 16 bits that uses fewer", got=f"{bits} bits", next_step=_NARROW)
    return bits


def _reduced(picture: PillowImage.Image, bits: int, *, by: int) -> PillowImage.Image:
    """8-bit RGB; `by` > 1: band by band, so that the whole is never converted at its full size."""
    if by == 1:
        return _to_rgb(picture, bits)
    width, height = picture.size
    small = PillowImage.new("RGB", reduced_wh(picture.size, by))
    for top in range(0, height, _BAND_ROWS):
        band = picture.crop((0, top, width, min(top + _BAND_ROWS, height)))
        small.paste(_to_rgb(band, bits).reduce(by), (0, top // by))
    return small


def _to_rgb(picture: PillowImage.Image, bits: int) -> PillowImage.Image:
    if picture.mode.startswith("I"):
        return _highest_8(picture, bits)
    if picture.has_transparency_data:
        canvas = PillowImage.new("RGBA", picture.size, "white")
        canvas.alpha_composite(picture.convert("RGBA"))
        return canvas.convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _highest_8(picture: PillowImage.Image, bits: int) -> PillowImage.Image:
    """Gray of `bits` bits => 8-bit RGB."""
    values: npt.NDArray[Any] = np.asarray(picture)
    gray = np.clip(values >> (bits - 8), 0, 255).astype(np.uint8)
    if "transparency" in picture.info:
        gray[values == picture.info["transparency"]] = 255
    return PillowImage.fromarray(gray).convert("RGB")


def _seen_through(picture: PillowImage.Image) -> bool:
    """An alpha channel that is opaque everywhere hides nothing."""
    if picture.mode in ("LA", "RGBA"):
        return picture.getchannel("A").getextrema()[0] < 255  # type: ignore[operator]
    return picture.has_transparency_data


def _is_raw(opened: PillowImage.Image, payload: bytes) -> bool:
    """A raw camera file looks like a TIFF whose first page is a small copy of the photograph."""
    tags = _tiff_tags(opened)
    if not tags:
        return False
    return _DNG_VERSION in tags or bool(tags.get(_SUBFILE, 0) & 1) or payload[8:10] == b"CR"


def _tiff_tags(opened: PillowImage.Image) -> Any:
    """Tag => value; empty for every other format."""
    return opened.tag_v2 if opened.format == "TIFF" else {}  # type: ignore[attr-defined]


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(map(int, value)) if isinstance(value, tuple) else (int(value),)


def _not_read(payload: bytes) -> tuple[str, dict[str, str]]:
    """What these bytes are instead, and what to do."""
    if not payload:
        return "an empty file", {}
    for offset, beginnings, what, next_step in _UNREAD:
        if payload[offset : offset + 32].startswith(beginnings):
            return what, {"next_step": next_step}
    return "not a picture", {"expected": "/".join(FORMATS)}
