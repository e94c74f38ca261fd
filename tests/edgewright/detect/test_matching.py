"""Who takes which box, where thresholds, bars and shared boxes meet."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.detect.matching import match, meet, take_greedily
from edgewright.runtime.boxes import Boxes

HALF = np.array([0.5])


@pytest.mark.parametrize(
    ("overlap", "taken"),
    [
        ([[0.9, 0.6], [0.8, 0.7]], [0, 1]),  # the better scored one takes its best
        ([[0.6, 0.6]], [1]),  # of equals the last, as pycocotools does
        ([[0.4]], [-1]),
        ([[0.9], [0.9]], [0, -1]),  # a box is found once
    ],
)
def test_the_best_scored_takes_first(overlap: list[list[float]], taken: list[int]) -> None:
    assert take_greedily(np.array(overlap), HALF)[0].tolist() == taken


def test_who_is_barred_takes_none_and_leaves_its_box_to_the_next() -> None:
    barred = np.array([[True, False]])
    assert take_greedily(np.array([[0.9], [0.8]]), HALF, barred=barred)[0].tolist() == [-1, 0]


def test_a_shared_box_is_taken_by_any_number() -> None:
    overlap = np.array([[0.9], [0.8], [0.7]])
    assert take_greedily(overlap, HALF, shared=np.array([True]))[0].tolist() == [0, 0, 0]


def test_detections_stand_best_first_and_a_region_makes_them_neutral() -> None:
    boxes = Boxes.of([[50, 50, 60, 60], [0, 0, 10, 10]], class_id=[0, 0], score=[0.2, 0.9])
    one = match(meet(boxes, boxes[[1]], Boxes.of([[40, 40, 70, 70]], class_id=[0])))
    assert one.score.tolist() == pytest.approx([0.9, 0.2])
    assert (one.hit[0].tolist(), one.neutral[0].tolist(), one.n_truth) == ([True, False], [False, True], 1)
