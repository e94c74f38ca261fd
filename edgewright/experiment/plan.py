"""Which runs the label-efficiency experiment consists of, and how a finished one is recognized.

Decides the identity of a run: what it learns from (data set, arm, n, draw), its seed, and every setting that bears on
its result, the bytes of named files too. A run that stands in the results file under this identity is not made again,
and only runs of equal settings are compared. The code is no part of it: a line says which one made it. Refuses fewer
than MIN_LABELS images, a plan without the arm that all others are compared with, a draw or a seed that is named twice,
and steps that the epochs do not divide.

>>> [run.arm for run in runs_of(EfficiencyConfig(labels=(25,), draws=(0,), arms=("real", "gan")))]
['real', 'gan']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.detect.schedule import augmentation_settings, batches_per_epoch
from edgewright.errors import RecipeError
from edgewright.experiment.arms import ARMS, BASELINE, arm_named, arm_recipe
from edgewright.recipe import Recipe
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.recipe.gates import MeasureUtilityConfig
from edgewright.recipe.section import Section

MIN_LABELS = 8
REPEATS = 4
"""Showings of a photograph on average, where those with rare objects are repeated."""
_MAKING = ("train_generator", "generate", "train_labeler", "label", "gate_data")
_MIXING = {"real_share", "synthetic_until"}
"""Of the detector: without a meaning where there is one kind of pictures."""
_NONE: Mapping[str, Mapping[str, str]] = MappingProxyType({})
FIXED = ("steps", "epochs", "real_share", "keep")
"""Of the detector: the experiment sets them, equal for every arm."""


class EfficiencyConfig(Section):
    """What is compared."""

    labels: tuple[int, ...] = Field((25, 50), description="How many labeled photographs an arm has")
    draws: tuple[int, ...] = Field((0, 1, 2), description="Which random orders of the pool; subsets are nested")
    seeds: tuple[int, ...] = Field((0,), description="Seeds of the networks, for every draw")
    arms: tuple[str, ...] = Field(tuple(ARMS), description="Which arms")
    steps: int = Field(400, ge=1, description="Optimizer steps of every detector")
    epochs: int = Field(20, ge=1, description="Parts the steps are cut into (mosaic ends with the last fifth of them)")
    real_share: float = Field(0.5, gt=0, le=1, description="Share of photographs among what a mixed arm shows")
    held_out_share: float = Field(
        0.25,
        gt=0,
        le=0.5,
        description="Share of the n images that only the gate sees: every k-th, at most every second",
    )

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        for arm in self.arms:
            if arm not in ARMS:
                raise ValueError(f"no such arm: {arm}; there are {', '.join(ARMS)}")
        if BASELINE not in self.arms:
            raise ValueError(f"the arm {BASELINE!r} is what all others are compared with; name it too")
        if not self.labels or min(self.labels) < MIN_LABELS:
            raise ValueError(f"at least {MIN_LABELS} labeled images are needed, got {self.labels}")
        for name in ("labels", "draws", "seeds", "arms"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name}: at least one, and each once, got {values}")
        if min(*self.draws, *self.seeds, 0) < 0:
            raise ValueError(f"draws and seeds are 0 or more, got {self.draws}, {self.seeds}")
        if self.steps % self.epochs:
            raise ValueError(f"the epochs must divide the steps, got {self.steps} steps in {self.epochs} epochs")
        return self


def efficiency_config(*, labels: str, draws: str, seeds: str, arms: str, **numbers: float) -> EfficiencyConfig:
    """From comma-separated words; no arms means all. Raises RecipeError: which word is wrong.

    Args:
        numbers: the other fields.
    """
    values = {
        "labels": _numbers(labels),
        "draws": _numbers(draws),
        "seeds": _numbers(seeds),
        "arms": tuple(filter(None, (word.strip() for word in arms.split(",")))) or tuple(ARMS),
        **numbers,
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
    held_out_share: float = Field(0.25, gt=0, le=0.5)
    rest: Literal["left_out", "unlabeled", "held_out"] = Field(
        "left_out",
        description="The pool's other images: left out, there without labels, or val for measuring only",
    )


class AssembleConfig(Section):
    """What a detector is trained on."""

    photographs: bool = True
    extra: Literal["none", "repeated", "synthetic", "pseudo"] = "none"


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


def utility_of(recipe: Recipe, arm: str) -> MeasureUtilityConfig:
    """What an arm's gate measures by pairs of its own: nothing, unless it admits by that.

    Each arm is a pair with photographs alone already, but one measured on the test photographs, which no gate may see.
    So where a recipe asks for pairs under a rule that only refuses measured harm by them, this gate is the laxer one.
    """
    asks = recipe.decided_by_use and arm_named(arm).checked and arm_named(arm).photographs
    return recipe.utility if asks else MeasureUtilityConfig()


def check_overrides(overrides: Sequence[str]) -> None:
    """Raises RecipeError where `--set` names what the experiment sets itself."""
    for word in overrides:
        name = word.partition("=")[0].strip()
        if name in [f"train_detector.{field}" for field in FIXED]:
            raise RecipeError(
                "the experiment sets this itself",
                expected="--steps, --epochs or --real-share; the last epoch is kept",
                got=word,
            )


def check_recipe(recipe: Recipe, config: EfficiencyConfig, *, pool: int) -> None:
    """Raises RecipeError where a run of the plan could not be made, before the first one is.

    Args:
        pool: how many labeled photographs there are besides the test photographs.
    """
    if max(config.labels) > pool:
        raise RecipeError(
            "fewer labeled photographs than asked for",
            expected=f">= {max(config.labels)} besides the test photographs",
            got=pool,
            next_step="name fewer labels, or raise ingest.train_share",
        )
    _check_repeats(recipe, config)
    learning = [name for name in config.arms if arm_named(name).makes and arm_named(name).checked]
    needed, own = recipe.train_labeler.min_images, learnt_from(min(config.labels), config.held_out_share)
    if learning and own < needed:
        raise RecipeError(
            "too few labeled photographs for a labeler",
            expected=f">= {needed} (train_labeler.min_images)",
            got=f"{own}, after the gate's share of {min(config.labels)}, in the arms {', '.join(learning)}",
            next_step="more labels, a smaller --held-out-share, or fewer arms",
        )


def _check_repeats(recipe: Recipe, config: EfficiencyConfig) -> None:
    """An epoch that is too short for every showing would leave photographs out, which the paired arm shows.

    REPEATS showings on average, and one more at most, because none has less than one.
    """
    detector, most = detector_of(recipe, config), (REPEATS + 1) * max(config.labels)
    places = batches_per_epoch(detector) * detector.batch
    if any(arm_named(name).extra == "repeated" for name in config.arms) and most > places:
        raise RecipeError(
            "an epoch is too short to show photographs repeatedly",
            expected=f">= {most} pictures an epoch, {REPEATS + 1} times {max(config.labels)} labels",
            got=f"{places}, {batches_per_epoch(detector)} batches of {detector.batch}",
            next_step="more --steps, fewer --epochs, a larger train_detector.batch, or --arms without repeated",
        )


def learnt_from(labels: int, held_out_share: float) -> int:
    """How many of the labeled photographs the gate does not hold out, where each is a group of its own."""
    return labels - labels // hold_out_every(held_out_share)


def hold_out_every(share: float) -> int:
    """Every k-th is held out."""
    return max(2, round(1 / share))


def settings_digest(
    recipe: Recipe, config: EfficiencyConfig, arm: str, *, external: Mapping[str, Mapping[str, str]] = _NONE
) -> str:
    """12 hex digits over everything that bears on an arm's result and is not in the run itself.

    An arm without other pictures does not depend on how they are made; what the experiment sets is not the recipe's.

    Args:
        external: section => field => digest of the files that it names: other bytes under an old name are others.
    """
    resolved, makes = arm_recipe(recipe, arm), arm_named(arm).makes
    detector = detector_of(resolved, config)
    sections = {"synthetic": _MAKING, "pseudo": ("train_labeler", "label")}.get(arm_named(arm).extra, ())
    values = {name: getattr(resolved, name).model_dump(mode="json") for name in sections}
    values["train_detector"] = detector.model_dump(mode="json", exclude=None if makes else _MIXING)
    values["augmentation"] = augmentation_settings(detector)
    shared: dict[str, Any] = {"held_out_share": config.held_out_share} if makes else {}
    useful = utility_of(resolved, arm)
    if arm_named(arm).extra == "synthetic" and useful.pairs:
        shared["utility"] = useful.model_dump(mode="json", exclude={"detector": set(FIXED)})
        sections = (*sections, "measure_utility")
    if arm_named(arm).edition > 1:
        shared["edition"] = arm_named(arm).edition
    if files := {name: dict(external[name]) for name in (*sections, "train_detector") if external.get(name)}:
        shared["files"] = files
    return sha256_bytes(canonical_json([values, shared]))[:12]


def run_key(run: Run, *, dataset: str, settings: str) -> str:
    """What a finished run is recognized by: 16 hex digits."""
    return sha256_bytes(canonical_json([asdict(run), dataset, settings]))[:16]
