"""How pictures lie in shards: as they came (`source`), or smaller without a bit less (`jpegls`, `jxl`; extra `codec`).

    source  =>  codec of the row   what lies there
    jpegls      jpegls             JPEG-LS (ITU-T T.87, lossless) of the pixels, of a gray picture one plane
    jxl         jxl                JPEG XL (ISO/IEC 18181), lossless, of the pixels
    jxl         jxl-jpeg           a JPEG's own coefficients in JPEG XL, from which its file comes back byte by byte
    any         ""                 the picture as it came, where nothing smaller holds it

Decides picture by picture: what is encoded is decoded again before it counts, and stays as it came where that is not
the same to the last bit, or no smaller; a JPEG is never blown up to its pixels. Who reads a row sees no difference: the
pixels are the same, and so is its digest, which is that of the picture as it came. What a PNG says beside its pixels
(time, color profile) is not kept. Refuses, from the header, more pixels than the decoder of all other pictures takes.

>>> coded(b"no picture", "source")
Coded(payload=b'no picture', codec='', of='', why='')
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from edgewright.artifacts import sha256_bytes
from edgewright.data.rows import Row
from edgewright.errors import InputError, MissingExtra
from edgewright.runtime.boxes import Image
from edgewright.runtime.pictures import MAX_FILE_PIXELS, MAX_PIXELS
from edgewright.runtime.preprocess import decode_image

Codec = Literal["source", "jpegls", "jxl"]
SOURCE, JPEGLS, JXL, JXL_OF_JPEG = "source", "jpegls", "jxl", "jxl-jpeg"
SUFFIXES = {JPEGLS: "jls", JXL: "jxl", JXL_OF_JPEG: "jxl"}
JXL_EFFORT = 7
"""libjxl's own default: above it a picture takes seconds for a few bytes."""
LARGER = "pictures that lie as they came: encoded they are no smaller"
JPEG_STAYS = "JPEGs that lie as they came: their pixels in JPEG-LS are larger"
NOT_TAKEN = "pictures that lie as they came: the encoder does not take them, or not to the last bit"
_NEXT = "pip install 'edgewright[codec]'"
_JPEG = b"\xff\xd8\xff"
_CONTAINER, _CODESTREAM = b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a"
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
"""ISO/IEC 18181-1, table of aspect ratios: width to height."""
_SOF55 = 0xF7
Plane = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Coded:
    """A picture as it is to lie in a shard.

    Attributes:
        codec: of the row; "": as it came.
        of: sha256 of the picture as it came, where it is encoded. why: it was to be encoded and is not, in words to be
            read after a number of pictures.
    """

    payload: bytes
    codec: str = ""
    of: str = ""
    why: str = ""


def require(codec: str) -> None:
    """Raises MissingExtra where it cannot be written or read here."""
    if codec not in ("", SOURCE):
        _imagecodecs()


def codec_of(rows: Iterable[Row]) -> str:
    """What a dataset's pictures were to be encoded by, as far as its rows tell."""
    found = next((row.codec for row in rows if row.codec), SOURCE)
    return JXL if found == JXL_OF_JPEG else found


def coded(payload: bytes, codec: str) -> Coded:
    """Law: `pixels(c.payload, c.codec)` and, of a JPEG, `as_file(c.payload, c.codec)` are what they were.

    Args: payload: a picture that `decode_picture` reads.

    Raises MissingExtra.
    """
    if codec == SOURCE:
        return Coded(payload)
    library, is_jpeg = _imagecodecs(), payload.startswith(_JPEG)
    if is_jpeg and codec == JPEGLS:
        return Coded(payload, why=JPEG_STAYS)
    made = JXL_OF_JPEG if is_jpeg else codec
    try:
        stored = library.jpegxl_encode_jpeg(payload) if is_jpeg else encode_pixels(decode_image(payload), codec)
        same = as_file(stored, made) == payload if is_jpeg else _same_pixels(stored, made, payload)
    except (RuntimeError, ValueError, InputError):
        return Coded(payload, why=NOT_TAKEN)
    if not same:
        return Coded(payload, why=NOT_TAKEN)
    return Coded(stored, made, sha256_bytes(payload)) if len(stored) < len(payload) else Coded(payload, why=LARGER)


def encode_pixels(image: Image, codec: str, *, effort: int = JXL_EFFORT) -> bytes:
    """(H, W, 3) uint8 RGB, of which a gray one becomes a plane. Raises MissingExtra, or what the encoder raises."""
    library, plane = _imagecodecs(), _plane(image)
    if codec == JPEGLS:
        return bytes(library.jpegls_encode(plane))
    return bytes(library.jpegxl_encode(plane, lossless=True, effort=effort, numthreads=1))


