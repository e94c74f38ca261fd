"""What scores are worth, on tables made by hand."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from edgewright.detect.calibration import BINS, Calibration, calibrate


def of(*rows: tuple[float, bool], from_score: float = 0.0) -> Calibration:
    score = np.array([row[0] for row in rows], dtype=np.float32).astype(np.float64)
    return calibrate(score, np.array([row[1] for row in rows], dtype=bool), from_score=from_score)


@pytest.mark.parametrize(
    ("rows", "error", "excess"),
    [
        ([(1.0, True)], 0.0, 0.0),
        ([(0.9, False)], 0.9, 0.9),
        ([(0.55, True), (0.55, False)], 0.05, 0.05),  # right half of the time
        # one bin too sure, one too shy: gaps add, the excess does not
        ([(0.95, False), (0.05, True)], 0.95, 0.0),
        # bins weigh by their detections: 3/4 of 0.15 and 1/4 of 0.45
        ([(0.85, True)] * 3 + [(0.45, False)], (3 * 0.15 + 0.45) / 4, (3 * 0.85 + 0.45) / 4 - 0.75),
    ],
)
def test_by_hand(rows: list[tuple[float, bool]], error: float, excess: float) -> None:
    found = of(*rows)
    assert (found.error, found.excess, found.n) == (
        pytest.approx(error, abs=1e-6),
        pytest.approx(excess, abs=1e-6),
        len(rows),
    )


def test_bins_are_kept_for_a_chart_and_begin_where_a_device_reports() -> None:
    found = of((0.3, True), (0.25, False), (0.99, True), (0.2, True), from_score=0.25)
    assert (found.n, len(found.bins), found.bins[0].low, found.bins[-1].high) == (3, BINS, 0.25, 1.0)
    first = found.bins[0]
    assert (first.n, first.score, first.precision) == (2, pytest.approx(0.275, abs=1e-6), 0.5)
    assert [one.n for one in found.bins[1:]] == [0] * 8 + [1]
    assert (found.bins[1].score, found.bins[1].precision, found.bins[1].gap) == (None, None, 0.0)


def test_a_score_of_one_belongs_to_the_last_bin() -> None:
    assert of((1.0, False)).bins[-1].n == 1


def test_nothing_reported_has_no_error() -> None:
    found = of((0.1, True), from_score=0.25)
    assert (found.n, found.error, found.excess) == (0, None, None)


def test_round_trip() -> None:
    found = of((0.3, True), (0.9, False))
    assert Calibration.from_json(asdict(found)) == found
