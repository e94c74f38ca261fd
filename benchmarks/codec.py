"""What lossless codecs make of pictures: bits a pixel, time, and the hours of 10 TB on a line of 5 Gbit/s.

python benchmarks/codec.py FOLDER… simulated [--gray]

A folder's pictures are those below it, `simulated` the simulated camera's at 640 × 480; `--gray` measures what a
camera of one plane would give. One thread; every picture comes
back to the last bit, or this ends. MB/s are of pixels, a byte a plane. 10 TB are read twice: as that many bytes of
pixels (10^13 / 921,600 pictures of 640 × 480 in color), which a codec makes fewer; and, last row, as bytes on the line.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image as PillowImage

from edgewright.data.codec import JPEGLS, JXL, JXL_OF_JPEG, as_file, encode_pixels, pixels
from edgewright.data.rows import spread
from edgewright.runtime.boxes import Image
from edgewright.runtime.pictures import IMAGE_SUFFIXES
from edgewright.runtime.preprocess import decode_image
from edgewright.simulate.camera import SimulatedCamera

SIMULATED, WH = "simulated", (640, 480)
WISHED_BITS = 2.0
LINE_BITS_S, AMOUNT_BYTES = 5e9, 1e13
Encode = Callable[[Image, bytes], bytes]
Decode = Callable[[bytes], Image]


@dataclass
class Sum:
    """Of all pictures of a set."""

    bytes: int = 0
    encode_s: float = 0.0
    decode_s: float = 0.0


def pillow(kind: str, **words: object) -> tuple[Encode, Decode]:
    def encode(image: Image, _: bytes) -> bytes:
        stream = io.BytesIO()
        gray = kind == "PNG" and bool((image == image[..., :1]).all())
        PillowImage.fromarray(image[..., 0] if gray else image).save(stream, kind, **words)
        return stream.getvalue()

    return encode, decode_image


def of_pixels(codec: str, **words: int) -> tuple[Encode, Decode]:
    return lambda image, _: encode_pixels(image, codec, **words), lambda stored: pixels(stored, codec)


CODECS: dict[str, tuple[Encode, Decode]] = {
    "source": (lambda _, source: source, decode_image),
    "PNG (level 6)": pillow("PNG"),
    "WebP, as a device keeps hard frames": pillow("WEBP", lossless=True, quality=20, method=0),
    "WebP lossless (method 4)": pillow("WEBP", lossless=True, quality=75, method=4),
    "JPEG-LS": of_pixels(JPEGLS),
    "JPEG XL (effort 3)": of_pixels(JXL, effort=3),
    "JPEG XL (effort 7)": of_pixels(JXL),
}
JPEG = "JPEG XL of the JPEG itself"


def of_jpeg(source: bytes) -> bytes:
    return bytes(imagecodecs.jpegxl_encode_jpeg(source))


def read_back(stored: bytes, image: Image, source: bytes, decode: Decode, *, name: str) -> None:
    same = as_file(stored, JXL_OF_JPEG) == source if name == JPEG else np.array_equal(decode(stored), image)
    if not same:
        sys.exit(f"{name} did not bring a picture back")


def as_gray(source: bytes) -> bytes:
    """A PNG of its luminance: one byte a pixel."""
    stream = io.BytesIO()
    PillowImage.fromarray(decode_image(source)).convert("L").save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def measured(pictures: Iterator[bytes]) -> tuple[dict[str, Sum], int, int]:
    """(codec => sum, pictures, pixels)."""
    sums: dict[str, Sum] = {}
    count = total_px = 0
    for source in pictures:
        image = decode_image(source)
        count, total_px = count + 1, total_px + image.shape[0] * image.shape[1]
        codecs = dict(CODECS)
        if source.startswith(b"\xff\xd8"):
            codecs[JPEG] = (lambda _, given: of_jpeg(given), lambda stored: pixels(stored, JXL_OF_JPEG))
        for name, (encode, decode) in codecs.items():
            begun = time.perf_counter()
            stored = encode(image, source)
            encoded = time.perf_counter()
            decode(stored)
            ended = time.perf_counter()
            read_back(stored, image, source, decode, name=name)
            found = sums.setdefault(name, Sum())
            found.bytes += len(stored)
            found.encode_s += encoded - begun
            found.decode_s += ended - encoded
    return sums, count, total_px


def pictures_of(source: str, limit: int) -> Iterator[bytes]:
    if source == SIMULATED:
        camera = SimulatedCamera(seed=0, wh=WH)
        for index in range(limit):
            stream = io.BytesIO()
            PillowImage.fromarray(camera.photograph(index).image).save(stream, "PNG", compress_level=1)
            yield stream.getvalue()
        return
    found = sorted(path for path in Path(source).rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        sys.exit(f"no pictures in {source}")
    for path in spread(found, limit):
        yield path.read_bytes()


def table(name: str, sums: dict[str, Sum], count: int, total_px: int, *, planes: int) -> str:
    png = sums["PNG (level 6)"].bytes
    raw_hours = 8 * AMOUNT_BYTES / LINE_BITS_S / 3600
    lines = [
        f"{name}: {count} pictures, {total_px / count:,.0f} px each",
        "",
        "| codec | bits a pixel | of PNG | encodes MB/s | decodes MB/s | hours of 10 TB of pixels | 2 bits a pixel |",
        "|---|---|---|---|---|---|---|",
        f"| pixels alone | {8 * planes:.2f} | {planes * total_px / png:.2f} | | | {raw_hours:.2f} | no |",
    ]
    for codec, found in sums.items():
        bits = 8 * found.bytes / total_px
        megabytes = planes * total_px / 1e6
        encodes = "" if codec == "source" else f"{megabytes / found.encode_s:,.0f}"
        lines.append(
            f"| {codec} | {bits:.2f} | {found.bytes / png:.2f} | {encodes} | {megabytes / found.decode_s:,.0f} | "
            f"{raw_hours * bits / 8 / planes:.2f} | {'yes' if bits <= WISHED_BITS else 'no'} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", help=f"folders of pictures, or {SIMULATED}")
    parser.add_argument("--gray", action="store_true", help="of one plane")
    parser.add_argument("--pictures", type=int, default=40, help="of each, at most, evenly over the folder")
    arguments = parser.parse_args()
    for source in arguments.sources:
        pictures, planes = pictures_of(source, arguments.pictures), 1 if arguments.gray else 3
        found = measured(map(as_gray, pictures) if arguments.gray else pictures)
        print(table(Path(source).name, *found, planes=planes), end="\n\n", flush=True)
    print(f"10 TB on the line, whatever is in them: {8 * AMOUNT_BYTES / LINE_BITS_S / 3600:.2f} h at 5 Gbit/s")


if __name__ == "__main__":
    main()
