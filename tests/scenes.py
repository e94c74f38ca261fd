"""Painted pictures whose objects are known, and data sets of them: what the tests of several rooms look at.

A painter draws from the generator it is given in a fixed order, so that a seed is a picture. What one room alone paints
stays in its own `conftest.py`; the model that sees painted cells is in `cells.py`.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from edgewright.artifacts import Content, Record, Store
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rle import encode_mask
from edgewright.data.rows import Label, Row
from edgewright.runtime.boxes import Image
from edgewright.synth.matte import ellipse

Color = tuple[int, int, int]
Corners = tuple[float, float, float, float]
Painted = tuple[Image, tuple[Label, ...]]
DISCS_WH, PLATES_WH = (96, 72), (80, 60)
RED, BLUE = (220, 40, 40), (40, 60, 220)


def publish_dataset(
    store: Store,
    pairs: Iterable[tuple[Row, bytes]],
    *,
    classes: Sequence[str],
    quarantined: Iterable[Row] = (),
    kind: str = "dataset_real",
    stage: str = "ingest",
) -> Dataset:
    """Rows with their encoded pictures, and rows that have none, as a data set in the store."""

    def fill(writer: DatasetWriter) -> None:
        for row, payload in pairs:
            writer.add(row, payload)
        for row in quarantined:
            writer.quarantine(row)

    return publish_filled(store, fill, classes=classes, kind=kind, stage=stage)


def publish_filled(
    store: Store,
    fill: Callable[[DatasetWriter], object],
    *,
    classes: Sequence[str],
    kind: str = "dataset_real",
    stage: str = "ingest",
) -> Dataset:
    """What `fill` writes, as a data set in the store."""
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=classes)
        fill(writer)
        writer.finish()
        return Dataset.open(store, store.publish(work, Content(kind=kind, stage=stage), Record()))


def gray(rng: np.random.Generator, *, side_px: int = 64, ground: int = 128, noise: int = 12) -> Image:
    """A square picture of nearly one gray."""
    shape = (side_px, side_px, 3)
    return np.full(shape, ground, np.uint8) + rng.integers(0, noise, shape, dtype=np.uint8)


def paint_square(
    image: Image, rng: np.random.Generator, color: Color | int, *, side_px: int = 20, room_px: int = 40
) -> Corners:
    """Paint a square whose first corner is one of `room_px` by `room_px`; its corners."""
    x, y = (int(value) for value in rng.integers(0, room_px, 2))
    image[y : y + side_px, x : x + side_px] = color
    return float(x), float(y), float(x + side_px), float(y + side_px)


def discs(rng: np.random.Generator, *, contrast: tuple[float, float], source: str = "human") -> Painted:
    """96 × 72 px: three to five discs of class 0 on a grainy belt, under one of two lamps."""
    width, height = DISCS_WH
    light = 70.0 if rng.random() < 0.5 else 150.0
    canvas = light + rng.normal(0, 6, size=(height, width, 3)) + np.linspace(-10, 10, width)[None, :, None]
    yy, xx = np.mgrid[:height, :width]
    labels = []
    for index in range(rng.integers(3, 6)):
        x, y, radius = rng.uniform(12, width - 12), rng.uniform(12, height - 12), rng.uniform(6, 11)
        canvas[np.hypot(xx - x, yy - y) <= radius] += rng.uniform(*contrast, size=3) * rng.choice([-1, 1])
        labels.append(Label(index, 0, (x - radius, y - radius, x + radius, y + radius), source=source))
    return np.clip(canvas, 0, 255).astype(np.uint8), tuple(labels)


def plates(
    seed: int,
    *,
    spots: Sequence[tuple[int, int, int]],
    masked: bool,
    jitter_px: int,
    widths_px: tuple[int, int],
    height_px: int,
    color: int,
    round_class: int | None = None,
) -> Painted:
    """80 × 60 px gray: a red (class 0) or blue plate near each of `spots` (class id, x, y).

    Args:
        masked: whether labels carry the plates' pixels.
        color: how red and how blue.
        round_class: whose plates are ellipses.
    """
    rng = np.random.default_rng(seed)
    width, height = PLATES_WH
    image = np.clip(rng.normal(120, 4, (height, width, 3)), 0, 255).astype(np.uint8)
    labels = []
    for number, (class_id, left, top) in enumerate(spots):
        x, y = left + int(rng.integers(0, jitter_px)), top + int(rng.integers(0, jitter_px))
        w = int(rng.integers(*widths_px))
        mask = np.zeros((height, width), np.bool_)
        mask[y : y + height_px, x : x + w] = ellipse(w, height_px) if class_id == round_class else True
        image[mask] = (color, 40, 40) if class_id == 0 else (40, 40, color)
        corners = (x, y, x + w, y + height_px)
        labels.append(Label(number, class_id, corners, mask=encode_mask(mask) if masked else ""))
    return image, tuple(labels)


def noise_tiles(n: int, *, side_px: int = 32, seed: int = 0) -> npt.NDArray[np.uint8]:
    """(n, side, side, 3) of nothing but noise."""
    return np.random.default_rng(seed).integers(0, 256, size=(n, side_px, side_px, 3)).astype(np.uint8)


def png_header(wh: tuple[int, int]) -> bytes:
    """A PNG that says how large it is and holds nothing."""
    return _png(struct.pack(">IIBBBBB", *wh, 8, 2, 0, 0, 0), b"")


def deep_png(samples: npt.NDArray[np.uint16]) -> bytes:
    """(H, W) or (H, W, 3) samples of 16 bits; Pillow writes no color of more than 8."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return _png(struct.pack(">IIBBBBB", width, height, 16, 2 if samples.ndim == 3 else 0, 0, 0, 0), rows)


