"""How good a labeler is on photographs that people labeled: pixels, instances, and what its confidence is worth.

Decides nothing. What judges a labeler is a `HeldOut`: a net, and photographs that it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgewright.data.dataset import Dataset
from edgewright.data.rle import Mask
from edgewright.data.rows import Row
from edgewright.label.network.batches import Examples, LabeledBatch, plain_batch
from edgewright.label.network.net import Labeler, device_of
from edgewright.label.trust.agreement import inside, match_greedily
from edgewright.label.trust.evidence import ClassEvidence, Evidence
from edgewright.runtime.boxes import Boxes

MATCH_IOU = 0.5
_TEMPERATURES = np.geomspace(0.25, 4.0, 49)
_BATCH = 16


@dataclass(frozen=True)
class HeldOut:
    """A labeler, and photographs that it has not seen; `examples` are the same rows."""

    labeler: Labeler
    rows: tuple[Row, ...]
    examples: Examples


@dataclass(frozen=True)
class Prediction:
    """What a labeler sees in a photograph that it had not seen before, in px of it.

    Attributes:
        learned: (C,) the classes it had a label of.
    """

    row: Row
    seen: Boxes
    learned: tuple[bool, ...]

    @property
    def counted(self) -> tuple[Boxes, Boxes]:
        """Truth and prediction: of classes it learned, outside of ignored regions."""
        known: Mask = np.array(self.learned, dtype=bool)
        truth, seen = self.row.boxes, drop_ignored(self.seen, self.row.ignored)
        return truth[known[truth.class_id]], seen[known[seen.class_id]]


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


def calibrate(parts: Sequence[HeldOut]) -> float:
    """The temperature of the least cross-entropy on held-out pixels (Guo et al. 2017); 1 without examples."""
    losses, pixels = np.zeros(len(_TEMPERATURES)), 0.0
    for part in parts:
        for logits, batch in _forward(part.labeler.net, part.examples):
            pixels += float(batch.counts.sum())
            for index, temperature in enumerate(_TEMPERATURES):
                log_probability = F.log_softmax(logits[:, :-1] / float(temperature), dim=1)
                picked = log_probability.gather(1, batch.class_map[:, None])[:, 0]
                losses[index] -= float((picked * batch.counts).sum())
    return float(_TEMPERATURES[losses.argmin()]) if pixels else 1.0


def predict_held_out(parts: Iterable[HeldOut], dataset: Dataset) -> list[Prediction]:
    """Every held-out photograph through the labeler that has not seen it."""
    return [
        Prediction(row, part.labeler.find(dataset.image(row)), part.labeler.spec.learned)
        for part in parts
        for row in part.rows
    ]


def score_classes(
    parts: Sequence[HeldOut], predictions: Sequence[Prediction], classes: Sequence[str]
) -> dict[str, ClassScore]:
    """Every class by name; `predictions` are of the parts' photographs."""
    pixel_iou = _pixel_iou(parts, len(classes))
    return {
        name: _score_class(predictions, class_id=class_id, pixel_iou=pixel_iou[class_id])
        for class_id, name in enumerate(classes)
    }


def gather_evidence(predictions: Sequence[Prediction], classes: Sequence[str], *, source: str) -> Evidence:
    """What every class's scores were worth; a class is unknown to photographs whose labeler did not learn it."""
    by_class = {name: _evidence_of(predictions, class_id) for class_id, name in enumerate(classes)}
    return Evidence(source if predictions else "none", by_class)


def drop_ignored(seen: Boxes, ignored: Boxes) -> Boxes:
    return seen[~(inside(seen, ignored) >= 0.5).any(axis=1)]


def _evidence_of(predictions: Sequence[Prediction], class_id: int) -> ClassEvidence:
    found: list[tuple[float, bool]] = []
    labels = 0
    for truth, seen in _of_class(predictions, class_id):
        match = match_greedily(truth.iou(seen), min_iou=MATCH_IOU)
        hits = np.isin(np.arange(len(seen)), match)
        found += zip(seen.score.tolist(), hits.tolist(), strict=True)
        labels += len(truth)
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    return ClassEvidence(labels, tuple(score for score, _ in found), tuple(hit for _, hit in found))


def _of_class(predictions: Sequence[Prediction], class_id: int) -> Iterator[tuple[Boxes, Boxes]]:
    for truth, seen in (prediction.counted for prediction in predictions):
        yield truth[truth.class_id == class_id], seen[seen.class_id == class_id]


def _score_class(predictions: Sequence[Prediction], *, class_id: int, pixel_iou: float | None) -> ClassScore:
    overlaps: list[float] = []
    labels = found = 0
    for truth, seen in _of_class(predictions, class_id):
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


def _pixel_iou(parts: Sequence[HeldOut], n_classes: int) -> list[float | None]:
    shared, either = np.zeros(n_classes), np.zeros(n_classes)
    for part in parts:
        for logits, batch in _forward(part.labeler.net, part.examples):
            guess = logits[:, :-1].argmax(dim=1)
            for class_id in range(n_classes):
                a, b = (map_ == class_id + 1 for map_ in (guess, batch.class_map))
                shared[class_id] += float(((a & b) * batch.counts).sum())
                either[class_id] += float(((a | b) * batch.counts).sum())
    return [float(shared[k] / either[k]) if either[k] else None for k in range(n_classes)]


def _forward(net: torch.nn.Module, examples: Examples) -> Iterator[tuple[Tensor, LabeledBatch]]:
    """Logits and targets, a few photographs at a time."""
    device = device_of(net)
    for start in range(0, len(examples), _BATCH):
        batch = plain_batch(examples, slice(start, start + _BATCH))
        with torch.inference_mode():
            logits = net(batch.images.to(device)).float().cpu()
        yield logits, batch
