"""Every object of the truth is counted once, whatever was found."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.detect.mistakes import MAX_LISTED, Mistakes, find_mistakes
from edgewright.runtime.boxes import Boxes

A, B, FAR = [0, 0, 20, 20], [40, 40, 60, 60], [80, 80, 90, 90]
CLASSES = ("bolt", "nut")
Rows = list[tuple[list[int], int, float]]


def of(rows: Rows) -> Boxes:
    if not rows:
        return Boxes.empty()
    return Boxes.of([row[0] for row in rows], class_id=[row[1] for row in rows], score=[row[2] for row in rows])


@pytest.mark.parametrize(
    ("found", "truth", "matrix"),
    [
        ([(A, 0, 0.9)], [(A, 0, 1)], ((1, 0, 0), (0, 0, 0), (0, 0, 0))),
        ([(A, 1, 0.9)], [(A, 0, 1)], ((0, 1, 0), (0, 0, 0), (0, 0, 0))),  # a confusion is neither miss nor alarm
        ([], [(A, 0, 1)], ((0, 0, 1), (0, 0, 0), (0, 0, 0))),
        ([(FAR, 1, 0.9)], [(A, 0, 1)], ((0, 0, 1), (0, 0, 0), (0, 1, 0))),
        ([(A, 0, 0.1)], [(A, 0, 1)], ((0, 0, 1), (0, 0, 0), (0, 0, 0))),  # below what the device reports
        ([(A, 1, 0.9), (A, 0, 0.5)], [(A, 0, 1)], ((1, 0, 0), (0, 0, 0), (0, 1, 0))),  # its own class comes first
        ([(A, 0, 0.9), (A, 0, 0.8)], [(A, 0, 1)], ((1, 0, 0), (0, 0, 0), (1, 0, 0))),  # found twice is an alarm
    ],
)
def test_what_is_taken_for_what(found: Rows, truth: Rows, matrix: tuple[tuple[int, ...], ...]) -> None:
    made = find_mistakes([("a", of(found), of(truth), Boxes.empty())], classes=CLASSES, score_threshold=0.25)
    assert made.matrix == matrix
    assert (made.n_missed, made.n_false) == (sum(row[-1] for row in matrix), sum(matrix[-1]))


def test_a_detection_in_a_region_to_ignore_is_no_alarm() -> None:
    judged = [("a", of([(A, 0, 0.9)]), Boxes.empty(), of([([0, 0, 99, 99], 0, 1)]))]
    assert find_mistakes(judged, classes=CLASSES, score_threshold=0.25).n_false == 0


def test_small_is_measured_at_the_networks_input() -> None:
    judged = [("a", Boxes.empty(), of([(A, 0, 1), (FAR, 1, 1)]), Boxes.empty())]
    small = [
        find_mistakes(judged, classes=CLASSES, score_threshold=0.25, input_scales=[scale]).n_missed_small
        for scale in (1.0, 0.5, 2.0)
    ]
    assert small == [1, 2, 0]


def test_the_worst_are_listed_and_all_are_counted() -> None:
    boxes = of([([0, 0, 10 + side, 10], 0, 0.3 + side / 100) for side in range(40)])
    judged = [("missed", Boxes.empty(), boxes, Boxes.empty()), ("false", boxes, Boxes.empty(), Boxes.empty())]
    made = find_mistakes(judged, classes=CLASSES, score_threshold=0.25)
    assert (made.n_missed, made.n_false, len(made.misses), len(made.false_alarms)) == (40, 40, MAX_LISTED, MAX_LISTED)
    assert made.misses[0].xyxy == (0, 0, 49, 10)
    assert made.false_alarms[0].score == pytest.approx(0.69)
    assert Mistakes.from_json(json.loads(json.dumps(made.to_json()))) == made


@given(st.integers(0, 10_000))
def test_every_object_stands_in_its_row_once(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def some(n: int) -> Boxes:
        corner = rng.integers(0, 40, (n, 2))
        xyxy = np.concatenate([corner, corner + rng.integers(5, 30, (n, 2))], axis=1)
        return Boxes.of(xyxy.tolist(), class_id=rng.integers(0, 2, n).tolist(), score=rng.random(n).tolist())

    found, truth = some(int(rng.integers(1, 8))), some(int(rng.integers(1, 8)))
    made = find_mistakes([("a", found, truth, Boxes.empty())], classes=CLASSES, score_threshold=0.25)
    rows = [sum(row) for row in made.matrix[:-1]]
    assert rows == np.bincount(truth.class_id, minlength=2).tolist()
    assert sum(map(sum, made.matrix)) == len(truth) + made.n_false
    reported = found.class_id[found.score >= 0.25]
    assert [sum(row[c] for row in made.matrix) for c in range(2)] == np.bincount(reported, minlength=2).tolist()
