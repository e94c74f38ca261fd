"""What quantization may be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgewright.recipe.section import Section


class QuantizeConfig(Section):
    calibration_images: int = Field(64, ge=4)
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    per_channel: bool = True
    score_threshold: float = Field(0.25, ge=0, le=1, description="What the device reports")
    iou_threshold: float = Field(0.6, ge=0, le=1)
