"""The model gate releases nothing on numbers that are missing, bad or not finite."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from edgewright.errors import InputError
from edgewright.gates.model_gate import ModelEvidence, decide_model
from edgewright.gates.verdict import Outcome
from edgewright.recipe.gates import GateModelConfig
from tests.measured_models import GOOD

REFUSE, UNKNOWN = Outcome.REFUSE, Outcome.NOT_EVALUABLE


def test_a_good_model_is_released() -> None:
    verdict = decide_model(GOOD, GateModelConfig())
    assert (verdict.gate, verdict.outcome, verdict.decision) == ("gate_model", Outcome.PASS, "release")
    assert len(verdict.checks) == 7 + 2 + 4
    assert "'nut'" in verdict.checks[2].name  # of washers there are too few to tell


@pytest.mark.parametrize(
    ("change", "outcome", "field"),
    [
        ({"bytes": 2_000_001}, REFUSE, "max_bytes"),
        ({"bytes": 0}, UNKNOWN, "max_bytes"),  # an empty file is no model
        ({"int8_map50": 0.01}, REFUSE, "min_map50"),
        ({"int8_map50": 0.49}, REFUSE, "min_map50"),
        ({"int8_ap50": {"bolt": 0.29, "nut": 0.9}}, REFUSE, "min_class_map50"),
        ({"int8_ap50": {"bolt": math.nan, "nut": 0.9}}, UNKNOWN, "min_class_map50"),
        ({"int8_ap50": {"bolt": 0.9, "nut": math.nan}}, UNKNOWN, "min_class_map50"),
        ({"int8_ap50": {"bolt": 0.9}}, UNKNOWN, "min_class_map50"),  # of nuts there are enough, and nobody measured
        ({"int8_ap50": {}}, UNKNOWN, "min_class_map50"),
        ({"n_objects": {}}, UNKNOWN, "min_class_map50"),
        ({"int8_map50_95": 0.3}, REFUSE, "max_map_drop"),
        ({"float_map50_95": 0.0, "int8_map50_95": 0.0}, UNKNOWN, "max_map_drop"),  # 0 - 0 is no small drop
        ({"float_map50_95": math.nan}, UNKNOWN, "max_map_drop"),
        ({"int8_map50_95": None}, UNKNOWN, "max_map_drop"),
        ({"int8_map50": None}, UNKNOWN, "min_map50"),
        ({"n_images": 0}, UNKNOWN, "min_map50"),
        ({"parity": 0.5}, REFUSE, "min_parity"),
        ({"parity_n": 0}, UNKNOWN, "min_parity"),  # nothing detected, nothing compared
        ({"export_difference": 0.11}, REFUSE, "max_export_difference"),
        ({"export_difference": math.nan}, UNKNOWN, "max_export_difference"),
        ({"export_difference": None}, UNKNOWN, "max_export_difference"),
        ({"p99_ms": 900.0}, REFUSE, "max_p99_ms"),
        ({"p99_ms": math.inf}, UNKNOWN, "max_p99_ms"),
        ({"latency_runs": 99}, UNKNOWN, "max_p99_ms"),  # fewer runs than the recipe asks for
    ],
)
def test_anything_else_ends_the_run(change: dict[str, Any], outcome: Outcome, field: str) -> None:
    verdict = decide_model(replace(GOOD, **change), GateModelConfig())
    assert (verdict.outcome, verdict.decision) == (outcome, "end")
    bad = {check.set_at for check in verdict.checks if check.outcome is outcome}
    assert f"gate_model.{field}" in bad
    assert verdict.reasons[0] in verdict.sentence


@pytest.mark.parametrize(
    "change",
    [
        {"max_bytes": 1_000_000},
        {"max_map_drop": 0.001},
        {"min_parity": 0.99},
        {"max_p99_ms": 1.0},
        {"max_export_difference": 0.001},
        {"min_map50": 0.9},
        {"min_class_map50": 0.7},
        {"min_class_objects": 19},
        {"latency_runs": 200},
    ],
)
def test_every_threshold_changes_the_verdict(change: dict[str, Any]) -> None:
    config = GateModelConfig().model_copy(update=change)
    assert decide_model(GOOD, config).decision == "end"


def test_a_class_with_few_test_objects_is_reported_and_decides_nothing() -> None:
    verdict = decide_model(replace(GOOD, n_objects={"bolt": 9, "nut": 9, "washer": 9}), GateModelConfig())
    [reported] = [check for check in verdict.checks if not check.decides]
    assert verdict.decision == "release"
    assert ("'washer'" in reported.name, reported.value, reported.n) == (True, 0.1, 9)


def test_round_trip() -> None:
    odd = replace(GOOD, p99_ms=math.nan, parity=None)
    assert odd.p99_ms is None
    assert ModelEvidence.from_json(odd.to_json()) == odd


@pytest.mark.parametrize("change", [{"int8_map50": 71.0}, {"parity": -0.1}, {"bytes": -1}])
def test_numbers_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="out of range"):
        replace(GOOD, **change)
