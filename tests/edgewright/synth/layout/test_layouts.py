"""The layout model: its round trip, its frame, and its likeness to what it was fitted to."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.data.rows import Label, Row
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.synth.layout.layouts import LayoutModel, fit_layouts, move, sample_layout

CLASSES = ("bolt", "nut", "absent")
WH = (200, 120)


def row(index: int, boxes: list[tuple[int, tuple[float, float, float, float]]]) -> Row:
    labels = tuple(Label(number, class_id, xyxy) for number, (class_id, xyxy) in enumerate(boxes))
    return Row(id=f"{index}.png", sha256="", width=WH[0], height=WH[1], labels=labels, state="human")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """40 pictures: 2 to 4 bolts of about 30 x 12 px, in half of them a nut of 16 px; one bolt is cut at the left."""
    rng = np.random.default_rng(5)
    made = []
    for index in range(40):
        boxes = []
        for _ in range(int(rng.integers(2, 5))):
            x, y = rng.uniform(5, 160), rng.uniform(5, 100)
            boxes.append((0, (x, y, x + rng.uniform(27, 33), y + rng.uniform(11, 13))))
        if index % 2:
            x, y = rng.uniform(5, 170), rng.uniform(5, 95)
            boxes.append((1, (x, y, x + 16, y + 16)))
        if index == 3:
            boxes.append((0, (0, 50, 9, 62)))
        made.append(row(index, boxes))
    return made


@pytest.fixture(scope="module")
def model(rows: list[Row]) -> LayoutModel:
    return fit_layouts(rows, classes=CLASSES)


def test_json_round_trip(model: LayoutModel) -> None:
    assert LayoutModel.from_json(json.loads(json.dumps(model.to_json()))) == model


@pytest.mark.parametrize("value", [{}, {"classes": 3}, {"classes": [], "layouts": [[{"class_id": 0}]]}])
def test_what_is_no_layout_model_is_corrupt(value: dict[str, object]) -> None:
    with pytest.raises(ArtifactCorrupt):
        LayoutModel.from_json(value)


def test_no_labeled_image_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no labeled train image"):
        fit_layouts([], classes=CLASSES)


@given(seed=st.integers(0, 2**32 - 1), width=st.integers(64, 400), height=st.integers(64, 400))
@settings(max_examples=60, deadline=None)
def test_every_object_stays_in_the_frame_or_is_cut_by_it(
    model: LayoutModel, seed: int, width: int, height: int
) -> None:
    for item in sample_layout(model, wh=(width, height), rng=np.random.default_rng(seed)):
        x1, y1, x2, y2 = item.xyxy
        assert x1 < x2 <= width + 1e-6, "only the left side cuts an object in these rows"
        assert -1e-6 <= y1 < y2 <= height + 1e-6
        assert x2 >= 4, "at least 4 px are in the frame"


def test_statistics_are_near_the_real_ones(model: LayoutModel, rows: list[Row]) -> None:
    layouts = [sample_layout(model, wh=WH, rng=np.random.default_rng(index)) for index in range(600)]
    real = [[label for label in row.labels if label.class_id == 0] for row in rows]
    count = np.mean([sum(item.class_id == 0 for item in layout) for layout in layouts])
    assert count == pytest.approx(np.mean([len(labels) for labels in real]), rel=0.1)
    bolts = [item.xyxy for layout in layouts for item in layout if item.class_id == 0 and item.xyxy[0] >= 0]
    widths = [x2 - x1 for x1, _, x2, _ in bolts]
    heights = [y2 - y1 for _, y1, _, y2 in bolts]
    assert np.median(widths) == pytest.approx(30, rel=0.1)
    assert np.median(heights) == pytest.approx(12, rel=0.1)
    nuts = np.mean([any(item.class_id == 1 for item in layout) for layout in layouts])
    assert 0.3 < nuts < 0.75


def test_a_class_without_objects_is_never_drawn(model: LayoutModel) -> None:
    drawn = {
        item.class_id for seed in range(50) for item in sample_layout(model, wh=WH, rng=np.random.default_rng(seed))
    }
    assert drawn == {0, 1}


def test_an_object_cut_by_the_frame_is_whole_beyond_it(model: LayoutModel) -> None:
    layouts = [sample_layout(model, wh=WH, rng=np.random.default_rng(seed)) for seed in range(400)]
    cut = [item.xyxy for layout in layouts for item in layout if item.xyxy[0] < -1]
    assert cut
    assert all(x2 - x1 >= 25 for x1, _, x2, _ in cut), "as wide as a whole bolt, not squeezed into what was seen"


def test_an_empty_picture_gives_an_empty_layout() -> None:
    model = fit_layouts([row(0, [])], classes=CLASSES)
    assert sample_layout(model, wh=WH, rng=np.random.default_rng(0)) == []


def test_moving_keeps_class_and_size(model: LayoutModel) -> None:
    item = sample_layout(model, wh=WH, rng=np.random.default_rng(1))[0]
    there = move(model, item, wh=WH, rng=np.random.default_rng(2))
    assert there.class_id == item.class_id
    assert there.xyxy[2] - there.xyxy[0] == pytest.approx(item.xyxy[2] - item.xyxy[0])
    assert there.xyxy != item.xyxy


def test_the_same_seed_gives_the_same_layout(model: LayoutModel) -> None:
    first, second = (sample_layout(model, wh=WH, rng=np.random.default_rng(9)) for _ in range(2))
    assert first == second
