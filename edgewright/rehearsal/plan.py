"""What a rehearsal of drift consists of: which change, how many frames are seen and kept, which arms are compared.

Decides what an arm may learn from beside the photographs of before: the frames that devices kept, as many drawn by
chance among those that they saw, or every one of `full_frames` with its labels. Every arm's detector takes equal steps.
Refuses to keep more than MAX_KEPT of the frames that are seen, and a rehearsal without the two arms that the others
are measured between.

>>> RehearsalConfig().kept
24
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from edgewright.device.drift import LEAST_FRAMES, TRAINING
from edgewright.errors import RecipeError
from edgewright.recipe import Recipe
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.recipe.section import Section

MAX_KEPT = 0.01
"""Of the frames that a device sees, the share that may come home."""
MIN_KEPT = 4
BEFORE, SHIPPED, FULL = "before", "hard", "full"
WINDOW = LEAST_FRAMES
"""Frames of a round while drift is watched for."""
DAY_WINDOWS = TRAINING + 40
"""What changes within the first 20 windows after those of the training becomes part of what is usual."""


@dataclass(frozen=True)
class Arm:
    """One way to answer a change.

    Attributes:
        frames: which come on top of the photographs: `none`, those that devices kept (`hard`), as many by chance
            (`random`), or all of `full_frames`.
        labels: from a simulated `reviewer`, from the `labeler` alone, or the `truth`.
        synthetic: whether pictures are made from photographs and frames, those of frames the likelier.
    """

    name: str
    title: str
    frames: Literal["none", "hard", "random", "full"]
    labels: Literal["reviewer", "labeler", "truth"] = "reviewer"
    synthetic: bool = True


ARMS = {
    arm.name: arm
    for arm in (
        Arm(BEFORE, "the release that runs", "none"),
        Arm(SHIPPED, "hard frames, reviewed, and pictures like them", "hard"),
        Arm("hard_labeler", "hard frames, labeled by the labeler alone, and pictures like them", "hard", "labeler"),
        Arm("hard_alone", "hard frames, reviewed, without synthesis", "hard", synthetic=False),
        Arm("random", "as many frames by chance, reviewed, and pictures like them", "random"),
        Arm("random_alone", "as many frames by chance, reviewed, without synthesis", "random", synthetic=False),
        Arm(FULL, "every one of a whole set of changed frames labeled", "full", "truth", synthetic=False),
    )
}


class RehearsalConfig(Section):
    """What happens, and what is compared."""

    shift: Literal["night", "dirty-lens", "new-part"] = Field("night", description="What happens to the line")
    devices: int = Field(2, ge=2, le=32, description="On that line; a new release comes to one of them first")
    day_windows: int = Field(
        DAY_WINDOWS, ge=TRAINING, description=f"Rounds of {WINDOW} frames, of each device, before it happens"
    )
    alarm_windows: int = Field(100, ge=1, description="Rounds in which a device must notice it")
    frames: int = Field(2400, ge=100, description="That all devices see while the policy lets them keep some")
    keep_share: float = Field(MAX_KEPT, gt=0, le=MAX_KEPT, description="Of those, the share that is kept at most")
    test_frames: int = Field(120, ge=8, description="Changed frames that every arm is measured on")
    full_frames: int = Field(150, ge=8, description="Changed frames of the arm that has all of them labeled")
    hard_share: float = Field(0.3, ge=0, le=1, description="Of synthetic pictures, those drawn like the frames")
    steps: int = Field(400, ge=1, description="Optimizer steps of every detector")
    epochs: int = Field(10, ge=1, description="Parts that those are cut into")
    arms: tuple[str, ...] = Field(tuple(ARMS), description="Which arms")

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        for arm in self.arms:
            if arm not in ARMS:
                raise ValueError(f"no such arm: {arm}; there are {', '.join(ARMS)}")
        if missing := [arm for arm in (BEFORE, SHIPPED, FULL) if arm not in self.arms]:
            raise ValueError(f"the others are measured between these; name {', '.join(missing)} too")
        if self.kept < MIN_KEPT:
            raise ValueError(f"{self.kept} frames would be kept, at least {MIN_KEPT} are needed: raise frames")
        if self.steps % self.epochs:
            raise ValueError(f"the epochs must divide the steps, got {self.steps} steps in {self.epochs} epochs")
        return self

    @property
    def kept(self) -> int:
        """Frames that come home, of all devices, at most."""
        return int(self.frames * self.keep_share)

    @property
    def chosen(self) -> tuple[Arm, ...]:
        return tuple(arm for name, arm in ARMS.items() if name in self.arms)


def rehearsal_config(*, shift: str, arms: str, **numbers: float) -> RehearsalConfig:
    """From words. Raises RecipeError: which one is wrong."""
    chosen = tuple(filter(None, (word.strip() for word in arms.split(",")))) or tuple(ARMS)
    try:
        return RehearsalConfig.model_validate({"shift": shift, "arms": chosen, **numbers})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "rehearsal"
        raise RecipeError(f"{where}: {first['msg']}", got=repr(first["input"])[:200]) from error


def seeds_in(words: str) -> tuple[int, ...]:
    """Raises RecipeError where they are no numbers, or one comes twice."""
    try:
        seeds = tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise RecipeError("not seeds", expected="numbers from 0, comma-separated", got=words) from error
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise RecipeError("not seeds", expected="numbers from 0, each once", got=words)
    return seeds


def recipe_for(recipe: Recipe, config: RehearsalConfig, arm: Arm) -> Recipe:
    """With what the rehearsal sets: equal steps, the last epoch, and layouts like the frames where there are any.

    Raises RecipeError where no synthetic picture would be made.
    """
    if recipe.generate.images == 0:
        raise RecipeError("a rehearsal compares with synthesis", expected="generate.images > 0", got=0)
    hard_share = config.hard_share if arm.frames != "none" else 0.0
    sections = {
        "train_detector": detector_of(recipe.train_detector, config),
        "generate": recipe.generate.model_copy(update={"hard_share": hard_share}),
        "release": recipe.release.model_copy(update={"roll_out": arm.name == BEFORE}),
    }
    return recipe.model_copy(update=sections)


def detector_of(detector: TrainDetectorConfig, config: RehearsalConfig) -> TrainDetectorConfig:
    """`val` holds photographs of before alone: it does not choose the epoch."""
    return detector.model_copy(update={"steps": config.steps, "epochs": config.epochs, "keep": "last"})
