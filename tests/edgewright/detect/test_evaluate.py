"""The one evaluator, against numbers worked out by hand and against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.detect.evaluate import Evaluation, Sample, average_precision, evaluate, find_matches
from edgewright.runtime.boxes import Boxes

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
    assert Evaluation.from_json(json.loads(json.dumps(result.to_json()))) == result


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


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=20), st.integers(1, 30))
def test_average_precision_is_a_share_and_grows_with_a_hit(ranked: list[tuple[float, bool]], n_truth: int) -> None:
    score = np.array([row[0] for row in ranked])
    hit = np.array([row[1] for row in ranked], dtype=bool) & (np.cumsum([row[1] for row in ranked]) <= n_truth)
    before = average_precision(score, hit, n_truth=n_truth)
    assert 0 <= before <= 1
    if hit.sum() < n_truth:
        after = average_precision(np.append(score, 2.0), np.append(hit, True), n_truth=n_truth)
        assert after >= before - 1e-12


def random_scene(rng: np.random.Generator) -> tuple[Boxes, Boxes, Boxes]:
    """Truth, ignore regions and jittered, wrong and spurious detections of one image."""
    corners = np.round(rng.uniform(0, 70, (rng.integers(0, 7), 2)))
    truth = Boxes.of(
        np.hstack([corners, corners + rng.integers(8, 30, corners.shape)]), class_id=rng.integers(0, 3, len(corners))
    )
    shifted = truth.xyxy + np.round(rng.normal(0, 2, truth.xyxy.shape))
    shifted[:, 2:] = np.maximum(shifted[:, 2:], shifted[:, :2] + 1)
    spare = np.round(rng.uniform(0, 70, (5, 2)))
    found = Boxes.of(
        np.vstack([shifted, np.hstack([spare, spare + 15])]),
        class_id=np.concatenate([truth.class_id, rng.integers(0, 3, 5)]),
        score=np.round(rng.random(len(truth) + 5), 2),
    )
    place = np.round(rng.uniform(0, 50, (1, 2)))
    return truth, Boxes.of(np.hstack([place, place + 40]), class_id=rng.integers(0, 3, 1)), found


def coco_numbers(scenes: list[tuple[Boxes, Boxes, Boxes]]) -> tuple[float, float]:
    """mAP50-95 and mAP50 by pycocotools."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    from pycocotools.cocoeval import COCOeval

    annotations, detections = [], []
    for image_id, (truth, ignored, found) in enumerate(scenes):
        for crowd, part in ((0, truth), (1, ignored)):
            for box, class_id in zip(part.xyxy.tolist(), part.class_id.tolist(), strict=True):
                x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": image_id, "category_id": class_id, "iscrowd": crowd,
                     "bbox": [x, y, w, h], "area": w * h}
                )  # fmt: skip
        for box, class_id, score in zip(
            found.xyxy.tolist(), found.class_id.tolist(), found.score.tolist(), strict=True
        ):
            size = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            detections.append({"image_id": image_id, "category_id": class_id, "bbox": size, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": index} for index in range(len(scenes))],
            "categories": [{"id": index} for index in range(3)],
            "annotations": annotations,
        }
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(detections), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats[0], run.stats[1]


@pytest.mark.parametrize("seed", range(4))
def test_equals_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng) for _ in range(30)]
    expected = coco_numbers(scenes)
    answers = iter([found for _, _, found in scenes])
    samples = [Sample(IMAGE, truth, ignored) for truth, ignored, _ in scenes]
    result = evaluate(lambda image: next(answers), samples, classes=("a", "b", "c"))
    assert (result.map50_95, result.map50) == pytest.approx(expected, abs=1e-9)
