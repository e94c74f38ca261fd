"""Tensor → boxes. Decides which of a model's candidates are detections: threshold, then class-wise suppression.

Two output layouts are read, and named in the model's specification:
    dense     (1, 4 + C, A) float32: x y w h in input px, then C class scores in [0, 1]   (YOLOv5u, v8, 11)
    end2end   (1, K, 6) float32: x1 y1 x2 y2 in input px, score, class                    (YOLO26, NMS-free)
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from edgewright.errors import InputError
from edgewright.runtime.boxes import BoolArray, Boxes, FloatArray, IntArray

LAYOUTS = ("dense", "end2end")
MAX_CANDIDATES = 3000
MAX_DETECTIONS = 300
"""COCO evaluates 100 a picture; cells and parts can be denser."""
_BLOCK = 256
"""Candidates whose overlaps are computed at once: numpy's calls cost more than their arithmetic."""


def decode(output: FloatArray, *, layout: str, score_threshold: float, iou_threshold: float) -> Boxes:
    """Model output of one picture => detections in model-input px, best score first.

    Raises:
        InputError: an unknown layout, a wrong shape, or numbers that are not finite.
    """
    _check(output, layout)
    candidates = _dense(output[0], score_threshold) if layout == "dense" else _end2end(output[0], score_threshold)
    if layout == "end2end":
        return candidates[:MAX_DETECTIONS]
    return suppress(candidates, iou_threshold=iou_threshold, at_most=MAX_DETECTIONS)


def suspected(output: FloatArray, *, layout: str, classes: Collection[int], score_threshold: float) -> Boxes:
    """Every candidate of these classes, whatever other class may be likelier there, and none suppressed or left out.

    For what has to be found at any price. Raises InputError as `decode` does.
    """
    _check(output, layout)
    if layout == "end2end":
        found = _end2end(output[0], score_threshold)
        return found[np.isin(found.class_id, list(classes))]
    parts = []
    for kind in sorted(classes):
        alone = np.concatenate([output[0][:4], output[0][4 + kind : 5 + kind]])
        boxes = _dense(alone, score_threshold)
        parts.append(Boxes(boxes.xyxy, np.full(len(boxes), kind, np.int64), boxes.score))
    return Boxes.concatenate(parts) if parts else Boxes.empty()


def suppress(boxes: Boxes, *, iou_threshold: float, at_most: int = MAX_CANDIDATES) -> Boxes:
    """Greedy non-maximum suppression within each class, best score first; ends with the first `at_most` that are kept.

    Laws: no two kept boxes of one class overlap by more than the threshold; suppressing twice changes nothing.
    """
    boxes = boxes[np.argsort(-boxes.score, kind="stable")[:MAX_CANDIDATES]]
    area, kept = boxes.area, np.empty(0, dtype=np.int64)

    def rivals(first: IntArray, second: IntArray) -> BoolArray:
        same = boxes.class_id[first, None] == boxes.class_id[None, second]
        found: BoolArray = same & (_overlaps(boxes.xyxy, area, first, second) > iou_threshold)
        return found

    for start in range(0, len(boxes), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(boxes)))
        block = block[~rivals(block, kept).any(axis=1)]
        beaten, alive = rivals(block, block), np.ones(len(block), dtype=bool)
        for index in range(len(block)):
            if alive[index]:
                alive[index + 1 :] &= ~beaten[index, index + 1 :]
        kept = np.concatenate([kept, block[alive]])
        if len(kept) >= at_most:
            break
    return boxes[kept[:at_most]]


def _check(output: FloatArray, layout: str) -> None:
    if layout not in LAYOUTS:
        raise InputError("unknown output layout", expected=" or ".join(LAYOUTS), got=layout)
    if output.ndim != 3 or output.shape[0] != 1 or not np.isfinite(output).all():
        raise InputError("not a finite output of one picture", got=f"shape {output.shape}")


def _overlaps(xyxy: FloatArray, area: FloatArray, first: IntArray, second: IntArray) -> FloatArray:
    """(N, M) IoU: `Boxes.iou` by columns, which is several times as fast."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = xyxy[first].T[:, :, None], xyxy[second].T[:, None, :]
    wide = np.maximum(np.minimum(x2, u2) - np.maximum(x1, u1), 0)
    high = np.maximum(np.minimum(y2, v2) - np.maximum(y1, v1), 0)
    shared = wide * high
    union = area[first, None] + area[None, second] - shared
    overlaps: FloatArray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlaps


def _dense(output: FloatArray, score_threshold: float) -> Boxes:
    if output.shape[0] < 5:
        raise InputError("not a dense output", expected="(4 + classes, anchors)", got=output.shape)
    scores = output[4:]
    class_id: IntArray = scores.argmax(axis=0).astype(np.int64)
    score = scores.max(axis=0)
    chosen = score >= score_threshold
    x, y, w, h = output[:4, chosen]
    w, h = np.maximum(w, 0), np.maximum(h, 0)
    xyxy = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    return Boxes(xyxy.astype(np.float32), class_id[chosen], np.clip(score[chosen], 0, 1))


def _end2end(output: FloatArray, score_threshold: float) -> Boxes:
    if output.shape[1] != 6:
        raise InputError("not an end-to-end output", expected="(K, 6)", got=output.shape)
    rows = output[output[:, 4] >= score_threshold]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    low, high = np.minimum(rows[:, :2], rows[:, 2:4]), np.maximum(rows[:, :2], rows[:, 2:4])
    xyxy = np.concatenate([low, high], axis=1).astype(np.float32)
    return Boxes(xyxy, rows[:, 5].round().astype(np.int64), np.clip(rows[:, 4], 0, 1).astype(np.float32))
