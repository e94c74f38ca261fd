"""The keys of the real stages: what stands in them, what does not, and what they cost."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from edgewright.artifacts import ArtifactRef, LocalStore
from edgewright.recipe.data import IngestConfig
from edgewright.recipe.gates import GateDataConfig
from edgewright.recipe.section import Section
from edgewright.recipe.synth import TrainGeneratorConfig
from flows.lifecycle import STAGES
from tasks.engine import fingerprint as fingerprint_module
from tasks.engine.fingerprint import NUMERIC, fingerprint, reached
from tasks.engine.session import Session
from tasks.engine.stage import Stage
from tasks.gate_data import gate_data
from tasks.ingest import ingest
from tasks.quantize import quantize
from tasks.train_detector import train_detector
from tasks.train_generator import train_generator

ROOT = Path(__file__).parents[3]
CODE_OF = {
    "ingest": "edgewright.data.splits:SplitLedger",
    "train_generator": "edgewright.synth.networks.train_gan:",
    "generate": "edgewright.synth.compositor:",
    "train_labeler": "edgewright.label.network.net:",
    "label": "edgewright.label.trust.agreement:",
    "measure_utility": "edgewright.detect.yolo.trainer:Trainer",
    "gate_data": "edgewright.gates.measure.metrics:",
    "train_detector": "edgewright.detect.yolo.trainer:Trainer",
    "compress": "edgewright.compress.sparsify:",
    "quantize": "edgewright.compress.calibrate:",
    "gate_model": "edgewright.detect.evaluate:evaluate",
    "release": "edgewright.release.bundle:build_bundle",
    "flash": "edgewright.device.runner:",
}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_key_holds_the_code_that_computes_the_result(stage: object) -> None:
    name = stage.name
    assert any(found.startswith(CODE_OF[name]) and text for found, text in reached(stage.fn).definitions.items())


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_key_holds_nothing_that_only_carries_or_shows(stage: object) -> None:
    definitions = reached(stage.fn).definitions
    modules = {name.partition(":")[0] for name, text in definitions.items() if text}
    assert not any(module.startswith(fingerprint_module._TELLS) for module in modules)
    sections = [text for name, text in definitions.items() if name.startswith("edgewright.recipe.")]
    assert not any("description=" in text for text in sections)


STAGES_AT_WORK: tuple[tuple[Stage[...], Section, Callable[[ArtifactRef], dict[str, Any]]], ...] = (
    (ingest, IngestConfig(photographs=24), lambda _: {"source": "simulated"}),
    (train_generator, TrainGeneratorConfig(steps=1, batch=4, width=8), lambda real: {"dataset": real}),
)


@pytest.mark.parametrize(("stage", "config", "inputs"), STAGES_AT_WORK, ids=lambda one: getattr(one, "name", ""))
def test_whatever_runs_stands_in_the_key(
    stage: Stage[...],
    config: Section,
    inputs: Callable[[ArtifactRef], dict[str, Any]],
    publish_photographs: Callable[[LocalStore, Sequence[int]], ArtifactRef],
    tmp_path: Path,
    open_session: Callable[[LocalStore], Session],
) -> None:
    """Of this toy work, but for what only carries, shows or tells: every function that is called is in the reach."""
    store = LocalStore(tmp_path / "store")
    real = publish_photographs(store, range(15))
    called: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code  # neither a module or class's body nor what dataclasses write for themselves
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED and code.co_filename.endswith(".py"):
            called.add((frame.f_globals.get("__name__", ""), code.co_qualname.partition(".")[0]))

    sys.setprofile(note)
    try:
        stage.execute(config, inputs(real), session=open_session(store), key="0" * 24)
    finally:
        sys.setprofile(None)
    left_out = (*fingerprint_module._TELLS, "edgewright.settings", "edgewright.recipe.section")
    known = {name.removesuffix("()") for name in reached(stage.fn).definitions}
    ours = {(m, n) for m, n in called if m.startswith(("edgewright.", "tasks.")) and not m.startswith(left_out)}
    assert len(ours) > 20
    assert {f"{module}:{name}" for module, name in ours if name.isidentifier()} <= known


def test_a_key_does_not_hold_other_sections() -> None:
    held = {name for name in reached(quantize.fn).definitions if "Config" in name}
    assert held == {"edgewright.recipe.compress:QuantizeConfig()"}


def test_libraries_are_those_that_the_stage_uses() -> None:
    assert {"torch", "ultralytics", "torchvision"} <= set(fingerprint(train_detector.fn).libraries)
    assert "onnxruntime" in fingerprint(quantize.fn).libraries
    assert "onnx" not in fingerprint(train_generator.fn).libraries


def test_an_extra_counts_where_the_recipe_calls_it_in() -> None:
    known = {name for names in NUMERIC.values() for name in names}
    for stage in STAGES:
        assert set(fingerprint(stage.fn).libraries) <= known
    asked = TrainGeneratorConfig(method="diffusers", pipeline="folder")
    assert {"diffusers", "transformers"} <= set(train_generator.fingerprint(asked).libraries)
    assert "torch-fidelity" in gate_data.fingerprint(GateDataConfig(features="inception")).libraries


def test_an_absent_library_is_left_out() -> None:
    assert "no-such-library" not in fingerprint(quantize.fn, extras=["no-such-library"]).libraries


def test_a_key_loads_nothing_heavy_and_not_what_it_reads() -> None:
    code = (
        "import sys\nfrom flows.lifecycle import STAGES\nfrom tasks.engine.fingerprint import fingerprint\n"
        "before = set(sys.modules)\nfor stage in STAGES: fingerprint(stage.fn)\n"
        "print(*(set(sys.modules) - before), sep='\\n')\nprint('torch' in sys.modules, 'ultralytics' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    *loaded, heavy = done.stdout.split("\n")[:-1]
    assert heavy == "False False"
    assert not [name for name in loaded if name.startswith("edgewright.")]
