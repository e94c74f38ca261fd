"""The simulated parts cannot be told apart by color thresholds: a detector that scores has learned shapes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from edgewright.detect.evaluate import Sample, evaluate
from edgewright.simulate.camera import CLASSES, SimulatedCamera

MAX_MAP50 = 0.35


def load_baseline() -> ModuleType:
    place = Path(__file__).with_name("color_threshold.py")
    spec = importlib.util.spec_from_file_location("color_threshold", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules["color_threshold"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_baseline_finds_something_but_not_much() -> None:
    camera = SimulatedCamera(seed=0)
    samples = [Sample(photograph.image, photograph.boxes) for photograph in map(camera.photograph, range(70))]
    predict = load_baseline().fit_color_threshold(samples[:40], classes=CLASSES)
    score = evaluate(predict, samples[40:], classes=CLASSES).map50
    assert 0.05 < score <= MAX_MAP50
