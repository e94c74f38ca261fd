from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.data.rle import encode_mask
from edgewright.data.rows import Label
from edgewright.label.outline.masks import Target, picture_area, rasterize
from edgewright.runtime.preprocess import Letterbox

SQUARE = Letterbox(1.0, (0, 0), (32, 32))


def label(*xyxy: float, class_id: int = 0, **changes: Any) -> Label:
    return Label(instance_id=0, class_id=class_id, xyxy=tuple(map(float, xyxy)), **changes)


def draw(*labels: Label, geometry: Letterbox = SQUARE, size_px: int = 32, shape: str = "ellipse") -> Target:
    return rasterize(labels, geometry=geometry, size_px=size_px, shape=shape)


@pytest.mark.parametrize(
    ("shape", "box", "pixels"),
    [
        ("box", (4, 4, 20, 12), 128),  # every pixel of the box
        ("ellipse", (4, 4, 20, 12), 104),  # pi / 4 of it
        ("box", (4.6, 4.6, 4.9, 4.9), 1),  # smaller than a pixel: still one
        ("ellipse", (4.6, 4.6, 4.9, 4.9), 1),
        ("box", (31.5, 31.5, 32, 32), 1),  # in the last corner
    ],
)
def test_the_pixels_of_a_box(shape: str, box: tuple[float, ...], pixels: int) -> None:
    target = draw(label(*box), shape=shape)
    assert np.count_nonzero(target.class_map) == pytest.approx(pixels, abs=4 if pixels > 1 else 0)
    assert target.core.any()


def test_a_given_mask_wins_over_the_box() -> None:
    mask = np.zeros((32, 32), bool)
    mask[10:14, 5:25] = True
    target = draw(label(0, 0, 32, 32, class_id=1, mask=encode_mask(mask)))
    assert np.array_equal(target.class_map == 2, mask)
    assert (mask | ~target.core).all()


def test_the_deeper_object_owns_a_pixel_that_two_claim() -> None:
    target = draw(label(2, 2, 16, 16, class_id=0), label(10, 2, 24, 16, class_id=1), shape="box")
    assert target.class_map[9, 11] == 1
    assert target.class_map[9, 14] == 2


def test_ignored_regions_and_the_border_do_not_count() -> None:
    wide = Letterbox(0.5, (0, 8), (64, 32))
    target = draw(label(0, 0, 20, 32, ignore=True), label(12, 0, 40, 32), geometry=wide, shape="box")
    assert not target.counts[:8].any()  # the border
    assert not target.counts[12, 2]  # ignored
    assert target.counts[12, 8]  # ignored, but another object's
    assert target.counts[12, 30]  # background
    assert np.array_equal(picture_area(wide, size_px=32)[:, 0], np.r_[np.zeros(8), np.ones(16), np.zeros(8)] > 0)


boxes = st.tuples(*[st.floats(0, 24)] * 2, *[st.floats(1, 16)] * 2).map(
    lambda at: label(at[0], at[1], min(32, at[0] + at[2]), min(32, at[1] + at[3]))
)


@given(st.lists(boxes, min_size=1, max_size=6), st.sampled_from(["ellipse", "box"]))
def test_a_component_of_the_core_lies_in_one_instance(labels: list[Label], shape: str) -> None:
    numbered = [Label(i, i, each.xyxy) for i, each in enumerate(labels)]
    target = draw(*numbered, shape=shape)
    count, components = cv2.connectedComponents(target.core.astype(np.uint8), connectivity=8)
    for number in range(1, count):
        assert len(np.unique(target.class_map[components == number])) == 1
    assert (target.class_map[target.core] > 0).all()
