"""Every INT8 file holds in each form that it must hold in, or nothing is released."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from edgewright.gates.file_checks import FileEvidence, FormEvidence, file_checks
from edgewright.gates.verdict import Outcome, combine
from edgewright.recipe.gates import GateModelConfig

GOOD = FormEvidence(map50=0.596, map50_95=0.422, n_images=79, decides=True)
COLLAPSED = FormEvidence(map50=0.412, map50_95=0.278, n_images=79, decides=True)
FLOAT = 0.429
FILE = FileEvidence(
    1_800_000,
    worst_layer="/model.9/conv/Conv",
    layer_error=0.12,
    forms={"as run here": GOOD, "as written": GOOD, "with saturation": GOOD},
)
REFUSE, UNKNOWN = Outcome.REFUSE, Outcome.NOT_EVALUABLE


def outcome(file: FileEvidence, *, float_map50_95: float | None = FLOAT) -> Outcome:
    return combine(list(file_checks({"m.onnx": file}, GateModelConfig(), float_map50_95=float_map50_95)))


def with_form(name: str, **changes: Any) -> FileEvidence:
    return replace(FILE, forms={**FILE.forms, name: replace(FILE.forms[name], **changes)})


def test_a_file_that_holds_everywhere() -> None:
    assert outcome(FILE) is Outcome.PASS


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        # holds as written and here, and collapses where sums are of 16 bits
        (replace(FILE, forms={**FILE.forms, "with saturation": COLLAPSED}), REFUSE),
        # the same file, where it is not for such a processor
        (replace(FILE, forms={**FILE.forms, "with saturation": replace(COLLAPSED, decides=False)}), Outcome.PASS),
        (with_form("as written", map50_95=0.408), REFUSE),
        (with_form("as run here", map50=0.49), REFUSE),
        (with_form("with saturation", map50_95=None), UNKNOWN),
        (with_form("with saturation", map50_95=float("nan")), UNKNOWN),
        (with_form("with saturation", n_images=0), UNKNOWN),
        (replace(FILE, bytes=2_000_001), REFUSE),
        (replace(FILE, bytes=0), UNKNOWN),
        (replace(FILE, layer_error=1.01), REFUSE),
        (replace(FILE, layer_error=None), UNKNOWN),
        (replace(FILE, forms={}), UNKNOWN),
        (replace(FILE, forms={"with saturation": replace(GOOD, decides=False)}), UNKNOWN),
    ],
)
def test_what_a_file_comes_to(file: FileEvidence, expected: Outcome) -> None:
    assert outcome(file) is expected


@pytest.mark.parametrize("float_map50_95", [None, 0.0])
def test_from_nothing_nothing_can_be_lost(float_map50_95: float | None) -> None:
    assert outcome(FILE, float_map50_95=float_map50_95) is UNKNOWN


def test_no_file_is_not_a_good_file() -> None:
    assert combine(list(file_checks({}, GateModelConfig(), float_map50_95=FLOAT))) is UNKNOWN


def test_a_refusal_names_file_form_and_layer() -> None:
    bad = replace(FILE, layer_error=1.9, forms={"with saturation": COLLAPSED})
    said = " ".join(check.sentence for check in file_checks({"m.onnx": bad}, GateModelConfig(), float_map50_95=FLOAT))
    assert "'/model.9/conv/Conv'" in said
    assert "mAP50-95 lost by m.onnx with saturation is 0.151 on n = 79: fails <= 0.02 (gate_model.max_map_drop)" in said


@pytest.mark.parametrize(
    "change",
    [{"max_bytes": 1_000_000}, {"max_map_drop": 0.001}, {"min_map50": 0.9}, {"max_layer_error": 0.1}],
)
def test_every_threshold_changes_what_a_file_comes_to(change: dict[str, Any]) -> None:
    config = GateModelConfig().model_copy(update=change)
    assert combine(list(file_checks({"m.onnx": FILE}, config, float_map50_95=FLOAT))) is REFUSE


def test_round_trip() -> None:
    assert FileEvidence.from_json({**asdict(FILE), "saturating": 3}) == FILE
