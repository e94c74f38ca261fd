"""Rows beside mAP and the reliability diagram: what was not measured is left out."""

from __future__ import annotations

import numpy as np

from edgewright.detect.evaluate import Evaluation, Sample, evaluate
from edgewright.report.data import ModelFigures, ReportData
from edgewright.report.page import render
from edgewright.report.quality import quality_rows, reliability_curve
from edgewright.runtime.boxes import Boxes

A, B = [0, 0, 10, 10], [20, 20, 80, 80]


def evaluation(*scores: float, reports_from: float | None = 0.25) -> Evaluation:
    """Two classes with an object each: the first is found at every score but the last, which is a false alarm."""
    found = Boxes.of([A] * (len(scores) - 1) + [[50, 0, 60, 9]], class_id=[0] * len(scores), score=scores)
    truth = Boxes.of([A, B], class_id=[0, 1])
    image = np.zeros((8, 8, 3), np.uint8)
    return evaluate(lambda _: found, [Sample(image, truth)], classes=("nut", "bolt"), reports_from=reports_from)


def figures(name: str, measured: Evaluation | None) -> ModelFigures:
    return ModelFigures(name, 1_000_000, 0.5, 0.4, evaluation=measured)


MODELS = [figures("float", evaluation(0.9, 0.3)), figures("INT8", evaluation(0.8, 0.5))]


def test_a_row_is_a_number_with_its_unit_and_change() -> None:
    rows = {row.name: row for row in quality_rows(MODELS)}
    assert list(rows) == [
        *("mAP50–95, small", "mAP50–95, medium"),  # there is no large object
        *("Recall", "Precision", "Recall of bolt", "Calibration error"),
    ]
    assert (rows["Recall"].unit, rows["Recall"].values, rows["Recall"].change) == (
        "from score 0.25",
        ("0.500", "0.500"),
        "0.000",
    )
    assert rows["Recall of bolt"].values == ("0.000", "0.000")
    assert rows["Calibration error"].values == ("0.200", "0.350")


def test_the_diagram_has_a_line_a_model_and_the_one_to_reach() -> None:
    curve = reliability_curve(MODELS)
    assert curve is not None
    assert [one.name for one in curve.series] == ["float", "INT8", "as sure as right"]
    assert [list(np.round(one, 2)) for one in (curve.series[1].x, curve.series[1].y)] == [[0.5, 0.8], [0.0, 1.0]]


def test_what_earlier_versions_measured_has_neither() -> None:
    old = [figures("float", evaluation(0.9, 0.3, reports_from=None)), figures("INT8", None)]
    assert {row.name for row in quality_rows(old)} <= {"mAP50–95, small", "mAP50–95, medium"}
    assert (reliability_curve(old), quality_rows([figures("INT8", None)])) == (None, [])


def test_the_page_folds_it_and_draws_the_diagram() -> None:
    bare = ReportData("p", "r", "t", "It was made.", simulated=False, classes=("nut", "bolt"))
    page = render(ReportData(**{**vars(bare), "models": MODELS}))
    assert "what scores are worth</summary>" in page
    assert page.count("<svg") == 1 + page.count('class="swatch"')
    assert "Recall of bolt<small> the worst class</small>" in page
    assert "By object size" not in render(ReportData(**{**vars(bare), "models": [figures("INT8", None)]}))
