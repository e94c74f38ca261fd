"""What is found at the score from which a device reports, on tables made by hand."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from edgewright.detect.matching import Matches
from edgewright.detect.operating import ClassPoint, OperatingPoint, best_score
from edgewright.runtime.boxes import Boxes
from tests.coco import evaluate_scenes

A, B, C = [0, 0, 10, 10], [50, 50, 70, 70], [100, 100, 120, 120]
Rows = list[tuple[list[int], int, float]]


def boxes(rows: Rows) -> Boxes:
    return Boxes.of([row[0] for row in rows], class_id=[row[1] for row in rows], score=[row[2] for row in rows])


def point(found: Rows, truth: Rows, *, ignored: Rows | None = None, at: float = 0.25) -> OperatingPoint:
    result = evaluate_scenes([(boxes(truth), boxes(ignored or []), boxes(found))], reports_from=at)
    assert result.operating is not None
    return result.operating


def parts(found: Rows, truth: Rows) -> tuple[tuple[Matches, ...], ...]:
    """Class by class, one image."""
    matched = evaluate_scenes([(boxes(truth), boxes([]), boxes(found))]).matched
    assert matched is not None
    return matched.by_class


@pytest.mark.parametrize(
    ("found", "at", "recall", "precision"),
    [
        ([(A, 0, 0.9), (B, 0, 0.8)], 0.25, 1.0, 1.0),
        ([(A, 0, 0.9), (B, 0, 0.2)], 0.25, 0.5, 1.0),  # below what is reported
        ([(A, 0, 0.9), (B, 0, 0.25)], 0.25, 1.0, 1.0),  # at the threshold is reported
        ([(A, 0, 0.9), (B, 0, 0.3)], 0.3, 1.0, 1.0),  # 0.3 in float32, as a device compares it
        ([(A, 0, 0.9), (C, 0, 0.8)], 0.25, 0.5, 0.5),
        ([(A, 0, 0.9), (A, 0, 0.8), (B, 0, 0.5)], 0.25, 1.0, 2 / 3),  # found twice
        ([(A, 1, 0.9), (B, 0, 0.9)], 0.25, 0.5, 0.5),  # under another name
        ([(A, 0, 0.2)], 0.25, 0.0, None),  # nothing reported: there is no precision
    ],
)
def test_by_hand(found: Rows, at: float, recall: float, precision: float | None) -> None:
    got = point(found, [(A, 0, 1), (B, 0, 1)], at=at)
    assert (got.score_threshold, got.recall, got.precision) == (at, recall, precision)


def test_the_worst_class_is_named_and_classes_without_truth_have_no_recall() -> None:
    got = point([(A, 0, 0.9), (B, 1, 0.1), (C, 2, 0.9)], [(A, 0, 1), (B, 1, 1)])
    assert (got.worst_class, got.worst_recall) == ("b", 0.0)
    assert got.classes == {
        "a": ClassPoint(1, 1, 1.0, 1.0),
        "b": ClassPoint(1, 0, 0.0, None),
        "c": ClassPoint(0, 1, None, 0.0),
    }


def test_without_any_object_nothing_is_claimed() -> None:
    got = point([], [])
    assert (got.recall, got.precision, got.worst_class, got.worst_recall) == (None, None, "", None)


def test_a_region_to_ignore_counts_nowhere() -> None:
    got = point([(A, 0, 0.9), (B, 0, 0.9)], [(A, 0, 1)], ignored=[(B, 0, 1)])
    assert (got.recall, got.precision, got.classes["a"].n_reported) == (1.0, 1.0, 1)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(A, 0, 0.9), (B, 1, 0.4)], 0.4),
        ([(A, 0, 0.9), (C, 0, 0.8), (C, 1, 0.7), (B, 1, 0.4)], 0.9),
        ([(A, 0, 0.9), (C, 0, 0.8), (B, 1, 0.4)], 0.4),
        ([(A, 0, 0.456), (B, 1, 0.789)], 0.45),
        ([(C, 0, 0.9)], 0.25),
        ([], 0.25),
    ],
    ids=["all", "false alarms weigh", "one does not", "a hundredth below", "nothing found", "nothing reported"],
)
def test_the_score_of_the_best_f1(found: Rows, expected: float) -> None:
    assert best_score(parts(found, [(A, 0, 1), (B, 1, 1)]), otherwise=0.25) == expected


def test_without_objects_no_score_is_best() -> None:
    assert best_score(parts([(A, 0, 0.9)], []), otherwise=0.25) == 0.25


def test_round_trip() -> None:
    got = point([(A, 0, 0.9)], [(A, 0, 1), (B, 1, 1)])
    assert OperatingPoint.from_json(asdict(got)) == got
