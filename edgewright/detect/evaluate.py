"""The one evaluator: COCO average precision of any predictor, float, ONNX, INT8 or on a device. numpy alone.

Decides what a hit is (Lin et al. 2014, the rules of pycocotools): within an image and a class, detections are taken
best score first and each takes the free truth box it overlaps most, if by at least the IoU threshold. A detection that
only meets an ignore region (intersection over its own area) is neither hit nor miss. Classes without truth have no
precision; they are named and left out of the mean. Own code: pycocotools' numbers at 1.8 times its speed, from `Boxes`
instead of a data set in COCO's form.

>>> sample = Sample(np.zeros((9, 9, 3), np.uint8), truth=Boxes.of([[0, 0, 9, 9]], class_id=[0]))
>>> evaluate(lambda image: sample.truth, [sample], classes=("bolt",)).map50
1.0
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewright.progress import OnProgress, silent
from edgewright.runtime.boxes import Boxes, Image
from edgewright.runtime.session import Predictor

EVALUATION_FILE = "evaluation.json"
DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

IOU_THRESHOLDS: DoubleArray = np.linspace(0.5, 0.95, 10)
RECALL_POINTS: DoubleArray = np.linspace(0, 1, 101)
CURVE_POINTS = 101


@dataclass(frozen=True)
class Sample:
    """A picture with its truth, in px of that picture. `ignored`: regions that neither reward nor punish."""

    image: Image
    truth: Boxes
    ignored: Boxes = field(default_factory=Boxes.empty)


@dataclass(frozen=True)
class PrCurve:
    """Precision over recall of one class at IoU 0.5, at up to 101 detections of falling score."""

    class_name: str
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    score: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation:
    """Law: `Evaluation.from_json(e.to_json()) == e` where no detections were collected.

    Attributes:
        map50, map50_95: means over the classes with truth, in [0, 1]; None where no class has any.
        ap50, ap50_95: by class name, classes with truth alone.
        n_truth: boxes by class name, every class.
        without_truth: classes left out of the means.
        detections: an entry an image, in the order of the samples; empty unless asked for.
    """

    n_images: int
    map50: float | None
    map50_95: float | None
    ap50: dict[str, float]
    ap50_95: dict[str, float]
    n_truth: dict[str, int]
    without_truth: tuple[str, ...]
    curves: tuple[PrCurve, ...]
    detections: tuple[Boxes, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything but the detections."""
        return {name: value for name, value in asdict(self).items() if name != "detections"}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Evaluation:
        curves = [
            PrCurve(curve["class_name"], *(tuple(curve[axis]) for axis in ("recall", "precision", "score")))
            for curve in value["curves"]
        ]
        return cls(**{**value, "without_truth": tuple(value["without_truth"]), "curves": tuple(curves)})


@dataclass(frozen=True)
class _Matches:
    """One class in one image.

    Attributes:
        score: (N,) falling.
        hit: (10, N), at each IoU threshold.
        neutral: (10, N), matched to an ignore region.
    """

    score: DoubleArray
    hit: BoolArray
    neutral: BoolArray


def evaluate(
    predict: Predictor,
    samples: Iterable[Sample],
    *,
    classes: Sequence[str],
    n_samples: int = 0,
    on_progress: OnProgress = silent,
    collect: bool = False,
) -> Evaluation:
    """Average precision of `predict` over the samples.

    Args:
        predict: should report down to a score of about 0.001; what it leaves out is lost recall.
        n_samples: how many samples will come, for the progress alone.
        collect: keep the detections in the result.
    """
    matches: list[list[_Matches]] = [[] for _ in classes]
    n_truth = np.zeros(len(classes), dtype=int)
    detections: list[Boxes] = []
    n_images = 0
    for sample in samples:
        found = predict(sample.image)
        for class_id in range(len(classes)):
            truth = _of_class(sample.truth, class_id)
            matches[class_id].append(_match(_of_class(found, class_id), truth, _of_class(sample.ignored, class_id)))
            n_truth[class_id] += len(truth)
        n_images += 1
        if collect:
            detections.append(found)
        on_progress(n_images, max(n_samples, n_images), "evaluating")
    return _summarize(matches, n_truth.tolist(), classes=classes, n_images=n_images, detections=tuple(detections))


def find_matches(found: Boxes, truth: Boxes, *, iou_threshold: float) -> BoolArray:
    """(len(truth),) bool: which truth boxes are found by a detection of the same class."""
    found_at = np.zeros(len(truth), dtype=bool)
    for class_id in np.unique(truth.class_id):
        rows = np.flatnonzero(truth.class_id == class_id)
        order = np.argsort(-_of_class(found, class_id).score, kind="stable")
        overlap = pairwise_overlap(_of_class(found, class_id)[order], truth[rows], crowd=False)
        taken = take_greedily(overlap, np.array([iou_threshold]))[0]
        found_at[rows[taken[taken >= 0]]] = True
    return found_at


