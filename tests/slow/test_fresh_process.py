"""Every stage's `.flow` in a process of its own, with only JSON references and an S3 store.

Nothing but references may travel: a local path, a live object or a global that a stage relied on would fail here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgewright.recipe import Recipe, resolve

pytestmark = pytest.mark.slow

_CALL = """
import json, sys
from edgewright.settings import configure_libraries, read_settings
configure_libraries(read_settings())
from importlib import import_module
from edgewright.recipe import Recipe
name, config, inputs, link = json.loads(sys.stdin.read())
stage = getattr(import_module(f"tasks.{name}"), name)
answer = stage.flow(config, **inputs, link=link)
print("ANSWER " + json.dumps(answer))
"""

EDGES: dict[str, dict[str, str]] = {
    "train_generator": {"dataset": "ingest"},
    "generate": {"generator": "train_generator", "dataset": "ingest"},
    "train_labeler": {"dataset": "ingest"},
    "label": {"labeler": "train_labeler", "dataset": "generate", "photographs": "ingest"},
    "measure_utility": {"real": "ingest", "synthetic": "label"},
    "gate_data": {"real": "ingest", "synthetic": "label", "utility": "measure_utility"},
    "train_detector": {"dataset": "gate_data"},
    "compress": {"detector": "train_detector", "dataset": "gate_data"},
    "quantize": {"detector": "compress", "dataset": "ingest"},
    "gate_model": {"model": "quantize", "detector": "compress", "dataset": "ingest"},
    "release": {"model": "quantize", "verdict": "gate_model", "training": "gate_data"},
    "flash": {"released": "release", "dataset": "ingest"},
}


def call(name: str, recipe: Recipe, inputs: dict[str, Any], *, home: Path, environment: dict[str, str]) -> Any:
    """Run one stage's flow in a fresh interpreter; its answer, a JSON reference."""
    config = getattr(recipe, name).model_dump(mode="json")
    question = json.dumps([name, config, inputs, {"project": "fresh", "seed": 0}])
    result = subprocess.run(
        [sys.executable, "-c", _CALL],
        input=question,
        env={**os.environ, **environment, "EDGEWRIGHT_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    answers = [line for line in result.stdout.splitlines() if line.startswith("ANSWER ")]
    if result.returncode or not answers:
        pytest.fail(f"{name} failed in a fresh process:\n{result.stderr[-3000:]}")
    return json.loads(answers[-1].removeprefix("ANSWER "))


def test_stages_need_nothing_but_references(
    s3_environment: dict[str, str], s3_bucket: str, prefect_api: str, brief_settings: list[str], tmp_path: Path
) -> None:
    from flows.lifecycle import STAGES

    assert {"ingest", *EDGES} == {stage.name for stage in STAGES}, "a stage is missing in this test"
    recipe = resolve("demo", overrides=[word for word in brief_settings if word != "--set"])
    environment = {**s3_environment, "EDGEWRIGHT_STORE": f"s3://{s3_bucket}/store", "PREFECT_API_URL": prefect_api}
    refs = {
        "ingest": call("ingest", recipe, {"source": "simulated"}, home=tmp_path / "ingest", environment=environment)
    }
    for name, edges in EDGES.items():
        # Each stage has a home of its own, but for release and flash, which meet at the repository of one gateway.
        home = tmp_path / ("gateway" if name in ("release", "flash") else name)
        inputs = {argument: refs[stage] for argument, stage in edges.items()}
        if name == "gate_model":
            inputs["champion"] = {}  # as a deployment's form has it: none yet
        refs[name] = call(name, recipe, inputs, home=home, environment=environment)
    assert all(ref["uri"].startswith(f"s3://{s3_bucket}/store/artifacts/") for ref in refs.values())
