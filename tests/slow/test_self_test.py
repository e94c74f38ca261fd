"""`edgewright gate self-test` as a person types it: real pictures pass, every bad control is refused by its check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgewright.gates.selftest.self_test import CONTROLS
from tests.conftest import edgewright

pytestmark = pytest.mark.slow
# What is tested is the gate: one labeler of half batches, without the two that judge it out of fold; few resamplings.
SETTINGS = ("train_labeler.folds=1", "train_labeler.batch=8", "gate_data.bootstraps=20")
FEWER = (*(word for setting in SETTINGS for word in ("--set", setting)), "--json")


def table_of(stdout: str) -> dict[str, dict[str, Any]]:
    """By control, from the object that stands below the printed table."""
    report = json.loads(stdout[stdout.index("\n{\n") :])
    return {result["name"]: result for result in report["results"]}


def check(stdout: str) -> None:
    found = table_of(stdout)
    assert list(found) == [name for name, _ in CONTROLS]
    assert found["held-out real"]["verdict"]["outcome"] == "pass"
    wrong = {name: result["refused_by"] for name, result in found.items() if not result["right"]}
    assert wrong == {}


def test_on_the_simulated_camera(tmp_path: Path) -> None:
    check(edgewright("gate", "self-test", *FEWER, home=tmp_path).stdout)


@pytest.mark.real
def test_on_real_photographs(tmp_path: Path, real_data: Path) -> None:
    """Half batches, more steps than the default: after 200 the labeler finds no platelets, and the gate says so."""
    words = ("--set", "train_labeler.steps=400", *FEWER)
    check(edgewright("gate", "self-test", str(real_data), *words, home=tmp_path).stdout)