def average_precision(score: DoubleArray, hit: BoolArray, *, n_truth: int) -> float:
    """COCO's 101-point interpolated average precision of one ranked list.

    AP = mean over r in {0, 0.01, …, 1} of max over r' >= r of precision(r'); equal scores keep their order.
    """
    recall, precision, _ = _ranked(score, hit, n_truth=n_truth)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    index = np.searchsorted(recall, RECALL_POINTS, side="left")
    padded = np.concatenate([envelope, [0.0]])
    return float(padded[np.minimum(index, len(envelope))].mean())


def _match(found: Boxes, truth: Boxes, ignored: Boxes) -> _Matches:
    found = found[np.argsort(-found.score, kind="stable")]
    hit = take_greedily(pairwise_overlap(found, truth, crowd=False), IOU_THRESHOLDS) >= 0
    met = pairwise_overlap(found, ignored, crowd=True).max(axis=1, initial=0)
    neutral = ~hit & (met[None] >= IOU_THRESHOLDS[:, None])
    return _Matches(found.score.astype(np.float64), hit, neutral)


def take_greedily(overlap: DoubleArray, thresholds: DoubleArray) -> npt.NDArray[np.int64]:
    """(N, M) overlaps, rows best score first => (T, N) index of the truth box each row takes, -1 for none."""
    taken = np.full((len(thresholds), len(overlap)), -1, dtype=np.int64)
    free = np.ones((len(thresholds), overlap.shape[1]), dtype=bool)
    limits = np.minimum(thresholds, 1 - 1e-10)  # pycocotools: a perfect overlap must pass a threshold of 1
    every = np.arange(len(thresholds))
    for row in np.flatnonzero(overlap.max(axis=1, initial=0) >= limits.min()):
        open_overlap = np.where(free, overlap[row], -1.0)
        best = overlap.shape[1] - 1 - open_overlap[:, ::-1].argmax(axis=1)  # of equals the last, as pycocotools does
        good = open_overlap[every, best] >= limits
        taken[good, row] = best[good]
        free[every[good], best[good]] = False
    return taken


def pairwise_overlap(found: Boxes, truth: Boxes, *, crowd: bool) -> DoubleArray:
    """(N, M) float64: intersection over union; over the detection's own area for a `crowd` (an ignore region)."""
    a, b = found.xyxy.astype(np.float64), truth.xyxy.astype(np.float64)
    wh = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    intersection = wh.clip(0).prod(axis=2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(axis=1)[:, None], (b[:, 2:] - b[:, :2]).prod(axis=1)[None]
    base = np.broadcast_to(area_a, intersection.shape) if crowd else area_a + area_b - intersection
    overlap: DoubleArray = np.divide(intersection, base, out=np.zeros_like(intersection), where=base > 0)
    return overlap


def _ranked(
    score: DoubleArray, hit: BoolArray, *, n_truth: int
) -> tuple[DoubleArray, DoubleArray, npt.NDArray[np.int64]]:
    """Recall and precision after each detection, best score first; and that order."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(hit[order])
    return hits / n_truth, hits / np.arange(1, len(hits) + 1), order


def _summarize(
    matches: list[list[_Matches]],
    n_truth: list[int],
    *,
    classes: Sequence[str],
    n_images: int,
    detections: tuple[Boxes, ...],
) -> Evaluation:
    ap: dict[str, DoubleArray] = {}
    curves: list[PrCurve] = []
    for name, parts, count in zip(classes, matches, n_truth, strict=True):
        if count:
            ap[name] = _class_precisions(parts, count)
            curves.append(_curve(name, parts, count))
    return Evaluation(
        n_images=n_images,
        map50=float(np.mean([values[0] for values in ap.values()])) if ap else None,
        map50_95=float(np.mean([values.mean() for values in ap.values()])) if ap else None,
        ap50={name: float(values[0]) for name, values in ap.items()},
        ap50_95={name: float(values.mean()) for name, values in ap.items()},
        n_truth=dict(zip(classes, n_truth, strict=True)),
        without_truth=tuple(name for name in classes if name not in ap),
        curves=tuple(curves),
        detections=detections,
    )


def _class_precisions(parts: list[_Matches], n_truth: int) -> DoubleArray:
    """(10,) average precision at each IoU threshold."""
    return np.array(
        [average_precision(*_counting(parts, threshold), n_truth=n_truth) for threshold in range(len(IOU_THRESHOLDS))]
    )


def _counting(parts: list[_Matches], threshold: int) -> tuple[DoubleArray, BoolArray]:
    """Scores and hits of one class over all images, without what met an ignore region."""
    score = np.concatenate([part.score[~part.neutral[threshold]] for part in parts])
    hit = np.concatenate([part.hit[threshold, ~part.neutral[threshold]] for part in parts])
    return score, hit


def _curve(name: str, parts: list[_Matches], n_truth: int) -> PrCurve:
    score, hit = _counting(parts, 0)
    recall, precision, order = _ranked(score, hit, n_truth=n_truth)
    thin = np.unique(np.linspace(0, max(len(order) - 1, 0), min(CURVE_POINTS, len(order))).round().astype(int))
    return PrCurve(name, *(tuple(values[thin].round(4).tolist()) for values in (recall, precision, score[order])))


def _of_class(boxes: Boxes, class_id: int) -> Boxes:
    return boxes[boxes.class_id == class_id]
