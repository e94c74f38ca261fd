"""Boxes: what is one, and the laws of their transforms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.errors import InputError
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.preprocess import letterbox

coordinate = st.floats(0, 400, width=32)
corner_pairs = st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=8)
boxes = corner_pairs.map(
    lambda rows: Boxes.of(
        [[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in rows], class_id=[0] * len(rows)
    )
)


@pytest.mark.parametrize(
    ("xyxy", "class_id", "score"),
    [
        # two boxes, one class
        ([[0, 0, 1, 1], [0, 0, 2, 2]], [0], [1, 1]),
        # not a number
        ([[0, 0, np.nan, 1]], [0], [1]),
        # endless
        ([[0, 0, np.inf, 1]], [0], [1]),
        # right edge left of the left one
        ([[5, 0, 1, 1]], [0], [1]),
        # lower edge above the upper one
        ([[0, 5, 1, 1]], [0], [1]),
        # no such class
        ([[0, 0, 1, 1]], [-1], [1]),
        # more than certain
        ([[0, 0, 1, 1]], [0], [1.5]),
        # less than impossible
        ([[0, 0, 1, 1]], [0], [-0.1]),
    ],
)
def test_what_is_no_box(xyxy: list[list[float]], class_id: list[int], score: list[float]) -> None:
    with pytest.raises(InputError):
        Boxes.of(xyxy, class_id=class_id, score=score)


def test_empty_boxes_are_boxes() -> None:
    empty = Boxes.empty()
    assert (len(empty), len(Boxes.concatenate([])), empty.iou(empty).shape) == (0, 0, (0, 0))


@given(boxes, boxes)
def test_iou_is_symmetric_and_a_share(a: Boxes, b: Boxes) -> None:
    overlap = a.iou(b)
    assert ((overlap >= 0) & (overlap <= 1 + 1e-6)).all()
    np.testing.assert_allclose(overlap, b.iou(a).T, atol=1e-6)
    own = np.diagonal(a.iou(a))
    np.testing.assert_allclose(own[a.area > 0], 1, atol=1e-5)


@given(boxes, st.floats(0.1, 10), st.floats(-50, 50), st.floats(-50, 50))
def test_transform_is_undone_by_its_inverse(some: Boxes, scale: float, x: float, y: float) -> None:
    there = some.transform(scale=scale, shift_xy=(x, y))
    back = there.transform(scale=1 / scale, shift_xy=(-x / scale, -y / scale))
    np.testing.assert_allclose(back.xyxy, some.xyxy, atol=0.02)


@given(boxes, st.integers(8, 500), st.integers(8, 500), st.sampled_from([32, 192, 256]))
def test_letterbox_geometry_round_trips(some: Boxes, width: int, height: int, size_px: int) -> None:
    _, geometry = letterbox(np.zeros((height, width, 3), np.uint8), size_px=size_px)
    inside = some.clip((width, height))
    back = geometry.to_source(geometry.to_input(inside))
    np.testing.assert_allclose(back.xyxy, inside.xyxy, atol=0.02)


@given(boxes, boxes)
def test_concatenation_keeps_rows_in_order(a: Boxes, b: Boxes) -> None:
    both = Boxes.concatenate([a, b])
    assert (both[: len(a)].xyxy == a.xyxy).all()
    assert (both[len(a) :].xyxy == b.xyxy).all()
