"""The one evaluator, against numbers worked out by hand and against pycocotools."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edgewright.detect.evaluate import Evaluation, Sample, evaluate, find_matches
from edgewright.runtime.boxes import Boxes
from tests.coco import coco_numbers, evaluate_scenes, random_scene

IMAGE = np.zeros((100, 100, 3), np.uint8)
NOTHING = Boxes.empty()
A, B = [0, 0, 10, 10], [50, 50, 70, 70]
NEAR_A = [0, 0, 10, 8]  # IoU 0.8 with A: a hit at the thresholds 0.5 to 0.8, 7 of 10


def boxes(*rows: tuple[list[int], int, float]) -> Boxes:
    """(xyxy, class, score) rows as boxes."""
    return Boxes.of([row[0] for row in rows], class_id=[row[1] for row in rows], score=[row[2] for row in rows])


def measure(
    found: Boxes, truth: Boxes, *, ignored: Boxes = NOTHING, classes: tuple[str, ...] = ("a", "b")
) -> Evaluation:
    return evaluate(lambda image: found, [Sample(IMAGE, truth, ignored)], classes=classes)


@pytest.mark.parametrize(
    ("found", "truth", "map50", "map50_95"),
    [
        # the truth itself
        (boxes((A, 0, 0.9)), boxes((A, 0, 1)), 1.0, 1.0),
        # nothing found
        (NOTHING, boxes((A, 0, 1)), 0.0, 0.0),
        # right place, wrong class; class b has no truth and does not count
        (boxes((A, 1, 0.9)), boxes((A, 0, 1)), 0.0, 0.0),
        # IoU 0.8: 7 thresholds of 10 hit
        (boxes((NEAR_A, 0, 0.9)), boxes((A, 0, 1)), 1.0, 0.7),
        # found twice: the second is a false positive behind full recall, which costs nothing
        (boxes((A, 0, 0.9), (A, 0, 0.8)), boxes((A, 0, 1)), 1.0, 1.0),
        # a better scored false positive first: precision 1/2 at every recall
        (boxes((B, 0, 0.9), (A, 0, 0.8)), boxes((A, 0, 1)), 0.5, 0.5),
        # one of two found: precision 1 at the 51 recall points 0 to 0.5
        (boxes((A, 0, 0.9)), boxes((A, 0, 1), (B, 0, 1)), 51 / 101, 51 / 101),
        # two classes: 1 and 0
        (boxes((A, 0, 0.9)), boxes((A, 0, 1), (B, 1, 1)), 0.5, 0.5),
        # no truth at all: no number rather than a wrong one
        (boxes((A, 0, 0.9)), NOTHING, None, None),
    ],
)
def test_hand_computed(found: Boxes, truth: Boxes, map50: float | None, map50_95: float | None) -> None:
    result = measure(found, truth)
    assert result.map50 == pytest.approx(map50)
    assert result.map50_95 == pytest.approx(map50_95)


def test_an_ignore_region_neither_rewards_nor_punishes() -> None:
    found = boxes((B, 0, 0.95), (A, 0, 0.9))
    truth = boxes((A, 0, 1))
    assert measure(found, truth).map50 == pytest.approx(0.5)
    assert measure(found, truth, ignored=boxes((B, 0, 1))).map50 == pytest.approx(1.0)
    # of another class: still a false positive
    assert measure(found, truth, ignored=boxes((B, 1, 1))).map50 == pytest.approx(0.5)


def test_classes_without_truth_are_named_and_curves_follow_the_score() -> None:
    found = boxes((A, 0, 0.9), (B, 0, 0.8))
    result = measure(found, boxes((A, 0, 1)))
    assert result.without_truth == ("b",)
    assert result.n_truth == {"a": 1, "b": 0}
    (curve,) = result.curves
    assert (curve.class_name, curve.recall, curve.precision) == ("a", (1.0, 1.0), (1.0, 0.5))
    assert curve.score == pytest.approx((0.9, 0.8), abs=1e-4)


def test_curves_are_thinned_and_json_round_trips() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (400, 2))
    found = Boxes.of(np.hstack([corners, corners + 9]), class_id=np.zeros(400), score=rng.random(400))
    result = measure(found, boxes((A, 0, 1)))
    assert len(result.curves[0].recall) == 101
    sure = evaluate(lambda _: found, [Sample(IMAGE, boxes((A, 0, 1)))], classes=("a", "b"), reports_from=0.5)
    assert (sure.operating is None, sure.calibration is None) == (False, False)
    for one in (result, sure):
        assert Evaluation.from_json(json.loads(json.dumps(one.to_json(), allow_nan=False))) == one


def test_detections_and_progress() -> None:
    seen = []
    found = boxes((A, 0, 0.9))
    samples = [Sample(IMAGE, found)] * 3
    result = evaluate(
        lambda image: found,
        samples,
        classes=("a",),
        n_samples=3,
        on_progress=lambda done, total, what: seen.append((done, total)),
        collect=True,
    )
    assert result.detections == (found,) * 3
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_find_matches_is_one_to_one() -> None:
    truth = boxes((A, 0, 1), (NEAR_A, 0, 1), (B, 1, 1))
    assert find_matches(boxes((A, 0, 0.9)), truth, iou_threshold=0.5).tolist() == [True, False, False]
    assert find_matches(boxes((B, 1, 0.9)), truth, iou_threshold=0.5).tolist() == [False, False, True]
    assert find_matches(NOTHING, truth, iou_threshold=0.5).tolist() == [False, False, False]


@pytest.mark.parametrize("side_px", [30, 150])
@pytest.mark.parametrize("seed", range(3))
def test_equals_pycocotools(seed: int, side_px: int) -> None:
    """Of objects of every size, over all and within the sizes, beside regions to ignore."""
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng, side_px=side_px) for _ in range(30)]
    result = evaluate_scenes(scenes)
    found = {"all": (result.map50_95, result.map50)}
    found |= {size: (one.map50_95, one.map50) for size, one in result.by_size.items()}
    expected = coco_numbers(scenes)
    assert found.keys() == expected.keys()
    for size, numbers in expected.items():
        assert found[size] == (pytest.approx(numbers, abs=1e-9) if numbers else (None, None)), size


def test_what_earlier_versions_wrote_is_read() -> None:
    """Sizes, the operating point and calibration came later."""
    result = measure(boxes((A, 0, 0.9)), boxes((A, 0, 1)))
    old = {key: one for key, one in result.to_json().items() if key not in ("by_size", "operating", "calibration")}
    assert Evaluation.from_json(old) == replace(result, by_size={}, operating=None, calibration=None)


def test_numbers_are_flat_and_what_was_not_measured_has_none() -> None:
    found = boxes((A, 0, 0.9), (B, 0, 0.3))
    result = evaluate(lambda _: found, [Sample(IMAGE, boxes((A, 0, 1)))], classes=("a",), reports_from=0.25)
    assert result.numbers == {
        "map50": 1.0,
        "map50_95": 1.0,
        "map50_small": 1.0,
        "map50_95_small": 1.0,
        "recall": 1.0,
        "precision": 0.5,
        "worst_class_recall": 1.0,
        "calibration_error": pytest.approx((0.1 + 0.3) / 2),
    }
    assert set(measure(found, NOTHING).numbers) == set()
