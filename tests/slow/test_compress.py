"""`edgewright compress` at toy size: candidates climb, one is picked or none, and the same command continues."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.recipe import resolve

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]

TITLES = ("efficientdet-slim, 96 px", "efficientdet-slim, 96 px, 30% cut")
SETTINGS = (
    "ingest.photographs=90",
    "quantize.calibration_images=8",
    "train_detector.batch=8",
    "train_detector.mosaic=0",
)


def words(*more: str) -> list[str]:
    given = ["compress", "demo", "--families", "efficientdet", "--image-px", "96", "--shares", "0.3", "--steps", "100"]
    given += ["--epochs", "2", "--rungs", "2", "--max-drop", "1", *more]
    return given + [word for setting in SETTINGS for word in ("--set", setting)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all budgets: what the first one trained is known to the others."""
    return tmp_path_factory.mktemp("budgets")


def test_what_one_meets_is_picked_and_what_nothing_meets_is_said(
    command: Command, prefect_api: str, home: Path
) -> None:
    result = command(*words(), home=home, PREFECT_API_URL=prefect_api)
    page = Path(result.stdout.split()[-1])
    text = page.read_text()
    for title in TITLES:
        assert title in text
    assert "test photographs, looked at once" in text
    assert page.with_name("pareto.png").read_bytes().startswith(b"\x89PNG")
    recipe = resolve(str(page.with_name("recipe.yaml")))
    assert (recipe.train_detector.image_px, recipe.train_detector.steps, recipe.quantize.max_drop) == (96, 100, 1.0)
    assert recipe.compress.wanted == (f"{TITLES[1]}: " in text)
    again = command(*words("--max-latency-ms", "0.001"), home=home, PREFECT_API_URL=prefect_api)
    said = Path(again.stdout.split()[-1])
    assert "at most 0.001 ms, where the fastest" in said.read_text()
    assert not said.with_name("recipe.yaml").exists()
    assert again.stderr.count("epoch") < result.stderr.count("epoch"), "what was trained is known"


def test_a_budget_of_nothing_is_refused_before_anything_runs(command: Command, home: Path) -> None:
    result = command(*words("--max-bytes", "0"), home=home, check=False)
    assert result.returncode == 2
    assert "max_bytes" in result.stderr
    listed = command(*words("--dry-run"), home=home).stdout.splitlines()
    assert listed == list(TITLES)
