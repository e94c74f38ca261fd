"""What ingest may be told."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from edgewright.recipe.section import Section


class IngestConfig(Section):
    external_paths: ClassVar[tuple[str, ...]] = ("scores",)

    layout: Literal["auto", "yolo", "coco", "voc", "labelme", "createml", "unlabeled"] = Field(
        "auto", description="How the labels are laid out"
    )
    classes: tuple[str, ...] = Field((), description="Class list; empty: taken from the labels")
    missing_label: Literal["unlabeled", "background"] = Field("unlabeled", description="An image without a label file")
    group_by: Literal["image", "folder", "pattern"] = Field("image", description="What is never split up")
    group_pattern: str = Field(
        "", description="Regular expression on the relative path; its first group names the group"
    )
    splits: Literal["source", "new"] = Field(
        "source",
        description="Keep the train, val and test that a source brings, or divide anew. What the project has divided "
        "before stays as it is; a data set of the store keeps its splits",
    )
    leaks: Literal["keep", "move"] = Field(
        "keep",
        description="A photograph that the source has on two sides (the same file, a near-duplicate, an offline "
        "augmentation): keep it as it is, or move it to the more held-out side; told either way",
    )
    frame_step: int = Field(10, ge=1, description="Video: every n-th frame")
    frame_group_s: float = Field(2.0, gt=0, description="Video: frames within this many seconds are one group")
    train_share: float = Field(0.6, gt=0, lt=1, description="Share of groups in train")
    val_share: float = Field(0.15, gt=0, lt=1, description="Share of groups in val; the rest is test")
    max_pixels: int = Field(
        200_000_000,
        ge=1024,
        le=200_000_000,
        description="Larger pictures are quarantined from their header; those of more than 40 megapixels are read at a "
        "half or a quarter of their width and height, here and on the device",
    )
    codec: Literal["source", "jpegls", "jxl"] = Field(
        "source",
        description="How pictures lie in the store: as they came, or in a lossless codec where that is smaller (extra "
        "`codec`); a JPEG comes back byte by byte from jxl, and stays as it is with jpegls. What is learned, splits "
        "and the pictures' digests are the same. A data set of the store keeps how its pictures lie",
    )
    follow_links: bool = Field(
        False,
        description="Links to files outside of the folder are read (DVC and git-annex lay pictures out so); only in a "
        "source that is named at the command line",
    )
    min_images: int = Field(10, ge=1, description="Fewer usable images end the run")
    scores: str = Field(
        "",
        description="CSV with the head `id,hard`: path of an image within the source, and how hard it is, in [0, 1]; "
        "see generate.hard_share",
    )
    photographs: int = Field(260, ge=12, description="How many the simulated camera takes; used only without a source")

    @model_validator(mode="after")
    def _leave_a_test_split(self) -> Self:
        if self.train_share + self.val_share >= 1:
            raise ValueError("train_share and val_share leave nothing for test")
        return self
