"""Who is tried for a budget, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from edgewright.budget.plan import (
    FAMILIES,
    BudgetConfig,
    budget_config,
    candidates_of,
    compression_for,
    detector_for,
    rungs_of,
)
from edgewright.errors import RecipeError
from edgewright.recipe.compress import CompressConfig
from edgewright.recipe.detect import TrainDetectorConfig


def test_every_family_and_width_and_the_widest_with_fewer_channels() -> None:
    found = candidates_of(BudgetConfig(image_px=(192, 256)), image_px=320)
    titles = [one.title for one in found]
    assert len(set(titles)) == len(titles) == 2 * (1 + 2 + 2 + 2 + 2 * len(FAMILIES))
    assert {one.image_px for one in found} == {192, 256}
    assert "edgewright-slim 0.1875, 256 px, 30% cut" in titles
    assert "edgewright-slim 0.125, 256 px, 30% cut" not in titles
    assert {one.image_px for one in candidates_of(BudgetConfig(), image_px=320)} == {320}


def test_a_rung_is_a_whole_part_of_the_steps_and_of_the_epochs() -> None:
    rungs = rungs_of(BudgetConfig(steps=400, epochs=16, rungs=3))
    assert [(rung.steps, rung.epochs) for rung in rungs] == [(100, 4), (200, 8), (400, 16)]


@pytest.mark.parametrize("model", ["efficientdet-slim", "edgewright-slim"])
def test_a_candidate_is_trained_as_the_recipe_says_but_for_what_its_network_does_not_take(model: str) -> None:
    own = {"backbone_rate": 0.1} if model == "efficientdet-slim" else {"width": 0.25, "optimizer": "SGD"}
    base = TrainDetectorConfig(model=model, init="weights.safetensors", mosaic=0.3, **own)
    for candidate in candidates_of(BudgetConfig(), image_px=192):
        found = detector_for(candidate, base, rungs_of(BudgetConfig())[0])
        assert (found.model, found.image_px, found.mosaic, found.steps) == (candidate.model, 192, 0.3, 100)
        assert found.width == (candidate.width or TrainDetectorConfig().width)
        assert found.init == ("weights.safetensors" if candidate.model == model else "auto")


def test_what_is_cut_learns_again_for_half_its_rung() -> None:
    whole, cut = candidates_of(BudgetConfig(families=("efficientdet",), shares=(0.4,)), image_px=192)
    rung = rungs_of(BudgetConfig())[-1]
    assert not compression_for(whole, CompressConfig(method="unstructured"), rung).wanted
    found = compression_for(cut, CompressConfig(teacher_weight=2.0), rung)
    assert found == CompressConfig(method="channels", share=0.4, steps=200, epochs=8, teacher_weight=2.0)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"max_bytes": 0}, "max_bytes"),
        ({"max_latency_ms": 0}, "max_latency_ms"),
        ({"max_drop": -1}, "max_drop"),
        ({"families": ("yolo9000",)}, "yolo9000"),
        ({"families": ()}, "none"),
        ({"shares": (1.0,)}, "shares"),
        ({"steps": 100, "epochs": 8}, "must divide"),
        ({"steps": 100, "epochs": 10, "rungs": 4}, "must divide"),
        ({"image_px": ("wide",)}, "image_px"),
        ({"image_px": (200,)}, "image_px"),
        ({"image_px": (192, 192)}, "each once"),
        ({"shares": (0.3, 0.3)}, "each once"),
    ],
)
def test_a_budget_that_cannot_be_is_a_sentence(values: dict[str, Any], named: str) -> None:
    with pytest.raises(RecipeError, match=named):
        budget_config(**values)
