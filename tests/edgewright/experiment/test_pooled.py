"""Held-out detections pooled over folds: the evaluator's numbers, and an interval that means what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgewright.data.rows import Label, Row
from edgewright.detect.bootstrap import precisions
from edgewright.detect.evaluate import Sample, evaluate
from edgewright.experiment.pooled import ALL_CLASSES, Cell, Found, paired_gains, pooled
from edgewright.runtime.boxes import Boxes

CLASSES = ("a", "b", "absent")


def photographs(n: int, *, seed: int) -> list[Row]:
    """Up to four boxes of two classes each, a fifth of them ignored."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(n):
        corners = rng.uniform(0, 60, (rng.integers(1, 5), 2))
        boxes = np.concatenate([corners, corners + rng.uniform(8, 30, corners.shape)], axis=1)
        labels = tuple(
            Label(
                i, int(rng.integers(2)), (float(x1), float(y1), float(x2), float(y2)), ignore=bool(rng.random() < 0.2)
            )
            for i, (x1, y1, x2, y2) in enumerate(boxes)
        )
        rows.append(Row(f"{seed}-{index}", "", labels=labels, state="human"))
    return rows


def detections(rows: Sequence[Row], *, blur_px: float, seed: int) -> list[Boxes]:
    """Every label, moved by so much, with ties among the scores; and a box where nothing is."""
    rng = np.random.default_rng(seed)
    found = []
    for row in rows:
        xyxy = [np.array(label.xyxy) + np.tile(rng.normal(0, blur_px, 2), 2) for label in row.labels]
        boxes = [each.tolist() for each in (*xyxy, np.array([70.0, 70.0, 90.0, 90.0]))]
        ids = [label.class_id for label in row.labels] + [int(rng.integers(2))]
        found.append(Boxes.of(boxes, class_id=ids, score=rng.uniform(0, 1, len(ids)).round(1).tolist()))
    return found


def found_in(rows: Sequence[Row], *, blur_px: float, seed: int) -> Found:
    return Found.of(detections(rows, blur_px=blur_px, seed=seed), rows, n_classes=len(CLASSES))


def test_the_numbers_are_the_evaluators(tmp_path: Path) -> None:
    """Of photographs in two parts, one after the other; and the parts survive a file."""
    rows, blank = photographs(30, seed=0), np.zeros((9, 9, 3), np.uint8)
    seen = detections(rows, blur_px=2, seed=1)
    queue = iter(seen)
    samples = [Sample(blank, row.boxes, row.ignored) for row in rows]
    expected = evaluate(lambda image: next(queue), samples, classes=CLASSES)
    parts = []
    for name, some in (("one", slice(12)), ("two", slice(12, None))):
        Found.of(seen[some], rows[some], n_classes=len(CLASSES)).save(tmp_path / name)
        parts.append(Found.load(tmp_path / name))
    found = precisions(pooled(parts, classes=CLASSES), np.ones((1, 2), dtype=np.int64))[0]
    assert found[:2] == pytest.approx([expected.ap50_95["a"], expected.ap50_95["b"]], abs=1e-12)
    assert np.isnan(found[2])
    assert 0.1 < expected.ap50_95["a"] < 0.9


def cells(*, blurs_px: tuple[float, float], folds: int, seeds: int = 1, draw: int = 0) -> list[Cell]:
    """Detectors of two arms, each with its own error, on the folds' photographs."""
    return [
        Cell(
            fold,
            seed,
            *(
                found_in(photographs(6, seed=fold), blur_px=blur, seed=1000 * draw + 100 * seed + 10 * fold + arm)
                for arm, blur in enumerate(blurs_px)
            ),
        )
        for fold in range(folds)
        for seed in range(seeds)
    ]


def gains(some: Sequence[Cell]) -> dict[str, tuple[float, float, float, int]]:
    found = paired_gains(some, classes=CLASSES, rng=np.random.default_rng(0))
    return {name: (gain.low, gain.mean, gain.high, gain.n) for name, gain in found.items()}


def test_a_large_gain_is_told_and_its_reverse_is_a_loss() -> None:
    better, worse = gains(cells(blurs_px=(6, 1), folds=5, seeds=2)), gains(cells(blurs_px=(1, 6), folds=5, seeds=2))
    assert set(better) == {ALL_CLASSES, "a", "b"}
    assert 0 < better[ALL_CLASSES][0] < better[ALL_CLASSES][1] < better[ALL_CLASSES][2]
    assert worse[ALL_CLASSES][2] < 0
    assert better[ALL_CLASSES][3] == 10


def test_the_same_detections_gain_exactly_nothing() -> None:
    same = [Cell(cell.fold, cell.seed, cell.real, cell.real) for cell in cells(blurs_px=(2, 2), folds=3)]
    assert gains(same)[ALL_CLASSES] == (0, 0, 0, 3)


def test_the_gain_is_of_all_photographs_together() -> None:
    """Not the mean of the folds' gains."""
    some = cells(blurs_px=(4, 1), folds=3)
    once = np.ones((1, len(some)), dtype=np.int64)
    arms = [pooled([getattr(cell, arm) for cell in some], classes=CLASSES) for arm in ("real", "both")]
    real, both = (precisions(arm, once)[0, :2].mean() for arm in arms)
    assert gains(some)[ALL_CLASSES][1] == pytest.approx(both - real)


@pytest.mark.parametrize("seeds", [1, 2])
def test_what_is_worth_nothing_is_seldom_called_a_gain(seeds: int) -> None:
    """Both arms err alike: 5 of 100 lower bounds above 0 are meant; of 40, six or more have a chance of 1 %."""
    above = sum(
        gains(cells(blurs_px=(3, 3), folds=4, seeds=seeds, draw=draw))[ALL_CLASSES][0] > 0 for draw in range(40)
    )
    assert above < 6
