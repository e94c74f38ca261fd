from __future__ import annotations

import pytest

from edgewright.errors import RecipeError
from edgewright.recipe import resolve
from edgewright.rehearsal.plan import (
    ARMS,
    BEFORE,
    FULL,
    SHIPPED,
    RehearsalConfig,
    recipe_for,
    rehearsal_config,
    seeds_in,
)


def test_one_frame_in_a_hundred_comes_home() -> None:
    assert RehearsalConfig(frames=2400).kept == 24
    assert RehearsalConfig(frames=2400, keep_share=0.005).kept == 12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"arms": "before,hard"}, "name full too"),
        ({"arms": "before,hard,full,hope"}, "no such arm: hope"),
        ({"shift": "fog"}, "shift"),
        ({"frames": 300}, "3 frames would be kept, at least 4"),
        ({"steps": 10, "epochs": 4}, "the epochs must divide the steps"),
        ({"keep_share": 0.02}, "keep_share"),
        ({"devices": 1}, "devices"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(words: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        rehearsal_config(**{"shift": "night", "arms": "", **words})  # type: ignore[arg-type]


def test_arms_stand_in_the_order_of_their_table() -> None:
    config = rehearsal_config(shift="night", arms="full, hard ,before")
    assert [arm.name for arm in config.chosen] == [BEFORE, SHIPPED, FULL]
    assert rehearsal_config(shift="night", arms="").chosen == tuple(ARMS.values())


@pytest.mark.parametrize("words", ["", "a", "1,1", "-1", "0,"])
def test_seeds_that_are_none_are_refused(words: str) -> None:
    with pytest.raises(RecipeError, match="not seeds"):
        seeds_in(words)


def test_every_arm_takes_equal_steps_and_frames_steer_its_pictures() -> None:
    recipe, config = resolve("demo"), RehearsalConfig(steps=120, epochs=4)
    told = {name: recipe_for(recipe, config, arm) for name, arm in ARMS.items()}
    detectors = {one.train_detector for one in told.values()}
    assert len(detectors) == 1
    (detector,) = detectors
    assert (detector.steps, detector.epochs, detector.keep) == (120, 4, "last")
    assert (told[BEFORE].generate.hard_share, told[SHIPPED].generate.hard_share) == (0.0, config.hard_share)
    assert told[BEFORE].release.roll_out and not told[SHIPPED].release.roll_out


def test_a_rehearsal_without_pictures_is_refused() -> None:
    recipe = resolve("demo", overrides=["generate.images=0"])
    with pytest.raises(RecipeError, match=r"compares with synthesis"):
        recipe_for(recipe, RehearsalConfig(), ARMS[BEFORE])
