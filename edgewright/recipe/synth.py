"""What the generators may be told."""

from __future__ import annotations

import re
from string import Formatter
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgewright.recipe.section import Section

_DOWNLOAD = re.compile(r"[\w.-]+(/[\w.-]+)?@[0-9a-f]{40}")


class TrainGeneratorConfig(Section):
    external_paths: ClassVar[tuple[str, ...]] = ("pipeline",)

    method: Literal["gan", "diffusion", "compositor", "copier", "diffusers"] = Field(
        "gan",
        description="gan, diffusion: learned from the train images; compositor: real crops only; "
        "diffusers: a pipeline of your own; copier: the control that a gate must refuse",
    )
    level: Literal["object", "scene"] = Field(
        "object", description="object: crops for the compositor; scene: whole pictures painted from a layout"
    )
    side_px: Literal[32, 48, 64, 96, 128, 192, 256] = Field(
        32, description="Side of the object crops, or of the tiles that scenes are learned from"
    )
    scene_px: int = Field(192, ge=64, le=1024, description="Longer side of the pictures that scenes are learned from")
    steps: int = Field(600, ge=1, description="Optimizer steps")
    batch: int = Field(32, ge=4)
    width: int = Field(
        32, ge=8, multiple_of=8, description="Channels on the finest grid; up to 4 times on coarser ones"
    )
    latent: int = Field(64, ge=8, description="GAN: numbers that a crop is drawn from")
    learning_rate: float | None = Field(
        None, gt=0, description="None: 2e-4 for the GAN (its discriminator's is 4 times that), 3e-3 for diffusion"
    )
    r1_gamma: float = Field(0.02, ge=0, description="GAN: weight of R1 and R2")
    penalty_every: int = Field(4, ge=1, description="GAN: lazy R1/R2, every n-th step, weight scaled by n")
    augment: bool = Field(
        True, description="Augment what the networks see; what they make stays as the real images are"
    )
    ema_decay: float | None = Field(
        None, ge=0, lt=1, description="Of the averaged weights, which generate. None: 0.98 for the GAN, else 0.995"
    )
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = Field(
        "fp32", description="Of the networks' inside; tf32 and fp16 need an accelerator. Losses and weights are float32"
    )
    gradient_checkpointing: bool = Field(
        False, description="Less memory (diffusion: half, GAN: an eighth), a third more work"
    )
    pipeline: str = Field("", description="diffusers: folder of an inpainting pipeline in safetensors")
    pipeline_steps: int = Field(25, ge=1, description="diffusers: steps of the pipeline's own scheduler")
    pipeline_download: bool = Field(
        False, description="diffusers: `pipeline` is `name@commit` of one to download; the commit's 40 hex digits"
    )
    prompt: str = Field("a photo of a {name}", description="diffusers: {name} is the class's name")
    checkpoint_every: int = Field(100, ge=1)

    @property
    def libraries(self) -> tuple[str, ...]:
        return ("diffusers", "transformers") if self.method == "diffusers" else ()

    @model_validator(mode="after")
    def _fit_the_method(self) -> Self:
        if self.level == "scene" and self.method not in ("gan", "diffusion"):
            raise ValueError("level scene needs method gan or diffusion")
        if (self.method == "diffusers") != bool(self.pipeline):
            raise ValueError("method diffusers and a folder in pipeline belong together")
        if self.pipeline_download and not _DOWNLOAD.fullmatch(self.pipeline):
            raise ValueError("pipeline_download needs pipeline=name@commit, with the commit's 40 hex digits")
        return self

    @field_validator("prompt")
    @classmethod
    def _name_alone_stands_in_braces(cls, prompt: str) -> str:
        try:
            fields = {field for _, field, _, _ in Formatter().parse(prompt)}
            prompt.format(name="")
        except (KeyError, IndexError, AttributeError, ValueError) as error:
            raise ValueError("only {name} may stand in braces; write {{ and }} for braces") from error
        if not fields <= {None, "name"}:
            raise ValueError("only {name} may stand in braces; write {{ and }} for braces")
        return prompt


class GenerateConfig(Section):
    images: int = Field(240, ge=0, description="How many synthetic images")
    image_px: int = Field(192, ge=64, le=1024, description="Longer side of a synthetic image")
    generated_share: float = Field(
        0.25, ge=0, le=1, description="Object level: share of crops from the network or pipeline; others are real"
    )
    max_overlap: float = Field(
        0.3, ge=0, le=1, description="Object level: overlap, of the smaller box, above which another place is tried"
    )
    min_visible: float = Field(0.3, ge=0, le=1, description="Objects less visible than this are ignore regions")
    keep_share: float = Field(
        0.5, ge=0, le=1, description="Object level: share of the background's own objects that stay, unpainted"
    )
    class_balance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="0: classes as often as in the real set; 1: all equally often; between: like frequency^(1 - value)",
    )
    hard_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of scenes whose layout and background are drawn in proportion to the score `hard` of the "
        "train pictures (ingest.scores); one without a score is not drawn for them",
    )
    solver: Literal["euler", "heun"] = Field("heun", description="How a diffusion generator integrates its flow")
    sampler_steps: int = Field(4, ge=2, le=8, description="Steps of that solver")
    codec: Literal["source", "jpegls", "jxl"] = Field(
        "source", description="How synthetic pictures lie in the store: PNG, or smaller as ingest.codec has it"
    )
    shard_images: int = Field(64, ge=1, description="Images a shard; an interruption loses at most the one in work")
