"""Labels of pictures that are stored smaller than their file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from edgewright.data.checks import CheckedPicture, check_boxes, check_picture
from edgewright.data.formats.annotation import Annotation, RawBox, RunLengths
from edgewright.data.reduced import reduce_annotation, reduce_mask
from edgewright.data.rle import decode_mask, encode_coco
from edgewright.data.sources import Unusable
from edgewright.runtime import pictures
from edgewright.runtime.preprocess import decode_image

WH = (103, 78)
BAR = (20, 12, 60, 32)
OUTLINE = (24.0, 12.0, 60.0, 12.0, 60.0, 32.0, 20.0, 32.0, 20.0, 16.0, 24.0, 16.0)


def bar_mask() -> np.ndarray:
    mask = np.zeros(WH[::-1], bool)
    mask[12:32, 20:60] = True
    mask[12:16, 20:24] = False
    return mask


def large_picture(monkeypatch: pytest.MonkeyPatch, *, orientation: int = 1) -> CheckedPicture:
    """The bar in white, stored at half its size."""
    monkeypatch.setattr(pictures, "MAX_PIXELS", 3000)
    tags = PillowImage.Exif()
    tags[0x0112] = orientation
    buffer = io.BytesIO()
    PillowImage.fromarray(np.repeat(bar_mask()[..., None], 3, axis=2).astype(np.uint8) * 255).save(
        buffer, "PNG", exif=tags
    )
    return check_picture(buffer.getvalue(), max_pixels=1_000_000)


def shares(xyxy: tuple[float, ...]) -> tuple[float, float, float, float]:
    return (xyxy[0] / WH[0], xyxy[1] / WH[1], xyxy[2] / WH[0], xyxy[3] / WH[1])


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("kind", ["box", "polygon", "runs"])
def test_labels_lie_on_the_smaller_picture(monkeypatch: pytest.MonkeyPatch, kind: str, relative: bool) -> None:
    picture = large_picture(monkeypatch)
    assert (picture.wh, picture.file_wh, picture.reduced) == ((52, 39), WH, 2)
    outline = tuple(value / WH[at % 2] for at, value in enumerate(OUTLINE)) if relative else OUTLINE
    box = {
        "box": RawBox("bar", shares(BAR) if relative else BAR),
        "polygon": RawBox("bar", shares(BAR) if relative else BAR, polygons=(outline,)),
        "runs": RawBox("bar", shares(BAR) if relative else BAR, runs=RunLengths(encode(bar_mask()), WH[::-1])),
    }[kind]
    annotation = Annotation((box,), wh=None if relative else WH, relative=relative)
    [label] = check_boxes(annotation, picture, classes=("bar",)).labels
    assert label.xyxy == pytest.approx((10, 6, 30, 16))
    white = decode_image(picture.payload)[..., 0] > 127
    if kind == "box":
        ys, xs = np.nonzero(white)
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (10, 6, 30, 16)
    else:
        assert (decode_mask(label.mask, shape=(39, 52)) == white).all()


def encode(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(encode_coco(mask))


@pytest.mark.parametrize("orientation", range(5, 9))
@pytest.mark.parametrize("kind", ["polygon", "runs"])
def test_turned_and_reduced(monkeypatch: pytest.MonkeyPatch, orientation: int, kind: str) -> None:
    """The labels were made for the picture as encoded; a part of a square at the edge may shift them by a pixel."""
    picture = large_picture(monkeypatch, orientation=orientation)
    box = RawBox("bar", BAR, polygons=(OUTLINE,))
    if kind == "runs":
        box = RawBox("bar", BAR, runs=RunLengths(encode(bar_mask()), WH[::-1]))
    [label] = check_boxes(Annotation((box,), wh=WH), picture, classes=("bar",)).labels
    ys, xs = np.nonzero(decode_image(picture.payload)[..., 0] > 127)
    assert label.xyxy == pytest.approx((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), abs=1)
    mask = decode_mask(label.mask, shape=(52, 39))
    assert (mask.sum(), picture.wh) == (20 * 10 - 4, (39, 52))


@pytest.mark.parametrize("wh", [(52, 39), (640, 480)])  # of the stored picture, of another one
def test_labels_are_of_the_files_own_size(monkeypatch: pytest.MonkeyPatch, wh: tuple[int, int]) -> None:
    with pytest.raises(Unusable, match=rf"another size \(expected 103x78 px, got {wh[0]}x{wh[1]} px\)"):
        check_boxes(Annotation(wh=wh), large_picture(monkeypatch), classes=("bar",))


def test_a_mask_of_another_size_refuses_its_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = RawBox("bar", BAR, runs=RunLengths((5, 5), WH[::-1]))
    other = RawBox("bar", BAR, runs=RunLengths((100 * 78,), (78, 100)))
    checked = check_boxes(Annotation((bad, other, RawBox("bar", BAR))), large_picture(monkeypatch), classes=("bar",))
    assert [index for index, reason in checked.refused if "a mask of another size" in reason] == [0, 1]
    assert len(checked.labels) == 1


def test_at_its_full_size_nothing_changes() -> None:
    annotation = Annotation((RawBox("bar", BAR),), wh=(1, 1))
    assert reduce_annotation(annotation, by=1, upright_wh=WH, encoded_wh=WH) is annotation


@given(st.sampled_from([2, 4, 8]), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_mask_pixel_is_its_squares_majority(by: int, height: int, width: int, seed: int) -> None:
    small = np.random.default_rng(seed).random((-(-height // by), -(-width // by))) < 0.5
    mask = np.kron(small, np.ones((by, by), bool))[:height, :width]
    assert (reduce_mask(mask, by) == small).all()
