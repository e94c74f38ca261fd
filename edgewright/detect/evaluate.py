"""The one evaluator: every number of any predictor, float, ONNX, INT8 or on a device. numpy alone.

Decides what is reported of a detector: COCO average precision over all objects and by their size (`sizes.py`), what is
found at the score from which a device reports (`operating.py`) and what its scores are worth (`calibration.py`). What a
hit is stands in `matching.py`. Classes without truth have no precision; they are named and left out of the mean. Own
code: pycocotools' numbers, from `Boxes` instead of a data set in COCO's form.

>>> sample = Sample(np.zeros((9, 9, 3), np.uint8), truth=Boxes.of([[0, 0, 9, 9]], class_id=[0]))
>>> evaluate(lambda image: sample.truth, [sample], classes=("bolt",)).map50
1.0
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from edgewright.detect.calibration import Calibration, calibrate
from edgewright.detect.matching import (
    BoolArray,
    Matched,
    Matches,
    best_first,
    counting,
    match,
    meet,
    pairwise_overlap,
    take_greedily,
)
from edgewright.detect.operating import OperatingPoint, operating_point
from edgewright.detect.ranking import class_precisions, ranked
from edgewright.detect.sizes import SIZES, SizeFigures, match_by_size, size_figures
from edgewright.progress import OnProgress, silent
from edgewright.runtime.boxes import Boxes, Image
from edgewright.runtime.session import Predictor

EVALUATION_FILE = "evaluation.json"
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
    """Law: `Evaluation.from_json(e.to_json()) == e.without_parts`.

    Attributes:
        map50, map50_95: means over the classes with truth, in [0, 1]; None where no class has any.
        ap50, ap50_95: by class name, classes with truth alone.
        n_truth: boxes by class name, every class.
        without_truth: classes left out of the means.
        by_size: `small`, `medium`, `large`; empty in what was written before sizes were told apart.
        operating, calibration: at the score that a device reports from; None where nobody said which, and in what was
            written before they were measured.
        detections: an entry an image, in the order of the samples; empty unless asked for.
        matched: what every number above was counted from; None unless asked for.
    """

    n_images: int
    map50: float | None
    map50_95: float | None
    ap50: dict[str, float]
    ap50_95: dict[str, float]
    n_truth: dict[str, int]
    without_truth: tuple[str, ...]
    curves: tuple[PrCurve, ...]
    by_size: dict[str, SizeFigures] = field(default_factory=dict)
    operating: OperatingPoint | None = None
    calibration: Calibration | None = None
    detections: tuple[Boxes, ...] = ()
    matched: Matched | None = field(default=None, compare=False, repr=False)

    @property
    def without_parts(self) -> Evaluation:
        """Without what it was counted from."""
        return replace(self, detections=(), matched=None)

    def to_json(self) -> dict[str, Any]:
        """Everything but what it was counted from."""
        values = asdict(self.without_parts)
        return {name: value for name, value in values.items() if name not in ("detections", "matched")}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Evaluation:
        curves = [
            PrCurve(curve["class_name"], *(tuple(curve[axis]) for axis in ("recall", "precision", "score")))
            for curve in value["curves"]
        ]
        operating, calibration = value.get("operating"), value.get("calibration")
        return cls(
            **{
                **value,
                "without_truth": tuple(value["without_truth"]),
                "curves": tuple(curves),
                "by_size": {name: SizeFigures(**one) for name, one in value.get("by_size", {}).items()},
                "operating": OperatingPoint.from_json(operating) if operating else None,
                "calibration": Calibration.from_json(calibration) if calibration else None,
            }
        )

    @property
    def numbers(self) -> dict[str, float]:
        """What a tracker keeps of it: one flat name a number, those that were measured."""
        found: dict[str, float | None] = {"map50": self.map50, "map50_95": self.map50_95}
        for size, figures in self.by_size.items():
            found |= {f"map50_{size}": figures.map50, f"map50_95_{size}": figures.map50_95}
        if self.operating:
            found |= {"recall": self.operating.recall, "precision": self.operating.precision}
            found["worst_class_recall"] = self.operating.worst_recall
        if self.calibration:
            found["calibration_error"] = self.calibration.error
        return {name: value for name, value in found.items() if value is not None}


def evaluate(
    predict: Predictor,
    samples: Iterable[Sample],
    *,
    classes: Sequence[str],
    reports_from: float | None = None,
    n_samples: int = 0,
    on_progress: OnProgress = silent,
    collect: bool = False,
) -> Evaluation:
    """Everything that is reported of `predict` over the samples.

    Args:
        predict: should report down to a score of about 0.001; what it leaves out is lost recall.
        reports_from: the score from which a device reports what it found; None: no operating point, no calibration.
        n_samples: how many samples will come, for the progress alone.
        collect: keep detections and matches in the result.
    """
    matches: list[list[Matches]] = [[] for _ in classes]
    sized: dict[str, list[list[Matches]]] = {size: [[] for _ in classes] for size in SIZES}
    detections: list[Boxes] = []
    n_images = 0
    for sample in samples:
        found = predict(sample.image)
        for class_id in range(len(classes)):
            met = meet(*(_of_class(boxes, class_id) for boxes in (found, sample.truth, sample.ignored)))
            matches[class_id].append(match(met))
            for size, part in match_by_size(met, matches[class_id][-1]).items():
                sized[size][class_id].append(part)
        n_images += 1
        if collect:
            detections.append(found)
        on_progress(n_images, max(n_samples, n_images), "evaluating")
    matched = Matched(tuple(classes), tuple(map(tuple, matches)))
    by_size = {size: size_figures(parts) for size, parts in sized.items()}
    summary = replace(_summarize(matched, n_images=n_images), by_size=by_size)
    if reports_from is not None:
        summary = replace(summary, **_reported(matched, reports_from))
    return replace(summary, detections=tuple(detections), matched=matched) if collect else summary


def find_matches(found: Boxes, truth: Boxes, *, iou_threshold: float) -> BoolArray:
    """(len(truth),) bool: which truth boxes are found by a detection of the same class."""
    found_at = np.zeros(len(truth), dtype=bool)
    for class_id in np.unique(truth.class_id):
        rows = np.flatnonzero(truth.class_id == class_id)
        overlap = pairwise_overlap(best_first(_of_class(found, class_id)), truth[rows], crowd=False)
        taken = take_greedily(overlap, np.array([iou_threshold]))[0]
        found_at[rows[taken[taken >= 0]]] = True
    return found_at


def _summarize(matched: Matched, *, n_images: int) -> Evaluation:
    counts = {name: int(n) for name, n in zip(matched.classes, matched.n_truth.sum(axis=1), strict=True)}
    with_truth = [(name, parts) for name, parts in zip(matched.classes, matched.by_class, strict=True) if counts[name]]
    ap = {name: class_precisions(parts) for name, parts in with_truth}
    return Evaluation(
        n_images=n_images,
        map50=float(np.mean([values[0] for values in ap.values()])) if ap else None,
        map50_95=float(np.mean([values.mean() for values in ap.values()])) if ap else None,
        ap50={name: float(values[0]) for name, values in ap.items()},
        ap50_95={name: float(values.mean()) for name, values in ap.items()},
        n_truth=counts,
        without_truth=tuple(name for name in matched.classes if name not in ap),
        curves=tuple(_curve(name, parts, counts[name]) for name, parts in with_truth),
    )


def _reported(matched: Matched, reports_from: float) -> dict[str, Any]:
    score, hit = counting([part for parts in matched.by_class for part in parts], 0)
    return {
        "operating": operating_point(matched.classes, matched.by_class, score_threshold=reports_from),
        "calibration": calibrate(score, hit, from_score=reports_from),
    }


def _curve(name: str, parts: Sequence[Matches], n_truth: int) -> PrCurve:
    score, hit = counting(parts, 0)
    recall, precision, order = ranked(score, hit, n_truth=n_truth)
    thin = np.unique(np.linspace(0, max(len(order) - 1, 0), min(CURVE_POINTS, len(order))).round().astype(int))
    return PrCurve(name, *(tuple(values[thin].round(4).tolist()) for values in (recall, precision, score[order])))


def _of_class(boxes: Boxes, class_id: int) -> Boxes:
    return boxes[boxes.class_id == class_id]