def pixels(stored: bytes, codec: str, *, where: str = "") -> Image:
    """What lies in a shard => (H, W, 3) uint8 RGB. Raises InputError, MissingExtra."""
    if codec in ("", JXL_OF_JPEG):
        return decode_image(as_file(stored, codec, where=where), where=where)
    library = _imagecodecs()
    _check_size(stored, codec, max_pixels=MAX_PIXELS, where=where)
    try:
        found = library.jpegls_decode(stored) if codec == JPEGLS else library.jpegxl_decode(stored, numthreads=1)
    except (RuntimeError, ValueError) as error:
        raise InputError("corrupt or truncated picture", got=error, where=where or None) from error
    if found.dtype != np.uint8 or not (found.ndim == 2 or (found.ndim == 3 and found.shape[2] == 3)):
        got = f"{found.dtype} {found.shape}"
        raise InputError("a picture of another kind", expected="uint8, gray or RGB", got=got, where=where or None)
    return np.ascontiguousarray(np.broadcast_to(found[..., None], (*found.shape, 3)) if found.ndim == 2 else found)


def as_file(stored: bytes, codec: str, *, where: str = "") -> bytes:
    """What lies in a shard => a file that any reader reads: as it came, or a PNG. Raises InputError, MissingExtra."""
    if codec == "":
        return stored
    if codec != JXL_OF_JPEG:
        return encode_png(pixels(stored, codec, where=where))
    library = _imagecodecs()
    _check_size(stored, codec, max_pixels=MAX_FILE_PIXELS, where=where)
    try:
        return bytes(library.jpegxl_decode_jpeg(stored))
    except (RuntimeError, ValueError) as error:
        raise InputError("corrupt or truncated picture", got=error, where=where or None) from error


def encode_png(image: Image) -> bytes:
    """(H, W, 3) uint8 RGB => PNG bytes: lossless, so that real and synthetic pictures are compressed alike."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def size_of(stored: bytes, codec: str) -> tuple[int, int]:
    """(width, height) px that the header says, before anything is decoded. Raises InputError where it says none."""
    try:
        wh = _jpegls_size(stored) if codec == JPEGLS else _jxl_size(stored)
    except (IndexError, ValueError) as error:
        raise InputError("corrupt or truncated picture", got=error) from error
    if not all(wh):
        raise InputError("a picture without a size in its header", got="{}x{}".format(*wh))
    return wh


def _check_size(stored: bytes, codec: str, *, max_pixels: int, where: str) -> None:
    wh = size_of(stored, codec)
    if math.prod(wh) > max_pixels:
        got = "{}x{}".format(*wh)
        raise InputError("picture too large", expected=f"<= {max_pixels} px", got=got, where=where or None)


def _same_pixels(stored: bytes, codec: str, payload: bytes) -> bool:
    return bool(np.array_equal(pixels(stored, codec), decode_image(payload)))


def _plane(image: Image) -> Plane:
    """(H, W), where the three are equal, else (H, W, 3)."""
    gray = np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 0], image[..., 2])
    return np.ascontiguousarray(image[..., 0] if gray else image)


def _jpegls_size(stored: bytes) -> tuple[int, int]:
    """T.87, annex C: markers with lengths, until the frame header SOF55."""
    place = 2
    while stored[place] == 0xFF and stored[place + 1] != _SOF55:
        place += 2 + int.from_bytes(stored[place + 2 : place + 4])
    if stored[:2] != _JPEG[:2] or stored[place] != 0xFF:
        raise ValueError("no JPEG-LS header")
    height, width = stored[place + 5 : place + 7], stored[place + 7 : place + 9]
    return int.from_bytes(width), int.from_bytes(height)


def _jxl_size(stored: bytes) -> tuple[int, int]:
    """ISO/IEC 18181-1, the size header: the first bits of the codestream, the lowest of a byte first."""
    bits = int.from_bytes(_codestream(stored)[2:14], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    height, ratio = side(), take(3)
    if not ratio:
        return side(), height
    across, down = _RATIOS[ratio]
    return height * across // down, height


def _codestream(stored: bytes) -> bytes:
    """Its beginning, within its container where it has one. Raises ValueError."""
    if stored.startswith(_CODESTREAM):
        return stored
    if not stored.startswith(_CONTAINER):
        raise ValueError("no JPEG XL header")
    place = len(_CONTAINER)
    while place + 8 <= len(stored):
        size, kind, head = int.from_bytes(stored[place : place + 4]), stored[place + 4 : place + 8], 8
        if size == 1:
            size, head = int.from_bytes(stored[place + 8 : place + 16]), 16
        if kind in (b"jxlc", b"jxlp"):
            return stored[place + head + 4 * (kind == b"jxlp") :][:32]
        if size < head:
            break
        place += size
    raise ValueError("a container without a picture")


def _imagecodecs() -> ModuleType:
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingExtra("JPEG-LS and JPEG XL need imagecodecs", got=error, next_step=_NEXT) from error
    return imagecodecs
