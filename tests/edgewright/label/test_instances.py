from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.data.rows import Label
from edgewright.label.instances import find_instances
from edgewright.label.outline.masks import rasterize
from edgewright.runtime.boxes import FloatArray
from edgewright.runtime.preprocess import Letterbox

SIDE = 48


def certain(labels: Sequence[Label], *, shape: str = "box", n_classes: int = 3) -> tuple[FloatArray, FloatArray]:
    """What a perfect segmenter would say."""
    target = rasterize(labels, geometry=Letterbox(1.0, (0, 0), (SIDE, SIDE)), size_px=SIDE, shape=shape)
    return np.eye(1 + n_classes, dtype=np.float32)[target.class_map].transpose(2, 0, 1), target.core.astype(np.float32)


def test_nothing_seen_is_no_box() -> None:
    assert len(find_instances(*certain([]))) == 0


def test_two_that_touch_are_two() -> None:
    found = find_instances(*certain([Label(0, 0, (4, 4, 20, 20)), Label(1, 0, (20, 4, 36, 20))]))
    assert sorted(map(tuple, found.xyxy.tolist())) == [(4, 4, 20, 20), (20, 4, 36, 20)]


def test_a_speck_is_noise() -> None:
    classes, core = certain([Label(0, 0, (4, 4, 20, 20))])
    core[40, 40:43] = 1
    classes[:, 40, 40:43] = np.array([0, 1, 0, 0])[:, None]
    assert len(find_instances(classes, core)) == 1


def test_pixels_far_from_every_core_are_another_object() -> None:
    classes, core = certain([Label(0, 0, (2, 2, 14, 14)), Label(1, 0, (34, 34, 46, 46))])
    core[24:] = 0
    assert sorted(find_instances(classes, core).xyxy.tolist()) == [[2, 2, 14, 14], [34, 34, 46, 46]]


def test_the_score_is_the_mean_probability_over_the_core_and_best_comes_first() -> None:
    classes, core = certain([Label(0, 0, (2, 2, 14, 14)), Label(1, 2, (20, 20, 40, 40))])
    classes[:, :16, :16] *= 0.75
    found = find_instances(classes, core)
    assert found.class_id.tolist() == [2, 0]
    assert found.score.tolist() == pytest.approx([1.0, 0.75])


@given(
    st.integers(5, 30), st.integers(5, 30), st.integers(0, 17), st.integers(0, 17), st.sampled_from(["ellipse", "box"])
)
def test_round_trip_box_mask_box(width: int, height: int, x: int, y: int, shape: str) -> None:
    found = find_instances(*certain([Label(0, 1, (x, y, x + width, y + height))], shape=shape))
    assert found.class_id.tolist() == [1]
    assert np.abs(found.xyxy[0] - [x, y, x + width, y + height]).max() <= 1


def test_a_region_without_a_core_is_an_object_too() -> None:
    classes, core = certain([Label(0, 0, (4, 4, 20, 20)), Label(1, 1, (30, 30, 34, 35))])
    core[24:] = 0
    assert sorted(map(tuple, find_instances(classes, core).xyxy.tolist())) == [(4, 4, 20, 20), (30, 30, 34, 35)]
