"""A folder that people have labeled in part, by the command a person types: the rest is labeled and trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgewright.artifacts import ArtifactRef, open_store
from edgewright.data.dataset import Dataset
from edgewright.simulate.source import write_source

pytestmark = pytest.mark.slow

WORDS = (
    "train_generator.method=compositor",
    "generate.images=12",
    "generate.image_px=96",
    "train_labeler.steps=60",
    "train_labeler.image_px=96",
    "train_labeler.folds=1",
    "label.pseudo_precision=0.05",
    "label.pseudo_min_found=1",
    "gate_data.bootstraps=20",
)


def test_pseudo_labels_reach_the_training_set_whatever_the_gate_says(tmp_path: Path, command: Any) -> None:
    photographs = tmp_path / "photographs"
    write_source(photographs, n=40, seed=0, on_progress=lambda *_: None)
    for path in sorted((photographs / "labels").iterdir())[1::2]:
        path.unlink()
    settings = [word for setting in WORDS for word in ("--set", setting)]
    words = ("run", "laptop", "--source", str(photographs), *settings, "--until", "gate_data", "--json")
    done = json.loads(command(*words, home=tmp_path / "home").stdout)
    refs = json.loads((tmp_path / "home" / "runs" / done["run_id"] / "run.json").read_bytes())["refs"]
    store = open_store(str(tmp_path / "home" / "store"))
    real, training = (Dataset.open(store, ArtifactRef.from_json(refs[name])) for name in ("ingest", "gate_data"))
    unlabeled = {row.id for row in real.select(split="train") if row.state == "unlabeled"}
    pseudo = [row for row in training.select(split="train", labeled=True) if row.state == "model"]
    assert unlabeled
    assert pseudo
    assert {row.id for row in pseudo} <= unlabeled
    assert not [row for row in training.usable if row.state == "model" and row.split != "train"]
    assert "photographs that the labeler labeled" in Path(done["report"]).read_text()
