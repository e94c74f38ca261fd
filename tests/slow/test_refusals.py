"""What a run does when a gate says no: the planted copier, a person who is asked, a model that is too large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgewright.artifacts import ArtifactRef, open_store
from edgewright.data.dataset import Dataset

pytestmark = pytest.mark.slow

# A labeler of the toy's size would leave most copies out, and the gate's copy test has to see them.
COPIER = ("--set", "train_generator.method=copier", "--set", "label.max_bad_share=1")


@pytest.fixture(scope="module")
def home(toy_run: Any, tmp_path_factory: pytest.TempPathFactory, share_store: Any) -> Path:
    """One home for these tests, whose store knows the toy run: photographs and labeler are those of it."""
    return share_store(toy_run.store, tmp_path_factory.mktemp("refusals"))  # type: ignore[no-any-return]


def test_with_a_copier_the_run_ends_with_a_detector_of_real_images_and_says_so_first(
    toy_settings: list[str], home: Path, command: Any
) -> None:
    done = json.loads(command("run", "demo", *toy_settings, *COPIER, "--json", home=home).stdout)
    gate = next(gate for gate in done["gates"] if gate["name"] == "gate_data")
    assert (gate["verdict"], gate["decision"]) == ("refuse", "real_only")
    assert any("cop" in reason for reason in gate["reasons"])
    assert done["device"]["version"] == 1
    page = Path(done["report"]).read_text()
    body = page[page.lower().index("<body") :]
    assert body.index("Trained on real photographs only") < body.index("INT8 detector")
    training = json.loads((home / "runs" / done["run_id"] / "run.json").read_bytes())["refs"]["gate_data"]
    dataset = Dataset.open(open_store(str(home / "store")), ArtifactRef.from_json(training))
    assert dataset.select(origin="synthetic") == []


def test_a_refusal_may_end_the_run_or_ask_a_person(toy_settings: list[str], home: Path, command: Any) -> None:
    short = ("--set", "train_detector.epochs=1")  # what is asked is whether it goes on
    words = ["run", "demo", *toy_settings, *COPIER, *short, "--until", "train_detector", "--json"]
    ended = command(*words, "--set", "gate_data.on_refuse=fail", home=home, check=False)
    assert ended.returncode == 3
    assert json.loads(ended.stdout)["error"]["kind"] == "GateEnded"

    waiting = command(*words, "--set", "gate_data.on_refuse=ask", home=home, check=False)
    assert waiting.returncode == 4
    run_id = json.loads(waiting.stdout)["run_id"]
    assert run_id in waiting.stderr
    command("decide", run_id, "real_only", "--why", "a test", home=home)
    state = json.loads((home / "runs" / run_id / "run.json").read_bytes())
    assert state["status"] == "finished"
    assert state["decisions"]["gate_data"]["why"] == "a test"
    assert "train_detector" in state["refs"]
    again = command("decide", run_id, "end", "--why", "too late", home=home, check=False)
    assert again.returncode == 2


def test_a_refused_model_is_not_released(toy_settings: list[str], toy_home: Path, command: Any) -> None:
    words = ["run", "demo", *toy_settings, "--set", "gate_model.max_bytes=1000", "--json"]
    refused = command(*words, home=toy_home, check=False)
    assert refused.returncode == 3
    printed = json.loads(refused.stdout)
    assert [stage["name"] for stage in printed["stages"] if not stage["cached"]] == ["gate_model"]
    assert printed["error"]["kind"] == "GateEnded"
    assert printed["release"] is None
    assert Path(printed["report"]).is_file()
    assert not (toy_home / "releases").exists()
