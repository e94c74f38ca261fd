"""What the labeler may be told."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from edgewright.recipe.section import Section


class TrainLabelerConfig(Section):
    external_paths: ClassVar[tuple[str, ...]] = ("sam_weights", "teacher", "init")

    image_px: int = Field(128, ge=32, le=512, multiple_of=16)
    steps: int = Field(300, ge=1)
    batch: int = Field(16, ge=2)
    width: int = Field(16, ge=8, multiple_of=8)
    network: Literal["unet", "efficientnet"] = Field(
        "unet", description="unet: small, of our own; efficientnet: EfficientNet-lite0 as the encoder"
    )
    init: str = Field(
        "auto",
        description="What training begins with: auto (package where the network has one, else none), package (the "
        "extra `pretrained`), a file of weights, or none (random numbers)",
    )
    learning_rate: float = Field(4e-3, gt=0)
    mask_from_box: Literal["ellipse", "box", "grabcut", "sam"] = Field(
        "ellipse", description="Where labels have no masks"
    )
    sam_weights: str = Field("", description="Weights file of a Segment Anything model, for mask_from_box: sam")
    folds: int = Field(
        2,
        ge=1,
        le=20,
        description="Trainings that each leave a part of train out, to be judged on it; 1: judged on val",
    )
    min_images: int = Field(8, ge=2, description="Fewer labeled photographs in train end the run")
    suspect_score: float = Field(
        0.8, ge=0, le=1, description="A labeler this sure that disagrees with a person's label makes the label suspect"
    )
    teacher: str = Field(
        "",
        description="Weights file (.pt) of a YOLO-World, YOLOE or YOLO detector that labels photographs which "
        "nobody labeled, for the classes where it proves itself on people's labels",
    )
    checkpoint_every: int = Field(100, ge=1)
    fpga: bool = Field(
        False,
        description="Also the labeler in an FPGA's number format, scored on val as it is: for label.number_format",
    )

    @model_validator(mode="after")
    def _weights_for_sam(self) -> Self:
        if self.mask_from_box == "sam" and not self.sam_weights:
            raise ValueError("mask_from_box sam needs a weights file in sam_weights")
        return self


class LabelConfig(Section):
    number_format: Literal["float", "fpga"] = Field(
        "float",
        description="fpga: the labeler as train_labeler.fpga wrote it, by a card (VitisAI) where this machine has one, "
        "else emulated: the same numbers",
    )
    use_unlabeled: bool = Field(
        True, description="Label the train photographs that nobody labeled, and train on those with a sure object"
    )
    reviewed: str = Field(
        "", description="`dataset:DIGEST` of an imported review of synthetic pictures: on those a person's labels stand"
    )
    keep_iou: float = Field(0.5, ge=0, le=1, description="Agreement at and above: the label is kept")
    drop_iou: float = Field(0.3, ge=0, le=1, description="Agreement below: the label is dropped")
    correct_score: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Between the two: a labeler at least this sure corrects the box, else it is reviewed",
    )
    min_score: float = Field(
        0.7,
        ge=0,
        le=1,
        description="How sure the labeler must be of what contradicts a label: an object that none knows, or another "
        "class. Where it agrees it need not be; the kept label says how sure it was",
    )
    max_bad_share: float = Field(0.5, ge=0, le=1, description="A larger share of dropped, missed, phantom: left out")
    min_object_px: float = Field(4.0, ge=0, description="Shorter sides, in px the labeler sees, are not judged")
    pseudo_precision: float = Field(
        0.9, gt=0, le=1, description="Held-out precision that a class's labels on unlabeled photographs must have"
    )
    pseudo_min_found: int = Field(
        10, ge=1, description="Held-out objects below which nothing is known of a precision: the class gets no label"
    )
    teacher_min_recall: float = Field(
        0.5, ge=0, le=1, description="Share of people's objects a teacher must find at that precision, class by class"
    )
    pseudo_ignore_score: float = Field(
        0.3, ge=0, le=1, description="Less certain objects down to this score become ignore regions"
    )

    @model_validator(mode="after")
    def _drop_below_what_is_kept(self) -> Self:
        if self.drop_iou > self.keep_iou:
            raise ValueError(f"drop_iou must be at most keep_iou, got {self.drop_iou:g} and {self.keep_iou:g}")
        return self
