"""What may be otherwise for a further tier of devices: fields of the run's own sections, and which sections those are.

Decides how a tier's sections come about: the run's, with what the tier says otherwise, checked as the run's are.
Refuses what a section would refuse, by the tier's name. The tier `full` is what the recipe's own sections say.

>>> from edgewright.recipe.detect import TrainDetectorConfig
>>> told(TrainDetectorConfig(image_px=256), {"image_px": 128}, where="tiers.basic.train_detector").image_px
128
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from edgewright.errors import meant
from edgewright.recipe.section import Section

FurtherTier = Literal["optimized", "basic"]
"""The tiers of `edgewright.device.offer` but the first one."""
S = TypeVar("S", bound=Section)


class TierConfig(Section):
    """Of each section the fields that are otherwise; the others stay as the run has them."""

    train_detector: dict[str, Any] = Field({}, description="Such as `image_px`, `model`, `width`")
    compress: dict[str, Any] = Field({}, description="Such as `method`, `share`")
    quantize: dict[str, Any] = Field({}, description="Such as `max_bytes`, `score_threshold`")
    gate_model: dict[str, Any] = Field({}, description="Such as `max_p99_ms`, `max_bytes`, `min_map50`")


def told(section: S, otherwise: Mapping[str, Any], *, where: str) -> S:
    """The section with some fields otherwise.

    Args:
        where: the path of those fields in the recipe.

    Raises:
        ValueError: what the section refuses.
    """
    try:
        return type(section).model_validate({**section.model_dump(), **otherwise})
    except ValidationError as error:
        raise ValueError(_refusal(error, section, where=where)) from error


def _refusal(error: ValidationError, section: Section, *, where: str) -> str:
    first = error.errors()[0]
    path = ".".join([where, *map(str, first["loc"])])
    if first["type"] == "value_error":
        return f"{path}: {first['ctx']['error']}"
    if first["type"] == "extra_forbidden":
        near = meant(str(first["loc"][-1]), sorted(type(section).model_fields))
        return f"{path}: there is no field of this name{f', {near}' if near else ''}"
    return f"{path}: {first['msg']}, got {first['input']!r}"
