"""Bytes → picture → tensor."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.errors import InputError
from edgewright.runtime.preprocess import PAD_VALUE, decode_image, letterbox, read_image
from tests.scenes import png_header

NOISE = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)


def encode(image: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("wh", "size_px", "scale", "pad_xy"),
    [
        # wide: gray above and below
        ((640, 480), 256, 0.4, (0, 32)),
        # tall: gray left and right
        ((100, 200), 64, 0.32, (16, 0)),
        # already right: nothing moves
        ((64, 64), 64, 1.0, (0, 0)),
        # too small, so it is enlarged
        ((16, 32), 64, 2.0, (16, 0)),
        # a thread: at least one px wide
        ((1, 500), 32, 0.064, (15, 0)),
    ],
)
def test_letterbox_geometry(wh: tuple[int, int], size_px: int, scale: float, pad_xy: tuple[int, int]) -> None:
    tensor, geometry = letterbox(np.full((wh[1], wh[0], 3), 255, np.uint8), size_px=size_px)
    assert tensor.shape == (1, 3, size_px, size_px)
    assert (tensor.dtype, tensor.flags["C_CONTIGUOUS"]) == (np.float32, True)
    assert (geometry.scale, geometry.pad_xy, geometry.source_wh) == (pytest.approx(scale), pad_xy, wh)
    gray = np.float32(PAD_VALUE) * np.float32(1 / 255)
    assert set(np.unique(tensor)) <= {gray, np.float32(1)}
    x, y = pad_xy
    assert tensor[0, 0, y, x] == 1
    assert tensor[0, 0, 0, 0] == (gray if x or y else 1)


def test_channels_stay_red_green_blue() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 255
    assert letterbox(image, size_px=32)[0][0].mean(axis=(1, 2)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_formats_round_trip(kind: str) -> None:
    assert (decode_image(encode(NOISE, kind)) == NOISE).all()


def test_other_modes_become_rgb() -> None:
    gray = encode(NOISE[..., 0], "PNG")
    assert (decode_image(gray) == NOISE[..., :1]).all()
    alpha = io.BytesIO()
    Image.fromarray(NOISE).convert("RGBA").save(alpha, "PNG")
    assert decode_image(alpha.getvalue()).shape == (40, 50, 3)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to show
    assert decode_image(encode(NOISE, "JPEG", exif=exif)).shape == (50, 40, 3)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        # nothing at all
        (b"", "not a readable picture"),
        # text
        (b"hello", "not a readable picture"),
        # half a picture
        (encode(NOISE, "PNG")[:900], "not a readable picture"),
        # a format that devices do not read
        (encode(NOISE, "TIFF"), "not a readable picture"),
        # above our limit, below Pillow's
        (png_header((8000, 8000)), "too large"),
        # between Pillow's two limits, where it only warns
        (png_header((10_000, 10_000)), "not a readable picture"),
        # above both
        (png_header((50_000, 50_000)), "not a readable picture"),
    ],
)
def test_refused_pictures(payload: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_image(payload)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_damaged_bytes_are_a_picture_or_an_input_error(kind: str) -> None:
    whole, rng = encode(NOISE, kind), random.Random(1)
    for _ in range(300):
        payload = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            payload[rng.randrange(min(len(payload), rng.choice([60, 200, 10_000])))] = rng.randrange(256)
        with contextlib.suppress(InputError):
            decode_image(bytes(payload[: rng.randrange(1, len(payload) + 1)]))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.png"):
        read_image(tmp_path / "missing.png")
