"""The script that runs alone on a GPU machine: with torch and numpy and nothing else, at toy size on this one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_generation.py"
TRAINED = ("gan", "diffusion", "gan scene", "diffusion scene")
ALONE = """
import runpy, sys

HIDDEN = set(sys.argv[2].split())

class Bare:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else self.finder.find_spec(name, path, target)

sys.meta_path = [Bare(finder) for finder in sys.meta_path]
sys.argv = [sys.argv[1], "--quick", "--json"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
HIDDEN = (
    "PIL boto3 cv2 diffusers mlflow onnx onnxruntime pandas prefect pyarrow pydantic safetensors scipy torchvision "
    "transformers ultralytics yaml"
)


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(SCRIPT), HIDDEN], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_generation", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_generation"] = module
    spec.loader.exec_module(module)
    return module


def test_it_needs_torch_and_numpy_alone_and_prints_every_line(lines: list[dict[str, Any]]) -> None:
    found = [(line["what"], line["model"]) for line in lines[1:]]
    assert found == [
        *((what, model) for model in ("gan", "diffusion") for what in ("sample", "check", "write")),
        ("labeler", "labeler"),
        *((what, model) for model in TRAINED for what in ("train", "train, less")),
    ]


@pytest.mark.trains
def test_rates_stand_next_to_the_floor_of_their_arithmetic(lines: list[dict[str, Any]]) -> None:
    tflops = lines[0]["matmul_tflops"]
    assert tflops > 0
    for line in lines[1:]:
        assert line["per_s"] > 0
        assert line["planned_floor_per_s"] == pytest.approx(40_000 / line["gflop"])
        assert line["floor_per_s"] == pytest.approx(tflops * 1000 / line["gflop"], rel=0.01)
    work = {(line["what"], line["model"]): line["gflop"] for line in lines[1:]}
    assert work["check", "gan"] == pytest.approx(work["sample", "gan"] + work["labeler", "labeler"])


@pytest.mark.trains
def test_gradient_checkpointing_takes_less_memory(lines: list[dict[str, Any]]) -> None:
    peak = {(line["what"], line["model"]): line["peak_mb"] for line in lines[1:]}
    for model in TRAINED:  # a GAN's peak is in its penalties, whose second derivatives hold what was recomputed
        most = 0.97 if model.startswith("gan") else 0.85
        assert peak["train, less", model] < most * peak["train", model], model


def test_boxes_are_those_of_what_is_opaque(script: ModuleType) -> None:
    pixels = torch.zeros(3, 16, 16, 4, dtype=torch.uint8)
    pixels[0, 2:9, 3:12, 3] = 255
    pixels[1, 0, 15, 3] = 128
    assert script.boxes_of(pixels).tolist() == [[3, 2, 12, 9], [15, 0, 16, 1], [0, 0, 0, 0]]


def test_the_arithmetic_of_the_networks_stays_within_its_budget(script: ModuleType) -> None:
    shape, ids = script.NetShape(64, 32, 64, 3), torch.zeros(1, dtype=torch.long)
    unet, gan = script.FlowNet(shape), script.Generator(shape)
    assert script.gflop(lambda: unet(torch.randn(1, 4, 64, 64), torch.rand(1), ids)) < 0.3
    assert script.gflop(lambda: gan(torch.randn(1, 64), ids)) < 0.15
