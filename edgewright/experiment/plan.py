"""Which runs the label-efficiency experiment consists of, and how a finished one is recognized.

Decides the identity of a run: what it learns from (data set, arm, n, draw), its seed, and every setting that bears on
its result. A run that stands in the results file under this identity is not made again. Refuses fewer than MIN_LABELS
images, and a plan without the arm that all others are compared with.

>>> [run.arm for run in runs_of(EfficiencyConfig(labels=(25,), draws=(0,), arms=("real", "gan")))]
['real', 'gan']
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.errors import RecipeError
from edgewright.experiment.arms import ARMS, BASELINE, arm_named, arm_recipe
from edgewright.recipe import Recipe, Section, TrainDetectorConfig

MIN_LABELS = 8
_LEARNING = ("train_generator", "generate", "train_labeler", "label", "gate_data", "train_detector")


class EfficiencyConfig(Section):
    """What is compared."""

    labels: tuple[int, ...] = Field((25, 50), description="How many labeled photographs an arm has")
    draws: tuple[int, ...] = Field((0, 1, 2), description="Which random orders of the pool; subsets are nested")
    seeds: tuple[int, ...] = Field((0,), description="Seeds of the networks, for every draw")
    arms: tuple[str, ...] = Field(tuple(ARMS), description="Which arms")
    steps: int = Field(400, ge=1, description="Optimizer steps of every detector")
    epochs: int = Field(20, ge=1, description="Parts the steps are cut into (mosaic ends with the last fifth of them)")
    real_share: float = Field(0.5, gt=0, le=1, description="Share of photographs among what a mixed arm shows")
    held_out_share: float = Field(0.25, gt=0, lt=1, description="Share of the n images that only the gate sees")

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        for arm in self.arms:
            if arm not in ARMS:
                raise ValueError(f"no such arm: {arm}; there are {', '.join(ARMS)}")
        if BASELINE not in self.arms:
            raise ValueError(f"the arm {BASELINE!r} is what all others are compared with; name it too")
        if not self.labels or min(self.labels) < MIN_LABELS:
            raise ValueError(f"at least {MIN_LABELS} labeled images are needed, got {self.labels}")
        return self


def efficiency_config(*, labels: str, draws: str, seeds: str, arms: str, steps: int) -> EfficiencyConfig:
    """From comma-separated words; no arms means all. Raises RecipeError: which word is wrong."""
    values = {
        "labels": _numbers(labels),
        "draws": _numbers(draws),
        "seeds": _numbers(seeds),
        "arms": tuple(filter(None, (word.strip() for word in arms.split(",")))) or tuple(ARMS),
        "steps": steps,
    }
    try:
        return EfficiencyConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError("not an experiment", expected=first["msg"], got=repr(first.get("input"))) from error


def _numbers(words: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in words.split(",") if word.strip())
    except ValueError as error:
        raise RecipeError("not a list of numbers", expected="25,50", got=words) from error


class SubsetConfig(Section):
    """Which images of the pool an arm may see."""

    labels: int | None = Field(None, ge=1, description="How many labeled photographs; none: all of the pool")
    draw: int = Field(0, ge=0)
    held_out_share: float = Field(0.25, gt=0, lt=1)
    rest: Literal["left_out", "unlabeled", "held_out"] = Field(
        "left_out",
        description="The pool's other images: left out, there without labels, or val for measuring only",
    )


class AssembleConfig(Section):
    """What a detector is trained on."""

    photographs: bool = True
    extra: Literal["none", "synthetic", "pseudo"] = "none"


class EvaluateConfig(Section):
    """How a finished detector is measured on the test photographs."""

    score_threshold: float = Field(0.001, ge=0, le=1, description="Detections below are not counted")


@dataclass(frozen=True)
class Run:
    """One detector. `labels` is None for the arm that has all photographs."""

    arm: str
    labels: int | None
    draw: int
    seed: int

    @property
    def title(self) -> str:
        return f"{self.arm}, n = {self.labels or 'all'}, draw {self.draw}, seed {self.seed}"


def runs_of(config: EfficiencyConfig) -> list[Run]:
    """Every run, the cheapest comparison first: all arms of one draw at one n, then the next draw, then the next n."""
    runs = [
        Run(arm, labels, draw, seed)
        for labels in config.labels
        for draw in config.draws
        for seed in config.seeds
        for arm in config.arms
        if not arm_named(arm).everything
    ]
    whole = [arm for arm in config.arms if arm_named(arm).everything]
    return [*runs, *(Run(arm, None, 0, seed) for seed in config.seeds for arm in whole)]


def detector_of(recipe: Recipe, config: EfficiencyConfig) -> TrainDetectorConfig:
    """The recipe's detector, trained for the experiment's steps; its last epoch, so that nothing is chosen by `val`."""
    changes = {"steps": config.steps, "epochs": config.epochs, "real_share": config.real_share, "keep": "last"}
    return recipe.train_detector.model_copy(update=changes)


def settings_digest(recipe: Recipe, config: EfficiencyConfig, arm: str) -> str:
    """12 hex digits over everything that bears on an arm's result and is not in the run itself.

    An arm without synthetic pictures does not depend on how they are made.
    """
    resolved = arm_recipe(recipe, arm)
    sections: tuple[str, ...] = ("train_detector",) if arm_named(arm).extra == "none" else _LEARNING
    if arm_named(arm).extra == "pseudo":
        sections = ("train_labeler", "label", "train_detector")
    values = {name: getattr(resolved, name).model_dump(mode="json") for name in sections}
    shared = config.model_dump(mode="json", include={"steps", "epochs", "real_share", "held_out_share"})
    if arm_named(arm).extra == "none":
        shared = {name: shared[name] for name in ("steps", "epochs")}
    return sha256_bytes(canonical_json([values, shared]))[:12]


def run_key(run: Run, *, dataset: str, settings: str) -> str:
    """What a finished run is recognized by: 16 hex digits."""
    return sha256_bytes(canonical_json([asdict(run), dataset, settings]))[:16]
