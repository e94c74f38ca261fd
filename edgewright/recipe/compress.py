"""What quantization may be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgewright.recipe.section import Section


class QuantizeConfig(Section):
    calibration_images: int = Field(64, ge=4)
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    per_channel: bool = True
    safe_max_loss: float = Field(
        0.1,
        ge=0,
        le=1,
        description="In the file for x86 without VNNI: a convolution whose output rounding changes by more than this "
        "share of its norm stays in float, where the file's 2 MB have room",
    )
    score_threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The score from which the device reports; none: that of the best F1 on the photographs of val, and "
        "0.25 where those hold no object",
    )
    iou_threshold: float = Field(
        0.5, ge=0, le=1, description="Of two boxes of a class that overlap by more than this, one is reported"
    )
