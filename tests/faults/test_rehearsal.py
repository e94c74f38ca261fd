"""`edgewright experiment rehearsal` at toy size: a line changes, frames come home, a second release goes out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.rehearsal.plan import BEFORE, FULL, SHIPPED
from edgewright.rehearsal.results import read_results
from edgewright.rehearsal.story import Story

pytestmark = pytest.mark.faults
Command = Callable[..., subprocess.CompletedProcess[str]]
SETTINGS = (
    "ingest.photographs=60",
    "train_generator.method=compositor",
    "generate.images=24",
    "train_labeler.steps=20",
    "train_detector.image_px=96",
    "quantize.calibration_images=8",
    "gate_model.min_map50=0",
    "gate_model.min_class_map50=0",
    "gate_model.min_parity=0",
    "gate_model.max_map_drop=1",
    "gate_model.champion=ignore",
    "flash.feed_frames=2",
)
WORDS = ["experiment", "rehearsal", "demo", "--frames", "400", "--steps", "80", "--epochs", "2"]


def words(results: Path, *more: str) -> list[str]:
    given = [*WORDS, "--arms", f"{BEFORE},{SHIPPED},{FULL}", "--results", str(results), *more]
    return given + [word for setting in SETTINGS for word in ("--set", setting)]


def test_what_is_hard_comes_home_and_a_second_release_goes_to_one_device_first(
    command: Command, prefect_api: str, tmp_path: Path
) -> None:
    """What is not asked here is how well it does: that is measured, and stands in LOG."""
    results = tmp_path / "rehearsal.jsonl"
    result = command(*words(results), home=tmp_path / "home", PREFECT_API_URL=prefect_api)
    page = Path(result.stdout.split()[-1])
    assert "mAP50 fell from" in page.read_text()
    story = Story.from_json(json.loads(page.with_name("line.json").read_bytes()))
    assert story.seen == 400 and 1 <= len(story.kept) <= 4, "one in a hundred at most"
    found = {one.arm: one for one in read_results(results)}
    assert set(found) == {BEFORE, SHIPPED, FULL}
    assert (found[BEFORE].frames, found[SHIPPED].frames, found[FULL].frames) == (0, len(story.kept), 150)
    assert found[SHIPPED].clicks >= len(story.kept) and found[BEFORE].clicks == found[FULL].clicks == 0
    assert story.shipped.startswith("release 2: ")
    assert {part.release for part in story.parts if part.phase == "the new release"} <= {1, 2}
    again = command(*words(results), home=tmp_path / "home", PREFECT_API_URL=prefect_api)
    assert "epoch 1 of" not in again.stderr and Path(again.stdout.split()[-1]).with_name("line.json").exists()