def raw_tiff(samples: npt.NDArray[Any], **tags: int) -> bytes:
    """(H, W) or (H, W, 3) as an uncompressed TIFF of one strip, and tags that Pillow would not write: `t281=4095`."""
    body, bits = samples.tobytes(), samples.dtype.itemsize * 8
    height, width, channels = (*samples.shape, 1)[:3]
    values = {256: width, 257: height, 258: bits, 259: 1, 262: 2 if channels == 3 else 1, 273: 8, 277: channels}
    values |= {278: height, 279: len(body)} | {int(tag.removeprefix("t")): value for tag, value in tags.items()}
    end = 8 + len(body) + 2 + 12 * len(values) + 4
    entries = [
        struct.pack("<HHII", tag, 3, 3, end) if tag == 258 and channels == 3 else struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in sorted(values.items())
    ]
    directory = struct.pack("<H", len(values)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory + struct.pack("<3H", *[bits] * 3)


def picture_kinds(seed: int = 0, *, wh: tuple[int, int] = (64, 48)) -> dict[str, bytes]:
    """A file name => one smooth picture in every kind that is read, other pixels in each."""
    rng = np.random.default_rng(seed)

    def painted(mode: str = "RGB") -> PillowImage.Image:
        small = PillowImage.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        return small.resize(wh, PillowImage.Resampling.BICUBIC).convert(mode)

    def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
        buffer = io.BytesIO()
        painted(mode).save(buffer, kind, **options)
        return buffer.getvalue()

    turned = PillowImage.Exif()
    turned[0x0112] = 6
    clear = painted()
    clear.putalpha(painted("L"))
    seen_through = io.BytesIO()
    clear.save(seen_through, "PNG")
    deep = rng.integers(0, 65536, wh[::-1], dtype=np.uint16)
    return {
        "plain.jpg": encoded("JPEG", quality=90),
        "progressive.jfif": encoded("JPEG", progressive=True),
        "gray.jpe": encoded("JPEG", "L"),
        "cmyk.jpg": encoded("JPEG", "CMYK"),
        "turned.JPG": encoded("JPEG", exif=turned),
        "phone.mpo": encoded("MPO", save_all=True, append_images=[painted()]),
        "plain.png": encoded("PNG"),
        "gray.png": encoded("PNG", "L"),
        "two.png": encoded("PNG", "1"),
        "palette.png": encoded("PNG", "P"),
        "key.png": encoded("PNG", "P", transparency=3),
        "opaque.png": encoded("PNG", "RGBA"),
        "clear.png": seen_through.getvalue(),
        "moving.png": encoded("PNG", save_all=True, append_images=[painted()]),
        "turned.png": encoded("PNG", exif=turned),
        "deep.png": deep_png(deep),
        "deep-color.png": deep_png(np.stack([deep, deep.T.reshape(deep.shape), deep], axis=2)),
        "png.jpg": encoded("PNG"),
        "plain.webp": encoded("WEBP", quality=90),
        "moving.webp": encoded("WEBP", save_all=True, append_images=[painted()], duration=100),
        "plain.bmp": encoded("BMP"),
        "plain.tif": encoded("TIFF", compression="tiff_lzw"),
        "turned.tiff": encoded("TIFF", exif=turned),
        "pages.tif": encoded("TIFF", save_all=True, append_images=[painted()]),
        "deep.tif": raw_tiff(deep),
        "deep-color.tif": raw_tiff(np.stack([deep, deep, deep], axis=2)),
        "twelve.tif": raw_tiff(deep >> 4, t281=4095),
        "plain.ppm": encoded("PPM"),
        "deep.pgm": b"P5 %d %d 4095\n" % wh + (deep >> 4).astype(">u2").tobytes(),
    }


def _png(header: bytes, rows: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
