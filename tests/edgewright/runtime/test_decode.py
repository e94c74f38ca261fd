"""Tensor → boxes: both layouts, suppression and its laws, outputs that are refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.errors import InputError
from edgewright.runtime.boxes import Boxes, FloatArray
from edgewright.runtime.decode import MAX_DETECTIONS, decode, suppress

A, NEAR_A, FAR = [0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]


def dense(*anchors: Sequence[float]) -> FloatArray:
    """(x, y, w, h, *scores) rows as a (1, 4 + C, A) output."""
    return np.array(anchors, np.float32).T[None]


def end2end(*rows: Sequence[float]) -> FloatArray:
    return np.array(rows, np.float32)[None]


def read(output: FloatArray, layout: str = "dense", *, score: float = 0.25, iou: float = 0.6) -> Boxes:
    return decode(output, layout=layout, score_threshold=score, iou_threshold=iou)


def test_dense_takes_the_best_class_and_converts_to_corners() -> None:
    found = read(dense([20, 30, 10, 20, 0.1, 0.9], [5, 5, 2, 2, 0.2, 0.1]))
    assert found.xyxy.tolist() == [[15, 20, 25, 40]]
    assert (found.class_id.tolist(), found.score.tolist()) == ([1], pytest.approx([0.9]))


def test_dense_suppresses_within_a_class_alone() -> None:
    found = read(dense([5, 5, 10, 10, 0.9, 0], [5, 5, 10, 9, 0.8, 0], [5, 5, 10, 10, 0, 0.7]))
    assert list(zip(found.class_id.tolist(), found.score.tolist(), strict=True)) == [
        (0, pytest.approx(0.9)),
        (1, pytest.approx(0.7)),
    ]


def test_end2end_is_not_suppressed_and_comes_best_first() -> None:
    found = read(end2end([*NEAR_A, 0.5, 1], [*A, 0.9, 1], [*FAR, 0.1, 0]), "end2end")
    assert found.score.tolist() == pytest.approx([0.9, 0.5])
    assert found.class_id.tolist() == [1, 1]


def test_crossed_corners_and_negative_sizes_are_put_right() -> None:
    assert read(end2end([9, 9, 1, 1, 0.9, 0]), "end2end").xyxy.tolist() == [[1, 1, 9, 9]]
    assert read(dense([5, 5, -4, 2, 0.9])).xyxy.tolist() == [[5, 4, 5, 6]]


def test_at_most_so_many_detections() -> None:
    anchors = [[20 * (i % 40), 20 * (i // 40), 9, 9, 0.5] for i in range(MAX_DETECTIONS + 50)]
    assert len(read(dense(*anchors))) == MAX_DETECTIONS


@pytest.mark.parametrize(
    ("output", "layout"),
    [
        # a layout nobody knows
        (dense([1, 1, 1, 1, 1]), "grid"),
        # NaN
        (dense([np.nan, 1, 1, 1, 1]), "dense"),
        # infinite
        (dense([1, 1, 1, 1, np.inf]), "dense"),
        # two pictures
        (np.zeros((2, 5, 1), np.float32), "dense"),
        # no class
        (np.zeros((1, 4, 9), np.float32), "dense"),
        # not six columns
        (np.zeros((1, 9, 5), np.float32), "end2end"),
        # a negative class
        (end2end([*A, 0.9, -1]), "end2end"),
    ],
)
def test_refused_outputs(output: FloatArray, layout: str) -> None:
    with pytest.raises(InputError):
        read(output, layout)


number = st.floats(0, 60, width=32)
scenes = st.lists(
    st.tuples(
        number, number, st.floats(0, 30, width=32), st.floats(0, 30, width=32), st.integers(0, 2), st.floats(0, 1)
    ),
    max_size=25,
).map(
    lambda rows: Boxes.of(
        [[x, y, x + w, y + h] for x, y, w, h, _, _ in rows],
        class_id=[row[4] for row in rows],
        score=[row[5] for row in rows],
    )
)


@given(scenes, st.sampled_from([0.3, 0.5, 0.7]))
def test_laws_of_suppression(boxes: Boxes, iou_threshold: float) -> None:
    kept = suppress(boxes, iou_threshold=iou_threshold)
    assert (np.diff(kept.score) <= 0).all()
    rivals = np.triu(kept.class_id[:, None] == kept.class_id[None], k=1)
    assert (kept.iou(kept)[rivals] <= iou_threshold + 1e-6).all()
    twice = suppress(kept, iou_threshold=iou_threshold)
    assert (twice.xyxy == kept.xyxy).all()
    if len(boxes):
        assert kept.score[0] == boxes.score.max()


def crowd(n: int, *, seed: int) -> Boxes:
    """Boxes in heaps, of two classes, with equal scores among them."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(0, 300, (n // 10, 2))[rng.integers(0, n // 10, n)] + rng.normal(0, 5, (n, 2))
    corners = np.concatenate([at, at + rng.uniform(20, 40, (n, 2))], axis=1)
    return Boxes.of(corners, class_id=rng.integers(0, 2, n), score=rng.uniform(0, 1, n).round(2))


def one_by_one(boxes: Boxes, *, iou_threshold: float) -> Boxes:
    """The definition."""
    boxes = boxes[np.argsort(-boxes.score, kind="stable")]
    beats = (boxes.iou(boxes) > iou_threshold) & (boxes.class_id[:, None] == boxes.class_id)
    kept: list[int] = []
    for index in range(len(boxes)):
        if not beats[index, kept].any():
            kept.append(index)
    return boxes[np.array(kept)]


@pytest.mark.parametrize("n", [40, 256, 257, 900])
def test_suppression_is_what_its_definition_says(n: int) -> None:
    boxes = crowd(n, seed=n)
    expected = one_by_one(boxes, iou_threshold=0.5)
    assert 10 < len(expected) < n
    assert (suppress(boxes, iou_threshold=0.5).xyxy == expected.xyxy).all()
    first = suppress(boxes, iou_threshold=0.5, at_most=10)
    assert (first.xyxy == expected[:10].xyxy).all()
