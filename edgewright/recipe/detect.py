"""What the detector's training may be told."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from edgewright.recipe.section import Section


class TrainDetectorConfig(Section):
    external_paths: ClassVar[tuple[str, ...]] = ("model", "init")

    model: str = Field(
        "efficientdet-slim",
        description="A graph of our tables (efficientdet-slim, efficientdet-lite0 to lite4, edgewright-slim), or any "
        "ultralytics model by name or path",
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
    width: float = Field(0.1875, gt=0, le=2, description="Width multiple of edgewright-slim; efficientdet- refuses it")
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
