"""Scenes of boxes for the evaluator, and what pycocotools says of them."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from edgewright.detect.evaluate import Evaluation, Sample, evaluate
from edgewright.runtime.boxes import Boxes

Scene = tuple[Boxes, Boxes, Boxes]
"""Truth, regions to ignore, detections."""
CLASSES = ("a", "b", "c")
_SIZES = ("all", "small", "medium", "large")
_BLANK = np.zeros((8, 8, 3), np.uint8)


def evaluate_scenes(scenes: list[Scene], *, reports_from: float | None = None) -> Evaluation:
    """By the one evaluator, with what it was counted from."""
    answers = iter([found for _, _, found in scenes])
    samples = [Sample(_BLANK, truth, ignored) for truth, ignored, _ in scenes]
    return evaluate(lambda _: next(answers), samples, classes=CLASSES, reports_from=reports_from, collect=True)


def random_scene(rng: np.random.Generator, *, side_px: int = 30, jitter_px: float = 2) -> Scene:
    """Truth, ignore regions and jittered, wrong and spurious detections of one image; objects up to `side_px`.

    Some objects lie on the very borders between small, medium and large.
    """
    room = 3 * side_px
    corners = np.round(rng.uniform(0, room, (rng.integers(0, 7), 2)))
    sides = rng.integers(8, side_px, corners.shape)
    sides[: rng.integers(0, 2)] = rng.choice([32, 96])
    truth = Boxes.of(np.hstack([corners, corners + sides]), class_id=rng.integers(0, 3, len(corners)))
    shifted = truth.xyxy + np.round(rng.normal(0, jitter_px, truth.xyxy.shape))
    shifted[:, 2:] = np.maximum(shifted[:, 2:], shifted[:, :2] + 1)
    spare = np.round(rng.uniform(0, room, (5, 2)))
    found = Boxes.of(
        np.vstack([shifted, np.hstack([spare, spare + rng.integers(8, side_px, (5, 1))])]),
        class_id=np.concatenate([truth.class_id, rng.integers(0, 3, 5)]),
        score=np.round(rng.random(len(truth) + 5), 2),
    )
    place = np.round(rng.uniform(0, room, (1, 2)))
    return truth, Boxes.of(np.hstack([place, place + 1.3 * side_px]), class_id=rng.integers(0, 3, 1)), found


def coco_numbers(scenes: list[Scene]) -> dict[str, tuple[float, float] | None]:
    """A size, or `all` => mAP50-95 and mAP50 by pycocotools; None where it has no object."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": index} for index in range(len(scenes))],
            "categories": [{"id": index} for index in range(len(CLASSES))],
            "annotations": _annotations(scenes),
        }
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(_detections(scenes)), "bbox")
        run.evaluate()
        run.accumulate()
    found: dict[str, tuple[float, float] | None] = {}
    for area, size in enumerate(_SIZES):
        precision = run.eval["precision"][:, :, :, area, -1]  # IoU, recall, class; -1 where there is no object
        with_truth = precision[:, :, precision[0, 0] > -1]
        found[size] = (with_truth.mean(), with_truth[0].mean()) if with_truth.size else None
    return found


def _annotations(scenes: list[Scene]) -> list[dict[str, object]]:
    annotations: list[dict[str, object]] = []
    for image_id, (truth, ignored, _) in enumerate(scenes):
        for crowd, part in ((0, truth), (1, ignored)):
            for box, class_id in zip(_bboxes(part), part.class_id.tolist(), strict=True):
                own = {"id": len(annotations) + 1, "image_id": image_id, "category_id": class_id, "iscrowd": crowd}
                annotations.append({**own, "bbox": box, "area": box[2] * box[3]})
    return annotations


def _detections(scenes: list[Scene]) -> list[dict[str, object]]:
    return [
        {"image_id": image_id, "category_id": class_id, "bbox": box, "score": score}
        for image_id, (_, _, found) in enumerate(scenes)
        for box, class_id, score in zip(_bboxes(found), found.class_id.tolist(), found.score.tolist(), strict=True)
    ]


def _bboxes(boxes: Boxes) -> list[list[float]]:
    return [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in boxes.xyxy.tolist()]
