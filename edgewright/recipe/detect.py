"""What the detector's training may be told. Refuses what the named network would pass over."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from edgewright.recipe.section import Section

_LITE, _SLIM = "efficientdet-", ("edgewright-slim", "yolo11-slim", "yolo26-slim")


class TrainDetectorConfig(Section):
    external_paths: ClassVar[tuple[str, ...]] = ("model", "init")

    model: str = Field(
        "efficientdet-slim",
        description="A graph of our tables (efficientdet-slim, efficientdet-lite0 to lite4, edgewright-slim, "
        "yolo11-slim, yolo26-slim), or any ultralytics model by name or path",
    )
    init: str = Field(
        "auto",
        description="What training begins with: auto (package where the graph has one, else none), package (the extra "
        "`pretrained`), a file of weights, a name as yolov5nu.pt, or none (random numbers)",
    )
    allow_download: bool = Field(False, description="Whether weights that `init` names may be downloaded")
    backbone_rate: float = Field(
        1.0, ge=0, le=1, description="Learning rate of a backbone that begins with weights, as a share of the heads'"
    )
    frozen_share: float = Field(
        0.05, ge=0, lt=1, description="Share of the steps, the first, in which such a backbone does not move"
    )
    repeat_rare: float = Field(
        4.0,
        ge=1,
        le=20,
        description="Pictures with rare classes are shown up to so many times as often; 1: all equally often",
    )
    width: float = Field(0.1875, gt=0, le=2, description="Width multiple, of the slim YOLOs alone")
    image_px: int = Field(192, ge=64, le=1280, multiple_of=32)
    epochs: int = Field(30, ge=1)
    batch: int = Field(16, ge=2)
    devices: int = Field(
        1,
        ge=1,
        le=64,
        description="Accelerators of one machine that share each batch (without any: processes); efficientdet- alone",
    )
    optimizer: Literal["AdamW", "SGD", "MuSGD"] = Field("AdamW", description="AdamW alone for efficientdet-")
    learning_rate: float = Field(2e-3, gt=0)
    mosaic: float = Field(1.0, ge=0, le=1, description="Share of training pictures put together from four")
    close_mosaic_share: float = Field(0.2, ge=0, le=1, description="Share of the epochs, the last ones, without it")
    flip_vertical: float = Field(0.0, ge=0, le=1, description="0.5 where the scene has no up and down")
    augmentation: Literal["usual", "strong"] = Field(
        "usual", description="usual: the library's; strong: about twice it"
    )
    patience: int = Field(100, ge=1, description="Epochs without a better val mAP before training ends")
    steps: int | None = Field(None, ge=1, description="Optimizer steps in all; none: what the epochs' batches give")
    real_share: float | None = Field(
        None, gt=0, le=1, description="Share of photographs among the pictures shown; none: as many as there are"
    )
    synthetic_until: float = Field(
        1.0, ge=0, le=1, description="Share of the epochs after which photographs alone are shown"
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16: autocast; on AVX-512 CPUs 1.7 times as fast for a YOLO, slower for efficientdet-"
    )
    keep: Literal["best", "last"] = Field("best", description="best: the epoch best on val; last: the last, val unseen")

    @property
    def is_lite(self) -> bool:
        """Whether the network is one of ours, and none of ultralytics'."""
        return self.model.startswith(_LITE)

    @model_validator(mode="after")
    def _tell_a_network_what_it_takes(self) -> Self:
        of_lite = dict.fromkeys(("devices", "backbone_rate", "frozen_share"), self.is_lite)
        taken = {"width": self.model in _SLIM, "optimizer": not self.is_lite, **of_lite}
        for field, takes in taken.items():
            default, told = type(self).model_fields[field].default, getattr(self, field)
            if told != default and not takes:
                raise ValueError(f"{self.model} does not take {field}: leave it at {default}, got {told}")
        return self

    @model_validator(mode="after")
    def _give_each_device_as_much(self) -> Self:
        if self.batch % self.devices:
            fits = self.batch + -self.batch % self.devices
            raise ValueError(
                f"a batch is shared out equally: {self.devices} devices need batch={fits}, got {self.batch}"
            )
        return self
