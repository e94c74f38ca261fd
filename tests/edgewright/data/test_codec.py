"""Pictures in JPEG-LS and JPEG XL: the same to the last bit, or as they came."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from edgewright.artifacts import sha256_bytes
from edgewright.data import codec as codecs
from edgewright.data.codec import (
    JPEG_STAYS,
    JPEGLS,
    JXL,
    JXL_OF_JPEG,
    LARGER,
    NOT_TAKEN,
    SOURCE,
    Coded,
    as_file,
    coded,
    encode_pixels,
    encode_png,
    pixels,
    require,
    size_of,
)
from edgewright.errors import InputError, MissingExtra
from edgewright.runtime.boxes import Image
from edgewright.runtime.preprocess import decode_image

pytest.importorskip("imagecodecs")
CODECS = (JPEGLS, JXL)


def scene(wh: tuple[int, int] = (96, 64), *, gray: bool = False, noise: int = 3, seed: int = 0) -> Image:
    """Smooth, with a little noise, as a sensor sees it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: wh[1], : wh[0]]
    planes = [120 + 60 * np.sin(x / (9 + k)) + 40 * np.cos(y / (7 + k)) for k in range(3)]
    image = np.stack(planes[:1] * 3 if gray else planes, axis=-1)
    image = image + rng.integers(-noise, noise + 1, (wh[1], wh[0], 1 if gray else 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def jpeg(image: Image, **words: object) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(image).save(stream, "JPEG", **words)
    return stream.getvalue()


@settings(max_examples=40, deadline=None)
@given(
    wh=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    gray=st.booleans(),
    noise=st.sampled_from([0, 2, 200]),
    codec=st.sampled_from(CODECS),
    seed=st.integers(0, 9),
)
def test_pixels_come_back_to_the_last_bit_and_the_header_says_how_many(
    wh: tuple[int, int], gray: bool, noise: int, codec: str, seed: int
) -> None:
    image = scene(wh, gray=gray, noise=noise, seed=seed)
    stored = encode_pixels(image, codec)
    found = pixels(stored, codec)
    assert (found.dtype, found.shape, found.flags.c_contiguous) == (np.uint8, image.shape, True)
    assert np.array_equal(found, image)
    assert size_of(stored, codec) == wh


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("gray", [False, True])
def test_a_png_becomes_smaller_and_its_pixels_stay(codec: str, gray: bool) -> None:
    payload = encode_png(scene(gray=gray))
    found = coded(payload, codec)
    assert (found.codec, found.of, found.why) == (codec, sha256_bytes(payload), "")
    assert len(found.payload) < len(payload)
    assert np.array_equal(pixels(found.payload, found.codec), decode_image(payload))
    assert as_file(found.payload, found.codec) == payload, "a PNG of ours comes back as it was"


@pytest.mark.parametrize(
    "words", [{}, {"progressive": True}, {"quality": 30}, {"subsampling": 0}, {"comment": b"of a camera"}]
)
def test_a_jpeg_comes_back_byte_by_byte(words: dict[str, object]) -> None:
    payload = jpeg(scene((200, 120)), **words)
    found = coded(payload, JXL)
    assert (found.codec, len(found.payload) < len(payload)) == (JXL_OF_JPEG, True)
    assert as_file(found.payload, found.codec) == payload
    assert np.array_equal(pixels(found.payload, found.codec), decode_image(payload))
    assert size_of(found.payload, found.codec) == (200, 120)


def test_a_picture_lies_as_it_came_where_nothing_smaller_holds_it() -> None:
    photograph = jpeg(scene())
    assert coded(photograph, JPEGLS) == Coded(photograph, why=JPEG_STAYS)
    flat = encode_png(np.zeros((1, 1, 3), np.uint8))
    tiny = min((coded(flat, codec) for codec in CODECS), key=lambda one: len(one.payload))
    assert len(tiny.payload) <= len(flat)
    palette = PillowImage.fromarray(np.random.default_rng(0).integers(0, 2, (64, 64), dtype=np.uint8), "P")
    palette.putpalette([10, 200, 30, 250, 0, 120])
    stream = io.BytesIO()
    palette.save(stream, "PNG", bits=1)
    assert coded(stream.getvalue(), JPEGLS) == Coded(stream.getvalue(), why=LARGER)
    broken = photograph[:-2] + b"\xff\xd9" + b"after the end"
    kept = coded(broken, JXL)
    assert kept.why in ("", NOT_TAKEN) and as_file(kept.payload, kept.codec) == broken
    assert coded(photograph[: len(photograph) // 2], JXL).why == NOT_TAKEN
    assert coded(photograph, SOURCE) == Coded(photograph)


@pytest.mark.parametrize("codec", [*CODECS, JXL_OF_JPEG])
def test_what_is_cut_short_or_changed_is_refused_or_is_a_picture(codec: str) -> None:
    image = scene()
    stored = coded(jpeg(image), JXL).payload if codec == JXL_OF_JPEG else encode_pixels(image, codec)
    for share in (0.0, 0.05, 0.3, 0.9):
        with pytest.raises(InputError, match="truncated"):
            pixels(stored[: int(len(stored) * share)], codec)
    rng = np.random.default_rng(0)
    for _ in range(60):
        changed = bytearray(stored)
        changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
        try:
            assert pixels(bytes(changed), codec).dtype == np.uint8
        except InputError:
            continue


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_refused_from_its_header(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = encode_pixels(np.zeros((3_000, 2_000, 3), np.uint8), codec)
    assert len(stored) < 20_000
    photograph = coded(jpeg(scene()), JXL)
    monkeypatch.setattr(codecs, "MAX_PIXELS", 5_999_999)
    with pytest.raises(InputError, match=r"too large .*got 2000x3000"):
        pixels(stored, codec, where="bomb")
    monkeypatch.setattr(codecs, "MAX_FILE_PIXELS", 5_000)
    with pytest.raises(InputError, match="too large"):
        as_file(photograph.payload, photograph.codec)


def test_a_header_that_lies_about_its_size_is_refused() -> None:
    stored = bytearray(encode_pixels(scene(), JPEGLS))
    place = stored.index(b"\xff\xf7")
    stored[place + 5 : place + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(InputError, match=r"too large .*65535x65535"):
        pixels(bytes(stored), JPEGLS)
    stored[place + 5 : place + 9] = b"\0\0\0\0"
    with pytest.raises(InputError, match="without a size"):
        pixels(bytes(stored), JPEGLS)


@pytest.mark.parametrize(("depth", "mode"), [("16 bits", np.uint16), ("four planes", np.uint8)])
def test_a_picture_of_another_kind_is_refused(depth: str, mode: type[np.generic]) -> None:
    import imagecodecs

    shape = (8, 8) if depth == "16 bits" else (8, 8, 4)
    stored = imagecodecs.jpegxl_encode(np.ones(shape, mode), lossless=True)
    with pytest.raises(InputError, match="another kind"):
        pixels(bytes(stored), JXL)


@pytest.mark.parametrize("codec", [*CODECS, JXL_OF_JPEG])
def test_without_the_extra_the_next_step_is_said(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = encode_pixels(scene(), JXL)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    for refused in (lambda: require(codec), lambda: coded(encode_png(scene()), JXL), lambda: pixels(stored, codec)):
        with pytest.raises(MissingExtra, match=r"edgewright\[codec\]"):
            refused()
    require(SOURCE)
    assert coded(b"x", SOURCE).payload == b"x"
