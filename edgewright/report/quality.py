"""What the evaluator says beside mAP: by object size, at the score that a device reports from, and of scores.

Decides what of it a reader sees: a row where any model has a number, and a reliability diagram where at least two bins
of scores hold detections. Refuses nothing: what earlier versions did not measure is left out.

    rows, reliability = quality_rows(models), reliability_curve(models)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edgewright.detect.evaluate import Evaluation
from edgewright.detect.sizes import SIZES
from edgewright.report.data import Curve, ModelFigures, Series
from edgewright.report.tables import ModelRow, model_row

_SIDES = {"small": "up to 32 px", "medium": "32 to 96 px", "large": "from 96 px"}
_PERFECT = Series("as sure as right", [0.0, 1.0], [0.0, 1.0])


def quality_rows(models: Sequence[ModelFigures]) -> list[ModelRow]:
    """One a number; none where no model was measured so."""
    measured = [model.evaluation for model in models if model.evaluation is not None]
    if not measured:
        return []
    found = [model_row(name, models, _of(value), "{:.3f}", unit=unit) for name, unit, value in _wanted(measured[-1])]
    return [row for row in found if row]


def reliability_curve(models: Sequence[ModelFigures]) -> Curve | None:
    """Precision over mean score in bins of score; None where no model has two bins with detections."""
    lines = []
    for model in models:
        calibration = model.evaluation.calibration if model.evaluation else None
        bins = [one for one in calibration.bins if one.score is not None] if calibration else []
        if len(bins) > 1:
            lines.append(
                Series(model.precision, [one.score or 0.0 for one in bins], [one.precision or 0.0 for one in bins])
            )
    if not lines:
        return None
    return Curve("What scores are worth", "mean score", "share that is right", [*lines, _PERFECT])


_Value = Callable[[Evaluation], float | None]


def _wanted(shipped: Evaluation) -> Iterator[tuple[str, str, _Value]]:
    for size in SIZES:
        yield f"mAP50–95, {size}", _SIDES[size], _of_size(size)
    if shipped.operating:
        at = f"from score {shipped.operating.score_threshold:g}"
        worst = shipped.operating.worst_class
        yield "Recall", at, lambda one: one.operating.recall if one.operating else None
        yield "Precision", at, lambda one: one.operating.precision if one.operating else None
        yield f"Recall of {worst}", "the worst class", _recall_of(worst)
    yield "Calibration error", "D-ECE", lambda one: one.calibration.error if one.calibration else None


def _of_size(size: str) -> _Value:
    return lambda one: one.by_size[size].map50_95 if size in one.by_size else None


def _recall_of(name: str) -> _Value:
    def value(one: Evaluation) -> float | None:
        return one.operating.classes[name].recall if one.operating and name in one.operating.classes else None

    return value


def _of(value: _Value) -> Callable[[ModelFigures], float | None]:
    return lambda model: value(model.evaluation) if model.evaluation is not None else None
