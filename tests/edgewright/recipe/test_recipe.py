"""Recipes: presets, overrides, refusals, and that no field is without a reader."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.errors import RecipeError
from edgewright.recipe import PRESET_NAMES, PRESETS, Recipe, resolve, to_yaml


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_every_preset_is_a_valid_recipe(preset: str) -> None:
    recipe = resolve(preset)
    assert recipe.preset == preset
    column = PRESET_NAMES.index(preset)
    for path, row in PRESETS.items():
        section, field = path.split(".")
        assert getattr(getattr(recipe, section), field) == row[column], path


def test_a_recipe_survives_json() -> None:
    recipe = resolve("laptop", overrides=["seed=7", "ingest.classes=[a, b]"])
    assert Recipe.model_validate(json.loads(recipe.model_dump_json())) == recipe


def test_a_file_stands_on_its_preset_and_overrides_stand_on_both(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("preset: demo\ntrain_detector:\n  epochs: 5\n")
    recipe = resolve(str(path), overrides=["generate.images=9"])
    assert (recipe.train_detector.epochs, recipe.generate.images, recipe.train_detector.image_px) == (5, 9, 192)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train_detector:\n  epoch: 5\n", "train_detector.epoch"),  # a misspelt field
        ("train_detector:\n  epochs: many\n", "train_detector.epochs"),  # a wrong type
        ("train_detector:\n  epochs: 0\n", "train_detector.epochs"),  # out of range
        ("preset: huge\n", "unknown preset"),
        ("- a\n- b\n", "not a recipe"),  # another shape
        ("a: &a [x]\nb: *a\n", "aliases"),  # a YAML bomb needs aliases
        ("a: [\n", "not YAML"),
        ("x: " + "y" * 70_000, "too large"),
    ],
)
def test_a_bad_file_is_refused_by_what_is_wrong_with_it(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=said):
        resolve(str(path))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["label.keep_iou=0.4", "label.drop_iou=0.5"], "drop_iou must be at most keep_iou"),
        (["train_labeler.mask_from_box=sam"], "sam needs a weights file"),
        (["train_generator.level=scene", "generate.image_px=64"], "scene_px .192. and generate.image_px .64."),
        (["gate_data.rule=utility"], "measure_utility.pairs must be at least 1, got 0"),
        (["gate_data.require_utility=true", "measure_utility.folds=2"], "greater than or equal to 3"),
        (["train_detector.width=0.25"], "efficientdet-slim does not take width: leave it at 0.1875, got 0.25"),
        (["train_detector.model=yolo11n", "train_detector.width=0.25"], "yolo11n does not take width"),
        (["train_detector.optimizer=SGD"], "efficientdet-slim does not take optimizer"),
        (["train_detector.model=edgewright-slim", "train_detector.devices=2"], "edgewright-slim does not take devices"),
        (["train_detector.model=yolo11n", "train_detector.frozen_share=0.1"], "yolo11n does not take frozen_share"),
        (
            ["train_detector.model=yolo11n", "quantize.feature=true"],
            "efficientdet- alone gives one, got train_detector.model=yolo11n",
        ),
        (
            ["quantize.feature=true", "tiers={basic: {train_detector: {model: edgewright-slim}}}"],
            "efficientdet- alone gives one, got train_detector.model=edgewright-slim",
        ),
        (["quantize.feature=true"], ""),
        (["train_detector.devices=3"], "3 devices need batch=9, got 8"),
        (["train_detector.model=edgewright-slim", "train_detector.width=0.25", "train_detector.optimizer=SGD"], ""),
        (["train_detector.devices=2"], ""),
        (["gate_data.rule=utility", "measure_utility.pairs=1"], ""),
        (["label.keep_iou=0.4", "label.drop_iou=0.4"], ""),
        (["train_generator.level=scene"], ""),
        (["generate.image_px=64"], ""),
        (["train_labeler.mask_from_box=sam", "train_labeler.sam_weights=sam_b.pt"], ""),
    ],
)
def test_fields_that_contradict_each_other_are_refused(overrides: list[str], said: str) -> None:
    if not said:
        assert resolve("demo", overrides=overrides)
        return
    with pytest.raises(RecipeError, match=said):
        resolve("demo", overrides=overrides)


@pytest.mark.parametrize("override", ["epochs", "a.b.c=1", "train_detector.epochs=none", "nothing.here=1"])
def test_a_bad_override_is_refused(override: str) -> None:
    with pytest.raises(RecipeError):
        resolve("demo", overrides=[override])


@pytest.mark.parametrize(
    ("name", "overrides", "meant"),
    [
        ("lapptop", [], "'laptop'"),  # a preset
        ("demo", ["train_detectr.epochs=3"], "'train_detector'"),  # a section
        ("demo", ["train_detector.epoch=3"], "'epochs'"),  # a field
        ("demo", ["measure_utility.detector={epoch: 3}"], "'epochs'"),  # a field of a part of a section
        ("demo", ["gate_data.rule=utilty"], "'utility'"),  # a value
        ("demo", ["mosaic=1"], "train_detector.mosaic"),  # a field without its section
        ("demo", ["ingest.golden_images=2"], "release.golden_images"),  # in another section
        ("demo", ["preset=latop"], "'laptop'"),
        ("demo", ["tiers.basic.train_detectr.epochs=3"], "'train_detector'"),  # a section of a tier
    ],
)
def test_what_was_probably_meant_is_said(name: str, overrides: list[str], meant: str) -> None:
    with pytest.raises(RecipeError) as refused:
        resolve(name, overrides=overrides)
    assert str(refused.value).endswith(f"Next: did you mean {meant}?")


def test_what_nothing_is_near_to_is_met_by_the_list() -> None:
    with pytest.raises(RecipeError, match=r"demo, laptop.*got zzz\)$"):
        resolve("zzz")
    with pytest.raises(RecipeError, match=r"expected compress, flash, .*got 'zzz'.*--dry-run` prints every field"):
        resolve("demo", overrides=["zzz=1"])


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["on", "1e3", "~", "*a", "a: b"]
)
OTHERS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**40),
        "train_detector.learning_rate": st.floats(1e-300, 1e300),
        "train_detector.steps": st.none() | st.integers(1, 10),
        "ingest.classes": st.lists(WORDS, max_size=3),
        "ingest.group_pattern": WORDS,
    }
)


@given(preset=st.sampled_from(PRESET_NAMES), values=OTHERS)
def test_a_recipe_survives_its_file(
    preset: str, values: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "mine.yaml"
    recipe = resolve(preset, overrides=[f"{name}={json.dumps(value)}" for name, value in values.items()])
    path.write_text(to_yaml(recipe))
    assert resolve(str(path)) == recipe


def test_every_field_has_a_reader() -> None:
    """A field that no code names changes nothing. That each one changes the *result* is for its room's tests."""
    root = Path(__file__).parents[3]
    files = [path for folder in ("edgewright", "tasks", "flows") for path in (root / folder).rglob("*.py")]
    code = "\n".join(path.read_text() for path in files if path.parent.name != "recipe")
    sections = {name: field.annotation for name, field in Recipe.model_fields.items()}
    fields = [f"{section}.{name}" for section, kind in sections.items() for name in getattr(kind, "model_fields", {})]
    assert len(fields) > 50
    assert [path for path in fields if not re.search(rf"\b{path.split('.')[1]}\b", code)] == []
