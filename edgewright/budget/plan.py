"""Which detectors are tried for a budget, and for how long: limits => candidates, and the rungs that they climb.

Decides the candidates: every family at every width and resolution, and the widest of each again with fewer channels.
Rungs are those of successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943): all learn for a part of the steps,
the better half for twice as many, and so on. Refuses limits that nothing can meet, families that are not in the table,
and steps that the rungs do not divide.

>>> [candidate.title for candidate in candidates_of(BudgetConfig(families=("yolo26",), shares=()), image_px=192)]
['yolo26-slim 0.125, 192 px', 'yolo26-slim 0.1875, 192 px']
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from edgewright.errors import RecipeError
from edgewright.recipe.compress import CompressConfig, QuantizeConfig
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.recipe.section import Section

FAMILIES: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "efficientdet": ("efficientdet-slim", ()),
    "yolov5u": ("edgewright-slim", (0.125, 0.1875)),
    "yolo11": ("yolo11-slim", (0.125, 0.1875)),
    "yolo26": ("yolo26-slim", (0.125, 0.1875)),
}
"""Family => graph, and its widths where it has any."""
_OF_LITE = ("devices", "backbone_rate", "frozen_share")
_TUNING = 2
"""A cut network learns again for its rung's steps over this."""


class BudgetConfig(Section):
    """The limits, and how long to look."""

    max_bytes: int = Field(2_000_000, ge=1, description="Of the larger of the two INT8 files")
    max_drop: float = Field(0.005, ge=0, le=1, description="Of mAP50-95 on val, from a detector's float to its INT8")
    max_latency_ms: float | None = Field(None, gt=0, description="Median on one thread of the machine that measures")
    families: tuple[str, ...] = Field(tuple(FAMILIES), description="Which families are tried")
    image_px: tuple[int, ...] = Field((), description="Which input sizes; none: the recipe's")
    shares: tuple[float, ...] = Field((0.3, 0.5), description="Of channels that are cut from each family's widest")
    steps: int = Field(400, ge=1, description="Optimizer steps of the last rung")
    epochs: int = Field(16, ge=1, description="Parts that those are cut into")
    rungs: int = Field(3, ge=1, le=5, description="After each but the last the better half goes on for twice as long")
    photographs: str = Field("", description="Digest of a run's photographs; none: what the source is made into")
    training: str = Field("", description="Digest of its training set; none: the photographs alone")

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        unknown = [name for name in self.families if name not in FAMILIES]
        if unknown or not self.families or _repeats(self.families):
            raise ValueError(f"families: each once, of {', '.join(FAMILIES)}; got {', '.join(self.families) or 'none'}")
        if any(not 0 < share < 1 for share in self.shares) or _repeats(self.shares):
            raise ValueError(f"shares are more than 0 and less than 1, each once, got {self.shares}")
        if any(side % 32 or not 64 <= side <= 1280 for side in self.image_px) or _repeats(self.image_px):
            raise ValueError(f"image_px: multiples of 32 from 64 to 1280, each once, got {self.image_px}")
        parts = 2 ** (self.rungs - 1)
        if self.steps % self.epochs or self.epochs % parts:
            raise ValueError(
                f"{parts} (the first rung's part) must divide the epochs, and they the steps; "
                f"got {self.epochs} epochs, {self.steps} steps"
            )
        return self


def _repeats(values: tuple[object, ...]) -> bool:
    return len(set(values)) < len(values)


def budget_config(**values: Any) -> BudgetConfig:
    """From a command line's values. Raises RecipeError: which one is wrong."""
    try:
        return BudgetConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RecipeError("not a budget", expected=first["msg"], got=repr(first.get("input")), where=field) from error


@dataclass(frozen=True)
class Candidate:
    """A detector that is tried. `width` is None where its graph has one width; `share` of its channels are cut."""

    family: str
    model: str
    width: float | None
    image_px: int
    share: float = 0.0

    @property
    def title(self) -> str:
        width = "" if self.width is None else f" {self.width:g}"
        return f"{self.model}{width}, {self.image_px} px" + (f", {100 * self.share:g}% cut" if self.share else "")


@dataclass(frozen=True)
class Rung:
    """How long a candidate learns: optimizer steps, in so many epochs."""

    steps: int
    epochs: int


def candidates_of(config: BudgetConfig, *, image_px: int) -> list[Candidate]:
    """Args: image_px: the recipe's, where the budget names none."""
    found = []
    for family in config.families:
        model, widths = FAMILIES[family]
        for side in config.image_px or (image_px,):
            whole = [Candidate(family, model, width, side) for width in (widths or (None,))]
            found += whole
            found += [Candidate(family, model, whole[-1].width, side, share) for share in config.shares]
    return found


def rungs_of(config: BudgetConfig) -> list[Rung]:
    """
    >>> [rung.steps for rung in rungs_of(BudgetConfig(steps=400, epochs=16, rungs=3))]
    [100, 200, 400]
    """
    parts = [2 ** (config.rungs - 1 - number) for number in range(config.rungs)]
    return [Rung(config.steps // part, config.epochs // part) for part in parts]


def detector_for(candidate: Candidate, base: TrainDetectorConfig, rung: Rung) -> TrainDetectorConfig:
    """The recipe's training of another network. What that network does not take is left at its default; a checkpoint
    that the recipe begins with fits its own network alone."""
    values = base.model_dump(mode="json")
    fields = TrainDetectorConfig.model_fields
    lite = candidate.family == "efficientdet"
    for name in ("optimizer", "width") if lite else _OF_LITE:
        values[name] = fields[name].default
    if candidate.model != base.model:
        values["init"] = fields["init"].default
    if candidate.width is not None:
        values["width"] = candidate.width
    chosen = {"model": candidate.model, "image_px": candidate.image_px, "steps": rung.steps, "epochs": rung.epochs}
    return TrainDetectorConfig.model_validate({**values, **chosen})


def quantization_for(base: QuantizeConfig, config: BudgetConfig) -> QuantizeConfig:
    """Layers go back to float as the budget has it."""
    return base.model_copy(update={"max_bytes": config.max_bytes, "max_drop": config.max_drop})


def compression_for(candidate: Candidate, base: CompressConfig, rung: Rung) -> CompressConfig:
    """How its channels are cut, or that they are not."""
    if not candidate.share:
        return base.model_copy(update={"method": "none"})
    again = {"steps": max(1, rung.steps // _TUNING), "epochs": max(1, rung.epochs // _TUNING)}
    return base.model_copy(update={"method": "channels", "share": candidate.share, **again})
