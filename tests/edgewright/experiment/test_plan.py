"""Which runs there are, and what makes two of them the same."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgewright.errors import RecipeError
from edgewright.experiment.arms import ARMS, BASELINE, arm_named, arm_recipe
from edgewright.experiment.plan import (
    EfficiencyConfig,
    Run,
    check_overrides,
    check_recipe,
    detector_of,
    efficiency_config,
    run_key,
    runs_of,
    settings_digest,
    utility_of,
)
from edgewright.recipe import Recipe, resolve

RECIPE = Recipe()


def test_every_arm_at_every_n_draw_and_seed_once() -> None:
    config = EfficiencyConfig(labels=(10, 20), draws=(0, 1), seeds=(0, 5))
    runs = runs_of(config)
    arms_of_n = [arm for arm in ARMS.values() if not arm.everything]
    assert len(runs) == len(set(runs)) == len(arms_of_n) * 2 * 2 * 2 + 2  # all photographs: once a seed
    assert {run.labels for run in runs if run.arm == "all_real"} == {None}


def test_the_arms_differ_in_data_alone() -> None:
    kept = {
        "preset",
        "seed",
        "ingest",
        "generate",
        "train_labeler",
        "label",
        "gate_data",
        "measure_utility",
        "quantize",
    }
    for name in ARMS:
        changed = {
            section
            for section in Recipe.model_fields
            if getattr(arm_recipe(RECIPE, name), section) != getattr(RECIPE, section)
        }
        assert not changed & kept
        assert "train_detector" not in changed or name == "strong"  # classic augmentation is the detector's own


def test_every_detector_has_the_same_steps_and_chooses_nothing() -> None:
    detectors = [detector_of(arm_recipe(RECIPE, name), EfficiencyConfig(steps=123, epochs=3)) for name in ARMS]
    assert {(d.steps, d.epochs, d.keep, d.batch, d.image_px) for d in detectors} == {(123, 3, "last", 16, 192)}


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        (
            {"generate": {"images": 7}},
            {"real", "strong", "repeated", "pseudo", "all_real"},
        ),  # no matter where nothing is made
        ({"train_labeler": {"steps": 7}}, {"real", "strong", "repeated", "all_real"}),
        ({"train_detector": {"batch": 8}}, set()),
        ({"train_detector": {"synthetic_until": 0.5}}, {"real", "strong", "repeated", "all_real"}),
        ({"quantize": {"calibration_images": 8}}, set(ARMS)),  # what comes after the float detector
    ],
)
def test_a_setting_makes_new_runs_where_it_bears_on_the_result(changes: dict[str, Any], same: set[str]) -> None:
    config = EfficiencyConfig()
    section, values = next(iter(changes.items()))
    other = RECIPE.model_copy(update={section: getattr(RECIPE, section).model_copy(update=values)})
    equal = {name for name in ARMS if settings_digest(RECIPE, config, name) == settings_digest(other, config, name)}
    assert equal == same


def test_what_the_experiment_sets_itself_is_no_setting_of_the_recipe() -> None:
    config, own = EfficiencyConfig(), {"steps": 7, "epochs": 7, "real_share": 0.9, "keep": "best"}
    other = RECIPE.model_copy(update={"train_detector": RECIPE.train_detector.model_copy(update=own)})
    assert all(settings_digest(RECIPE, config, name) == settings_digest(other, config, name) for name in ARMS)
    for word in (f"train_detector.{name}={value}" for name, value in own.items()):
        with pytest.raises(RecipeError, match="itself"):
            check_overrides([word])
    check_overrides(["train_detector.batch=8", "generate.images=7"])


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"steps": 200}, set()),
        ({"real_share": 0.4}, {"real", "strong", "repeated", "all_real"}),
        ({"held_out_share": 0.4}, {"real", "strong", "repeated", "all_real"}),
        ({"draws": (7,)}, set(ARMS)),
    ],
)
def test_a_field_of_the_experiment_makes_new_runs_where_it_bears_on_the_result(
    changes: dict[str, Any], same: set[str]
) -> None:
    other = EfficiencyConfig(**changes)
    digests = {name: settings_digest(RECIPE, EfficiencyConfig(), name) for name in ARMS}
    assert {name for name in ARMS if digests[name] == settings_digest(RECIPE, other, name)} == same


@pytest.mark.parametrize(
    ("labels", "arms", "pool", "refused"),
    [
        ((25, 50), ("real", "gan"), 50, ""),
        ((25, 50), ("real",), 49, "fewer labeled"),
        ((8,), ("real", "gan"), 50, "labeler"),  # two of the eight are the gate's
        ((8,), ("real", "strong", "repeated"), 50, ""),
        ((8,), ("real", "unchecked"), 50, ""),  # nobody looks
    ],
)
def test_a_run_that_cannot_be_made_is_refused_before_the_first_one(
    labels: tuple[int, ...], arms: tuple[str, ...], pool: int, refused: str
) -> None:
    config = EfficiencyConfig(labels=labels, arms=arms)
    if refused:
        with pytest.raises(RecipeError, match=refused):
            check_recipe(RECIPE, config, pool=pool)
    else:
        check_recipe(RECIPE, config, pool=pool)


def test_other_bytes_of_a_named_file_make_new_runs_where_it_is_used() -> None:
    config = EfficiencyConfig()

    def digests(**files: str) -> dict[str, str]:
        external = {section: {"file": digest} for section, digest in files.items()}
        return {name: settings_digest(RECIPE, config, name, external=external) for name in ARMS}

    plain, weights, teacher = digests(), digests(train_detector="a"), digests(train_labeler="a")
    assert not [
        name for name in ARMS if plain[name] == weights[name] or weights[name] == digests(train_detector="b")[name]
    ]
    assert {name for name in ARMS if plain[name] == teacher[name]} == {"real", "strong", "repeated", "all_real"}


def test_a_run_is_recognized_by_all_that_it_is() -> None:
    run = Run("gan", 25, 0, 0)
    keys = {
        run_key(run, dataset="d", settings="s"),
        run_key(run, dataset="e", settings="s"),
        run_key(run, dataset="d", settings="t"),
        run_key(Run("gan", 25, 1, 0), dataset="d", settings="s"),
        run_key(Run("gan", 50, 0, 0), dataset="d", settings="s"),
        run_key(Run("real", 25, 0, 0), dataset="d", settings="s"),
    }
    assert len(keys) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"arms": ("real", "magic")},
        {"arms": ("gan",)},  # nothing to compare with
        {"labels": (4,)},  # too few to learn anything
        {"labels": ()},
        {"steps": 0},
        {"steps": 410},  # twenty epochs of 20 steps would be 400
        {"draws": (0, 0)},
        {"held_out_share": 0.9},  # every k-th: at most every second
        {"draws": (-1,)},
        {"seeds": ()},
    ],
)
def test_a_plan_without_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EfficiencyConfig(**wrong)


def test_words_of_the_command_line() -> None:
    config = efficiency_config(labels="10, 20", draws="0", seeds="1,2", arms="real,gan", steps=40)
    assert (config.labels, config.draws, config.seeds, config.arms) == ((10, 20), (0,), (1, 2), ("real", "gan"))
    assert efficiency_config(labels="10", draws="0", seeds="0", arms="", steps=40).arms == tuple(ARMS)
    for wrong in ({"labels": "ten"}, {"arms": "gan"}, {"labels": "3"}, {"draws": ""}, {"real_share": 2}):
        with pytest.raises(RecipeError):
            efficiency_config(**{"labels": "10", "draws": "0", "seeds": "0", "arms": "", "steps": 40, **wrong})


def test_an_unknown_arm_is_named() -> None:
    with pytest.raises(RecipeError, match="magic"):
        arm_named("magic")
    assert arm_named(BASELINE).extra == "none"


def test_the_gate_measures_usefulness_itself_where_it_decides_by_that_alone() -> None:
    deciding = ["gate_data.rule=utility", "measure_utility.pairs=1"]
    by_use, longer = (
        resolve("laptop", overrides=deciding),
        resolve("laptop", overrides=[*deciding, "measure_utility.steps=800"]),
    )
    assert utility_of(RECIPE, "gan").pairs == utility_of(resolve("laptop", overrides=deciding[1:]), "gan").pairs == 0
    assert utility_of(by_use, "gan") == by_use.utility
    config, judged = EfficiencyConfig(), {"compositor", "gan", "diffusion"}  # the others are gated for nobody

    def changed(other: Recipe, **given: dict[str, dict[str, str]]) -> set[str]:
        return {
            name
            for name in ARMS
            if settings_digest(by_use, config, name) != settings_digest(other, config, name, **given)
        }

    assert changed(longer) == judged
    assert changed(by_use, external={"measure_utility": {"detector.model": "other bytes"}}) == judged
    detector = by_use.train_detector.model_copy(update={"epochs": 7, "steps": 70, "keep": "best"})
    assert changed(by_use.model_copy(update={"train_detector": detector})) == set()  # set by the experiment


def test_an_epoch_too_short_to_repeat_photographs_is_refused() -> None:
    config = EfficiencyConfig(labels=(64,), arms=("real", "repeated"))
    check_recipe(RECIPE, config, pool=99)  # 20 batches of 16
    with pytest.raises(RecipeError, match="an epoch is too short"):
        check_recipe(RECIPE, config.model_copy(update={"labels": (65,)}), pool=99)
    check_recipe(RECIPE, config.model_copy(update={"labels": (65,), "arms": ("real",)}), pool=99)
