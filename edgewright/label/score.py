"""How good a labeler is on photographs that people labeled: pixels, instances, and what its confidence is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.label.agreement import inside, match_greedily
from edgewright.label.batches import Examples, plain_batch
from edgewright.label.net import Labeler
from edgewright.runtime.boxes import Boxes

MATCH_IOU = 0.5
_TEMPERATURES = np.geomspace(0.25, 4.0, 49)
_BATCH = 16


@dataclass(frozen=True)
class ClassScore:
    """One class on held-out photographs. None: nothing there to measure it on.

    Attributes:
        iou: of its pixels.
        recall, precision: of its instances at box IoU >= MATCH_IOU.
        median_iou: of the boxes of matched instances.
        n: how many labels.
    """

    iou: float | None
    recall: float | None
    precision: float | None
    median_iou: float | None
    n: int


def calibrate(net: torch.nn.Module, examples: Examples) -> float:
    """The temperature of the least cross-entropy on held-out pixels (Guo et al. 2017); 1 without examples."""
    if not len(examples):
        return 1.0
    losses = np.zeros(len(_TEMPERATURES))
    for logits, batch_at in _forward(net, examples):
        batch = plain_batch(examples, batch_at)
        for index, temperature in enumerate(_TEMPERATURES):
            log_probability = F.log_softmax(logits[:, :-1] / float(temperature), dim=1)
            picked = log_probability.gather(1, batch.class_map[:, None])[:, 0]
            losses[index] -= float((picked * batch.counts).sum())
    return float(_TEMPERATURES[losses.argmin()])


def score_classes(labeler: Labeler, dataset: Dataset, rows: Sequence[Row], examples: Examples) -> dict[str, ClassScore]:
    """Every class of the labeler on `rows`; `examples` are the same rows."""
    pixel_iou = _pixel_iou(labeler.net, examples, len(labeler.spec.classes))
    pairs = [(row.boxes, drop_ignored(labeler.see(dataset.image(row)), row.ignored)) for row in rows]
    return {
        name: _score_class(pairs, class_id=class_id, pixel_iou=pixel_iou[class_id])
        for class_id, name in enumerate(labeler.spec.classes)
    }


def drop_ignored(seen: Boxes, ignored: Boxes) -> Boxes:
    return seen[~(inside(seen, ignored) >= 0.5).any(axis=1)]


def _score_class(pairs: Sequence[tuple[Boxes, Boxes]], *, class_id: int, pixel_iou: float | None) -> ClassScore:
    overlaps: list[float] = []
    labels = found = 0
    for truth, seen in pairs:
        truth, seen = truth[truth.class_id == class_id], seen[seen.class_id == class_id]
        overlap = truth.iou(seen)
        match = match_greedily(overlap, min_iou=MATCH_IOU)
        overlaps += [float(overlap[row, at]) for row, at in enumerate(match) if at >= 0]
        labels, found = labels + len(truth), found + len(seen)
    return ClassScore(
        iou=pixel_iou,
        recall=len(overlaps) / labels if labels else None,
        precision=len(overlaps) / found if found else None,
        median_iou=float(np.median(overlaps)) if overlaps else None,
        n=labels,
    )


def _pixel_iou(net: torch.nn.Module, examples: Examples, n_classes: int) -> list[float | None]:
    shared, either = np.zeros(n_classes), np.zeros(n_classes)
    for logits, at in _forward(net, examples):
        batch = plain_batch(examples, at)
        guess = logits[:, :-1].argmax(dim=1)
        for class_id in range(n_classes):
            a, b = (map_ == class_id + 1 for map_ in (guess, batch.class_map))
            shared[class_id] += float(((a & b) * batch.counts).sum())
            either[class_id] += float(((a | b) * batch.counts).sum())
    return [float(shared[k] / either[k]) if either[k] else None for k in range(n_classes)]


def _forward(net: torch.nn.Module, examples: Examples) -> list[tuple[Tensor, slice]]:
    device = next(net.parameters()).device
    parts = [slice(start, start + _BATCH) for start in range(0, len(examples), _BATCH)]
    with torch.inference_mode():
        return [(net(plain_batch(examples, at).images.to(device)).float().cpu(), at) for at in parts]
