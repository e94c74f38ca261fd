"""Further tiers in a recipe: what is otherwise for them, what is refused, and that nobody else's recipe changes."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from edgewright.device.offer import TIERS
from edgewright.errors import RecipeError
from edgewright.recipe import Recipe, resolve, to_yaml
from edgewright.recipe.tiers import FurtherTier

TWO = ["tiers.basic.train_detector.image_px=128", "tiers.basic.gate_model={max_p99_ms: 400, max_bytes: 900000}"]


def test_the_further_tiers_are_all_but_the_first() -> None:
    assert get_args(FurtherTier) == TIERS[1:]


def test_without_tiers_a_recipe_is_what_it_was() -> None:
    recipe = resolve("demo")
    assert (recipe.tiers_made, recipe.of_tier("full")) == (("full",), recipe)
    assert "tiers" not in recipe.model_dump(mode="json")
    assert "tiers" not in to_yaml(recipe)


def test_a_tier_is_the_run_with_some_fields_otherwise() -> None:
    recipe = resolve("demo", overrides=[*TWO, "train_detector.epochs=3"])
    basic = recipe.of_tier("basic")
    assert recipe.tiers_made == ("full", "basic")
    assert (basic.train_detector.image_px, basic.train_detector.epochs) == (128, 3)
    assert (basic.gate_model.max_p99_ms, basic.gate_model.max_bytes) == (400, 900_000)
    assert (basic.quantize, basic.compress, basic.ingest) == (recipe.quantize, recipe.compress, recipe.ingest)
    assert (
        recipe.of_tier("full").train_detector == resolve("demo", overrides=["train_detector.epochs=3"]).train_detector
    )


def test_tiers_stand_in_their_order_however_they_are_written() -> None:
    recipe = resolve("demo", overrides=["tiers={basic: {}, optimized: {}}"])
    assert recipe.tiers_made == TIERS
    assert recipe.of_tier("optimized").train_detector == recipe.train_detector


def test_a_file_and_overrides_stand_on_each_other_and_both_survive(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("preset: demo\ntiers:\n  basic:\n    train_detector: {image_px: 128, epochs: 4}\n")
    recipe = resolve(str(path), overrides=["tiers.basic.train_detector.epochs=5", "tiers.optimized.compress.share=0.5"])
    assert recipe.of_tier("basic").train_detector.image_px == 128
    assert recipe.of_tier("basic").train_detector.epochs == 5
    assert recipe.of_tier("optimized").compress.share == 0.5
    path.write_text(to_yaml(recipe))
    assert resolve(str(path)) == recipe
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tiers.full.train_detector.image_px=128", r"'tiers.full': Input should be 'optimized' or 'basic'"),
        ("tiers.basic.release.channel=beta", r"'tiers.basic.release': there is none of this name"),
        ("tiers.basic.train_detector.image_pxx=128", r"tiers.basic.train_detector.image_pxx: .*mean 'image_px'"),
        ("tiers.basic.train_detector.zzz=128", r"tiers.basic.train_detector.zzz: there is no field of this name \(in"),
        ("tiers.basic.train_detector.image_px=100", r"tiers.basic.train_detector.image_px: .*multiple of 32, got 100"),
        ("tiers.basic.train_detector.width=0.25", r"tiers.basic.train_detector: efficientdet-slim does not take width"),
        ("tiers.basic=small", r"'tiers.basic': Input should be a valid dictionary"),
    ],
)
def test_what_a_section_refuses_is_refused_by_the_tiers_name(override: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        resolve("demo", overrides=[override])
