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
        "share of its norm stays in float, where the file has room",
    )
    bias_correction: bool = Field(
        True, description="Biases take back what rounding a kernel adds to its output on average"
    )
    max_drop: float | None = Field(
        0.005,
        ge=0,
        le=1,
        description="Of mAP50-95 on val: a file that loses more gets layers in float, the most harmful first, until it "
        "does not or its bytes are full; none: no layers are searched",
    )
    max_bytes: int = Field(2_000_000, ge=1, description="What layers in float may make of a file, at most")
    fpga: bool = Field(
        False,
        description="Also a file in an FPGA's number format (INT8, one power-of-two scale a tensor), with which of its "
        "operators the unit takes; the model gate tells its accuracy, emulated where there is no card",
    )
    feature: bool = Field(
        False,
        description="Files also give what the network says of the whole picture, which devices tell new pictures by; "
        "efficientdet- alone",
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


class CompressConfig(Section):
    """What may be taken from a trained detector before it is quantized."""

    method: Literal["none", "channels", "unstructured", "two_of_four"] = Field(
        "none",
        description="channels: a smaller network; unstructured, two_of_four: zeros in one of the same size, which is "
        "no faster on a processor",
    )
    share: float = Field(0.3, gt=0, lt=1, description="Of the channels, or of the weights; two_of_four takes half")
    epochs: int = Field(10, ge=1, description="Of the training that follows")
    steps: int | None = Field(None, ge=1, description="Its optimizer steps; none: what the epochs' batches give")
    learning_rate: float = Field(1e-3, gt=0)
    teacher_weight: float = Field(
        1.0, ge=0, description="How much what the detector said before counts in that training, beside the labels"
    )

    @property
    def wanted(self) -> bool:
        return self.method != "none"
