"""Bytes → picture: what every kind of file becomes, and what is refused."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.errors import InputError
from edgewright.runtime import pictures
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.pictures import decode_picture, read_picture
from edgewright.runtime.preprocess import letterbox
from edgewright.simulate.camera import SimulatedCamera
from tests.scenes import deep_png, png_header, raw_tiff

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (40, 50), dtype=np.uint16)
TWELVE = DEEP >> 4
_ORIENTATION, _MAX_SAMPLE = 274, 281


def encode(image: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return exif


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_round_trip(kind: str) -> None:
    decoded = decode_picture(encode(NOISE, kind))
    assert (decoded.pixels == NOISE).all()
    assert (decoded.file_wh, decoded.orientation, decoded.reduced, decoded.notes) == ((50, 40), 1, 1, ())
    assert decoded.plain == (kind == "PNG")


@pytest.mark.parametrize(
    ("payload", "samples", "bits"),
    [
        (encode(DEEP, "PNG"), DEEP, 16),  # gray
        (deep_png(np.stack([DEEP] * 3, axis=2)), DEEP, 16),  # color
        (encode(DEEP, "TIFF"), DEEP, 16),  # 16 bits a sample and nothing else
        (encode(DEEP, "PPM"), DEEP, 16),  # P5 up to 65535
        (raw_tiff(np.stack([DEEP] * 3, axis=2)), DEEP, 16),  # color
        (raw_tiff(DEEP.astype(np.uint32), t281=65535), DEEP, 16),  # in a container of 32
        (encode(TWELVE, "TIFF", tiffinfo={_MAX_SAMPLE: 4095}), TWELVE, 12),  # declared
        (b"P5 50 40 4095\n" + TWELVE.astype(">u2").tobytes(), TWELVE, 12),  # declared
        (encode(TWELVE, "TIFF", tiffinfo={_MAX_SAMPLE: 4088}), TWELVE, 16),  # one picture's own maximum
        (encode(TWELVE, "PNG"), TWELVE, 16),  # 12 bits in 16, and nothing says so
    ],
)
def test_deep_samples_keep_their_highest_8_bits(payload: bytes, samples: np.ndarray, bits: int) -> None:
    decoded = decode_picture(payload)
    assert (decoded.pixels == (samples >> (bits - 8))[..., None]).all()
    assert decoded.notes == ("pictures of more than 8 bits a sample, of which the highest 8 are kept",)
    assert not decoded.plain


def test_sixteen_bits_end_where_eight_do() -> None:
    ladder = np.arange(256, dtype=np.uint16)[None] * 257
    assert decode_picture(encode(ladder, "PNG")).pixels[0, :, 0].tolist() == list(range(256))
    white_is_zero = decode_picture(raw_tiff(ladder, t262=0)).pixels[0, :, 0]
    assert white_is_zero.tolist() == list(range(255, -1, -1))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (encode(DEEP.astype(np.int32), "TIFF"), "samples without a declared range"),
        (encode(DEEP.astype(np.float32), "TIFF"), "samples that are fractions"),
        (b"Pf\n50 40\n-1.0\n" + DEEP.astype(np.float32).tobytes(), "samples that are fractions"),
        (raw_tiff(np.stack([TWELVE] * 3, axis=2), t281=4095), "color of 16 bits that uses fewer"),
    ],
)
def test_samples_whose_range_nobody_declares_are_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=rf"{reason}.*in a\.tif.*Next: scale its samples to 16 or 8 bits"):
        decode_picture(payload, where="a.tif")


def test_other_modes_become_rgb() -> None:
    gray = NOISE[..., 0]
    assert (decode_picture(encode(gray, "PNG")).pixels == gray[..., None]).all()
    palette = Image.fromarray(NOISE).quantize(200)
    assert (decode_picture(encode(palette, "PNG")).pixels == np.asarray(palette.convert("RGB"))).all()
    cmyk = decode_picture(encode(Image.fromarray(NOISE).convert("CMYK"), "TIFF"))
    assert (cmyk.pixels == NOISE).all()
    assert cmyk.notes == ("CMYK pictures, turned to RGB without their color profile",)


def with_alpha(alpha: int) -> Image.Image:
    return Image.fromarray(np.dstack([NOISE, np.full((40, 50), alpha, np.uint8)]))


def test_what_can_be_seen_through_lies_on_white() -> None:
    opaque, half = (decode_picture(encode(with_alpha(alpha), "PNG")) for alpha in (255, 0))
    assert (opaque.pixels == NOISE).all() and opaque.notes == ()
    assert (half.pixels == 255).all() and half.notes == ("pictures that can be seen through, laid on white",)
    assert not opaque.plain, "a reader that knows no alpha would find other pixels"
    key = Image.fromarray(np.where(NOISE[..., 0] < 128, 7, 200).astype(np.uint8))
    assert set(np.unique(decode_picture(encode(key, "PNG", transparency=7)).pixels)) == {200, 255}
    deep = np.where(DEEP < 30000, 1799, 51400).astype(np.uint16)
    assert set(np.unique(decode_picture(encode(deep, "PNG", transparency=1799)).pixels)) == {200, 255}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_turned_upright(kind: str, orientation: int) -> None:
    plain = decode_picture(encode(NOISE, kind, **({"lossless": True} if kind == "WEBP" else {}))).pixels
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode_picture(encode(NOISE, kind, exif=oriented(orientation), **options))
    turned = {1: plain, 2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1], 5: plain.swapaxes(0, 1)}
    turned |= {6: np.rot90(plain, -1), 7: plain[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(plain)}
    assert (decoded.pixels == turned[orientation]).all()
    assert (decoded.file_wh, decoded.orientation) == ((50, 40), orientation)
    assert decoded.upright_file_wh == decoded.rgb.size
    assert decoded.plain == (kind in ("JPEG", "PNG") and orientation == 1)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_the_first_of_several_frames(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = [Image.fromarray(255 - NOISE)] * 2
    decoded = decode_picture(encode(NOISE, kind, save_all=True, append_images=frames, **options))
    assert (decoded.pixels == NOISE).all()
    assert decoded.notes == ("pictures of several frames or pages, of which the first is taken",)


def test_the_second_picture_of_a_phone_is_no_frame() -> None:
    decoded = decode_picture(encode(NOISE, "MPO", save_all=True, append_images=[Image.fromarray(NOISE[:20])]))
    assert (decoded.notes, decoded.plain) == ((), True)


SMALL = 600
"""Px that are handed out, in tests of large pictures."""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_picture_is_read_at_a_part_of_its_size(
    monkeypatch: pytest.MonkeyPatch, kind: str, orientation: int
) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", SMALL)
    monkeypatch.setattr(pictures, "_BAND_ROWS", 16)
    ramp = np.zeros((41, 51, 3), np.uint8)
    ramp[...] = np.linspace(0, 200, 51)[None, :, None]
    ramp[:16, :32] = 255
    exif = {"exif": oriented(orientation)} if kind != "BMP" else {}
    decoded = decode_picture(encode(ramp, kind, **exif))
    turned = orientation == 6 and kind != "BMP"
    assert (decoded.reduced, decoded.rgb.size, decoded.file_wh) == (2, (21, 26) if turned else (26, 21), (51, 41))
    white = np.rot90(decoded.pixels) if turned else decoded.pixels
    assert (white[:8, :16] > 240).all() and (white[9:, 17:] < 230).all()
    assert not decoded.plain
    boxes = Boxes.of([(0.0, 0.0, *map(float, decoded.rgb.size))], class_id=[0], score=[1.0])
    assert decoded.to_file(boxes).xyxy.tolist() == [[0, 0, *decoded.upright_file_wh]]
    assert decoded.from_file(boxes).xyxy[0, 2:].tolist() == [side / 2 for side in decoded.rgb.size]


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_decoded_no_larger_than_the_square_that_it_is_fitted_into_needs(orientation: int) -> None:
    scene = SimulatedCamera(0, wh=(640, 480)).photograph(0).image
    payload = encode(scene, "JPEG", quality=92, exif=oriented(orientation))
    whole, small = decode_picture(payload), decode_picture(payload, fit_px=128)
    assert (whole.reduced, small.reduced) == (1, 2), "a quarter would leave 160 px, less than twice those wanted"
    assert small.upright_file_wh == whole.upright_file_wh == whole.rgb.size
    (seen, _), (expected, _) = (letterbox(each.pixels, size_px=128) for each in (small, whole))
    apart = 255 * np.abs(seen - expected)
    assert (apart.mean(), apart.max()) < (1.0, 40.0)
    assert decode_picture(payload, fit_px=400).reduced == 1
    assert decode_picture(encode(scene, "PNG"), fit_px=32).reduced == 1, "all px of any other file are read"


def test_reading_in_bands_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", SMALL)
    whole = decode_picture(encode(NOISE, "PNG")).pixels
    monkeypatch.setattr(pictures, "_BAND_ROWS", 8)
    assert (decode_picture(encode(NOISE, "PNG")).pixels == whole).all()
    assert (whole == np.asarray(Image.fromarray(NOISE).reduce(2))).all()


@pytest.mark.parametrize(
    ("payload", "needed"),
    [
        (encode(NOISE, "PNG"), 4 * 2000),  # four bytes a pixel
        (encode(NOISE, "WEBP"), 8 * 2000),  # its decoder's copy beside it
        (encode(NOISE, "JPEG"), 4 * 500),  # never at its full size
        (encode(NOISE, "JPEG", progressive=True), 4 * 500 + 2 * 3000),  # 4:2:0: half as many color samples
        (encode(NOISE, "JPEG", progressive=True, subsampling=0), 4 * 500 + 2 * 6000),
        (encode(NOISE, "TIFF", compression="tiff_lzw"), 4 * 2000 + 4 * 2000),  # one strip
        (encode(NOISE, "TIFF", exif=oriented(6)), 4 * 2000 + 4 * 2000 + 4 * 2000),
    ],
)
def test_what_would_take_too_much_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch, payload: bytes, needed: int
) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", SMALL)
    monkeypatch.setattr(pictures, "MAX_MEMORY_BYTES", needed)
    assert decode_picture(payload).reduced == 2
    monkeypatch.setattr(pictures, "MAX_MEMORY_BYTES", needed - 1)
    with pytest.raises(InputError, match=r"too large to be decoded in one piece.*(50x40|40x50) px.*Next: save"):
        decode_picture(payload)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "an empty file"),
        (b"hello", "not a picture .*JPEG/PNG"),
        (encode(NOISE, "PNG")[:900], "corrupt or truncated"),
        (png_header((20_000, 20_000)), "too large .*<= 200000000 px, got 20000x20000"),
        (png_header((50_000, 50_000)), "too large"),  # above Pillow's own limit too
        (encode(NOISE, "GIF"), "GIF pictures are not read"),
        (b"\0\0\0\x18ftypheic" + bytes(64), "HEIC pictures are not read"),
        (b"\0\0\0\x1cftypavif" + bytes(64), "AVIF pictures are not read"),
        (b"\0\0\0\x18ftypcrx " + bytes(64), "raw camera files are not read"),
        (b"FUJIFILMCCD-RAW 0201", "raw camera files are not read"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS.*Next: git lfs pull"),
        (b"<!DOCTYPE html><html>404", "a web page, not a picture"),
        (raw_tiff(NOISE, t254=1), "raw camera files are not read"),  # NEF, ARW: a small copy comes first
        (raw_tiff(NOISE, t50706=1), "raw camera files are not read"),  # DNG
        (raw_tiff(DEEP, t262=32803), "a kind that is not read"),  # one color a pixel
    ],
)
def test_refused_pictures(payload: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_picture(payload)


def test_a_limit_of_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decode_picture(encode(NOISE, "PNG"), max_pixels=2000).reduced == 1
    with pytest.raises(InputError, match=r"too large .*<= 1999 px, got 50x40"):
        decode_picture(encode(NOISE, "PNG"), max_pixels=1999)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_damaged_bytes_are_a_picture_or_an_input_error(kind: str) -> None:
    whole, rng = encode(NOISE, kind), random.Random(1)
    for _ in range(300):
        payload = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            payload[rng.randrange(min(len(payload), rng.choice([60, 200, 10_000])))] = rng.randrange(256)
        with contextlib.suppress(InputError):
            decode_picture(bytes(payload[: rng.randrange(1, len(payload) + 1)]), max_pixels=1_000_000)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.png"):
        read_picture(tmp_path / "missing.png")
    (tmp_path / "a.png").write_bytes(encode(NOISE, "JPEG"))  # what it is, its bytes say
    assert read_picture(tmp_path / "a.png").rgb.size == (50, 40)
