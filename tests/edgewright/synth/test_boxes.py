"""Boxes and masks of scenes: parts of frames give what whole frames would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.data.rle import encode_mask
from edgewright.synth.boxes import cut_to_frame, encode_part, frame_boxes, oval, overlaps, tight_box
from edgewright.synth.matte import ellipse

WH = (64, 48)


@given(seed=st.integers(0, 10_000))
def test_frame_boxes_of_many_layouts_are_those_of_each(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-20, 60, (5, 7, 2))
    xyxy = np.concatenate([corner, corner + rng.uniform(1, 40, (5, 7, 2))], axis=2)
    boxes, seen = frame_boxes(xyxy, wh=WH, min_px=4)
    for layout in range(5):
        for index, (x1, y1, x2, y2) in enumerate(xyxy[layout].tolist()):
            cut = (min(max(x1, 0), 64), min(max(y1, 0), 48), min(max(x2, 0), 64), min(max(y2, 0), 48))
            assert boxes[layout, index].tolist() == list(cut)
            assert seen[layout, index] == (cut[2] - cut[0] >= 4 and cut[3] - cut[1] >= 4)


@given(seed=st.integers(0, 10_000))
def test_the_box_from_the_layout_is_the_box_of_the_pixels(seed: int) -> None:
    """For whole px: the ellipse of a box touches all four sides of it."""
    rng = np.random.default_rng(seed)
    x, y, w, h = (int(value) for value in rng.integers((0, 0, 4, 4), (40, 30, 24, 18)))
    boxes, _ = frame_boxes(np.array([[x, y, x + w, y + h]], np.float64), wh=WH, min_px=4)
    part, corner = cut_to_frame(oval(w, h), (x, y), wh=WH)
    assert tight_box(part, corner) == tuple(boxes[0])


@given(seed=st.integers(0, 20_000))
def test_a_part_is_encoded_as_the_frame_that_holds_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(1, 12, 2))
    w, h = int(rng.integers(1, width + 1)), int(rng.integers(1, height + 1))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    part = rng.random((h, w)) < rng.choice([0, 0.2, 0.5, 0.9, 1])
    frame = np.zeros((height, width), np.bool_)
    frame[y : y + h, x : x + w] = part
    assert encode_part(part, (x, y), wh=(width, height)) == encode_mask(frame)
    assert tight_box(part, (x, y)) == tight_box(frame)


@pytest.mark.parametrize(
    ("corner", "shape", "at"),
    [
        ((10, 10), (6, 8), (10, 10)),  # inside
        ((-3, 45), (3, 5), (0, 45)),  # over the left and the bottom
        ((60, -2), (4, 4), (60, 0)),  # over the right and the top
        ((64, 0), (0, 0), (0, 0)),  # outside
    ],
)
def test_what_of_a_part_lies_in_the_frame(corner: tuple[int, int], shape: tuple[int, int], at: tuple[int, int]) -> None:
    part, found = cut_to_frame(np.ones((6, 8), np.bool_), corner, wh=WH)
    assert (part.shape, found) == (shape, at)


def test_overlap_is_area_not_touch() -> None:
    ours = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float64)
    others = np.array([[10, 0, 20, 10], [9, 9, 21, 21]], np.float64)
    assert overlaps(ours, others).tolist() == [[False, True], [False, True]]


def test_a_remembered_ellipse_is_the_ellipse_and_cannot_be_changed() -> None:
    assert (oval(9, 5) == ellipse(9, 5)).all()
    with pytest.raises(ValueError, match="read-only"):
        oval(9, 5)[0, 0] = True
