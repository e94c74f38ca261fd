"""What becomes of pictures and boxes that are not as they should be."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageOps

from edgewright.data.checks import check_boxes, check_picture, turn_upright
from edgewright.data.formats.annotation import Annotation, RawBox
from edgewright.data.sources import Unusable
from edgewright.runtime.preprocess import decode_image
from tests.scenes import png_header

CLASSES = ("bolt", "nut")
MAX_PIXELS = 200_000_000


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_upright_jpeg_or_png_is_kept_byte_for_byte(picture: Callable[..., bytes], kind: str) -> None:
    payload = picture(1, kind=kind)
    checked = check_picture(payload, max_pixels=MAX_PIXELS)
    assert (checked.payload, checked.wh, checked.raw_wh, checked.orientation) == (payload, (64, 48), (64, 48), 1)


@pytest.mark.parametrize("kind", ["BMP", "WEBP", "TIFF"])
def test_other_formats_become_png(picture: Callable[..., bytes], kind: str) -> None:
    payload = picture(1, kind=kind)
    checked = check_picture(payload, max_pixels=MAX_PIXELS)
    assert checked.payload.startswith(b"\x89PNG")
    assert (decode_image(checked.payload) == np.asarray(PillowImage.open(io.BytesIO(payload)).convert("RGB"))).all()


def test_sixteen_bit_gray_is_scaled_not_saturated() -> None:
    buffer = io.BytesIO()
    PillowImage.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16)).save(buffer, "PNG")
    checked = check_picture(buffer.getvalue(), max_pixels=MAX_PIXELS)
    assert decode_image(checked.payload)[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize("wh", [(50_000, 50_000), (17_000, 17_000), (20_000, 10_001)])  # Pillow: no, a warning, yes
def test_a_header_over_the_cap_is_refused_before_decoding(wh: tuple[int, int]) -> None:
    started = time.perf_counter()
    with pytest.raises(Unusable, match="picture too large"):
        check_picture(png_header(wh), max_pixels=MAX_PIXELS)
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_picture_is_refused(picture: Callable[..., bytes], kind: str, share: float) -> None:
    payload = picture(3, wh=(200, 150), kind=kind)
    with pytest.raises(Unusable):
        check_picture(payload[: int(len(payload) * share)], max_pixels=MAX_PIXELS)


@given(data=st.data())
def test_damaged_bytes_give_a_picture_or_one_reason(picture: Callable[..., bytes], data: st.DataObject) -> None:
    payload = bytearray(picture(3, kind=data.draw(st.sampled_from(["JPEG", "PNG", "BMP", "WEBP", "TIFF"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        checked = check_picture(bytes(payload), max_pixels=1_000_000)
    except Unusable:
        return
    assert decode_image(checked.payload).shape == (checked.wh[1], checked.wh[0], 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_and_boxes_are_turned_alike(picture: Callable[..., bytes], orientation: int) -> None:
    """A white rectangle is found where its turned box says, whatever the camera was held like."""
    raw = np.zeros((48, 64, 3), np.uint8)
    raw[5:15, 20:50] = 255
    tags = PillowImage.Exif()
    tags[0x0112] = orientation
    buffer = io.BytesIO()
    PillowImage.fromarray(raw).save(buffer, "PNG", exif=tags)
    checked = check_picture(buffer.getvalue(), max_pixels=MAX_PIXELS)
    expected = np.asarray(ImageOps.exif_transpose(PillowImage.open(io.BytesIO(buffer.getvalue()))))
    image = decode_image(checked.payload)
    assert (image == expected).all()
    if orientation >= 5:
        annotation = Annotation((RawBox("bolt", (20, 5, 50, 15)),), wh=(64, 48))
        [label] = check_boxes(annotation, checked, classes=CLASSES).labels
        ys, xs = np.nonzero(image[:, :, 0])
        assert label.xyxy == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


@given(st.integers(5, 8), st.tuples(*[st.floats(0, 40)] * 4))
def test_turning_keeps_order_and_area(orientation: int, corners: tuple[float, float, float, float]) -> None:
    x1, x2 = sorted(corners[:2])
    y1, y2 = sorted(corners[2:])
    t = turn_upright((x1, y1, x2, y2), orientation, raw_wh=(64, 48))
    assert t[0] <= t[2]
    assert t[1] <= t[3]
    assert math.isclose((t[2] - t[0]) * (t[3] - t[1]), (x2 - x1) * (y2 - y1), abs_tol=1e-6)


def test_labels_are_upright_unless_their_file_says_otherwise(picture: Callable[..., bytes]) -> None:
    checked = check_picture(picture(1, exif=6), max_pixels=MAX_PIXELS)
    assert (checked.wh, checked.raw_wh) == ((48, 64), (64, 48))
    for wh in (None, (48, 64)):
        annotation = Annotation((RawBox("bolt", (1, 2, 30, 50)),), wh=wh)
        assert check_boxes(annotation, checked, classes=CLASSES).labels[0].xyxy == (1, 2, 30, 50)
    with pytest.raises(Unusable, match="another size"):
        check_boxes(Annotation(wh=(640, 480)), checked, classes=CLASSES)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (RawBox("bolt", (10, 10, 10, 10)), "zero-area box [10, 10, 10, 10]"),
        (RawBox("bolt", (10, 10, 10, 20)), "zero-area box [10, 10, 10, 20]"),  # a line
        (RawBox("bolt", (20, 10, 10, 20)), "corners in the wrong order [20, 10, 10, 20]"),
        (RawBox("bolt", (math.nan, 0, 5, 5)), "a corner is not a finite number"),
        (RawBox("bolt", (0, 0, math.inf, 5)), "a corner is not a finite number"),
        (RawBox("bolt", (60, 0, 80, 10)), "more than half outside of the picture [60, 0, 80, 10]"),
        (RawBox("bolt", (100, 100, 120, 120)), "more than half outside of the picture [100, 100, 120, 120]"),
        (RawBox("screw", (0, 0, 5, 5)), "unknown class 'screw'"),
        (RawBox("bolt", (0, 0, 5, 5), reason="said the reader"), "said the reader"),
    ],
)
def test_one_bad_box_is_refused_and_the_others_stay(picture: Callable[..., bytes], box: RawBox, reason: str) -> None:
    good = RawBox("nut", (1, 1, 9, 9))
    checked = check_boxes(
        Annotation((good, box, good)), check_picture(picture(1), max_pixels=MAX_PIXELS), classes=CLASSES
    )
    assert checked.refused == ((1, reason),)
    assert [(label.instance_id, label.class_id, label.xyxy) for label in checked.labels] == [
        (0, 1, (1, 1, 9, 9)),
        (1, 1, (1, 1, 9, 9)),
    ]


@pytest.mark.parametrize(
    ("xyxy", "inside", "clipped"),
    [
        ((-2, -2, 20, 20), (0, 0, 20, 20), 1),  # a little over the edge
        ((44, 10, 84, 20), (44, 10, 64, 20), 1),  # exactly half is inside
        ((0, 0, 64, 48), (0, 0, 64, 48), 0),  # the whole picture
    ],
)
def test_boxes_over_the_edge_are_clipped(
    picture: Callable[..., bytes], xyxy: tuple[float, ...], inside: tuple[float, ...], clipped: int
) -> None:
    annotation = Annotation((RawBox("bolt", xyxy),))  # type: ignore[arg-type]
    checked = check_boxes(annotation, check_picture(picture(1), max_pixels=MAX_PIXELS), classes=CLASSES)
    assert (checked.labels[0].xyxy, checked.clipped) == (inside, clipped)
