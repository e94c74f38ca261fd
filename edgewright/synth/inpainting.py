"""Crops painted by a pretrained inpainting pipeline of Hugging Face diffusers, for users whose machines hold weights.

Decides what the pipeline is asked: the surroundings of a real object of the class, the ellipse of its box to be filled
with what the prompt names, at the size the pipeline was made for. The crop's opacity is then told from the picture, as
for real crops. Reads safetensors from a local folder; refuses pickled weights, a folder whose bytes changed since the
artifact was made, and the network unless the recipe allows it and names the commit.

    sampler = InpaintSampler(open_pipeline(spec), bank, classes, spec)
    crops = sampler.sample([0, 2], rng)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PillowImage

from edgewright.artifacts import canonical_json, sha256_bytes, sha256_file
from edgewright.errors import InputError, MissingExtra
from edgewright.learning.device import best_device
from edgewright.sections import TrainGeneratorConfig
from edgewright.synth.crops import Crop, CropBank, resize_rgba
from edgewright.synth.matte import MARGIN, ellipse, matte_from_box
from edgewright.synth.samplers import Rgba

_WHERE = "train_generator.pipeline"
_READ_SUFFIXES = {".safetensors", ".json", ".txt", ".model"}
"""Weights, descriptions, and what tokenizers read."""
_NEXT_STEP = "put a pipeline saved with safe_serialization=True there: model_index.json and a folder for each part"


@dataclass(frozen=True)
class PipelineSpec:
    """What an artifact remembers of a pipeline. Law: `PipelineSpec(**asdict(s)) == s`.

    Attributes:
        folder: or the name of one to download.
        revision: its commit, 40 hex digits, which fixes the bytes of a downloaded one; empty for a folder.
        fingerprint: digest of the names and bytes of what is read in the folder; empty for a downloaded one.
        side_px: of the crops that come out, whatever size the pipeline paints at.
    """

    folder: str
    revision: str
    fingerprint: str
    prompt: str
    steps: int
    side_px: int
    download: bool


def describe_pipeline(config: TrainGeneratorConfig) -> PipelineSpec:
    """Raises InputError where the folder holds no pipeline in safetensors, MissingExtra without the library."""
    _library()
    name, _, revision = config.pipeline.rpartition("@") if config.pipeline_download else (config.pipeline, "", "")
    return PipelineSpec(
        folder=name,
        revision=revision,
        fingerprint="" if config.pipeline_download else fingerprint_of(Path(name)),
        prompt=config.prompt,
        steps=config.pipeline_steps,
        side_px=config.side_px,
        download=config.pipeline_download,
    )


def fingerprint_of(folder: Path) -> str:
    """Reads every byte that a pipeline is made from. Raises InputError where the folder holds none in safetensors."""
    index = folder / "model_index.json"
    weights = sorted(folder.rglob("*.safetensors")) if index.is_file() else []
    if not weights:
        raise InputError(
            "no diffusers pipeline in safetensors here",
            expected="model_index.json and *.safetensors",
            got=f"{folder}{'' if folder.is_dir() else ' (no folder)'}",
            where=_WHERE,
            next_step=_NEXT_STEP,
        )
    read = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in _READ_SUFFIXES)
    return sha256_bytes(canonical_json([[path.relative_to(folder).as_posix(), sha256_file(path)] for path in read]))


def open_pipeline(spec: PipelineSpec) -> Any:
    """A pipeline that takes `prompt`, `image` and `mask_image`.

    Raises:
        MissingExtra: diffusers is not installed.
        InputError: the weights are not there, are no safetensors, changed, or are not for inpainting.
    """
    pipelines = _library()
    if not spec.download and fingerprint_of(Path(spec.folder)) != spec.fingerprint:
        raise InputError(
            "the pipeline is not the one that the generator was made with",
            expected=spec.fingerprint[:12],
            where=spec.folder,
            next_step="put the same weights there, or run train_generator again",
        )
    try:
        pipeline = pipelines.from_pretrained(
            spec.folder,
            revision=spec.revision or None,
            use_safetensors=True,
            local_files_only=not spec.download,
            low_cpu_mem_usage=False,
        )
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            "the inpainting pipeline cannot be opened", got=error, where=spec.folder, next_step=_NEXT_STEP
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(best_device())


@dataclass(frozen=True)
class InpaintSampler:
    """A pipeline as a maker of crops."""

    pipeline: Any
    bank: CropBank
    classes: tuple[str, ...]
    spec: PipelineSpec

    @property
    def side_px(self) -> int:
        return self.spec.side_px

    @property
    def class_ids(self) -> tuple[int, ...]:
        return tuple(self.bank.class_ids)

    def sample(self, class_ids: Sequence[int], rng: np.random.Generator) -> list[Rgba]:
        """One (S, S, 4) uint8 crop for each class id."""
        return [self._paint(class_id, rng) for class_id in class_ids]

    def _paint(self, class_id: int, rng: np.random.Generator) -> Rgba:
        known = self.bank.of_class(class_id)
        surroundings = _square(known[int(rng.integers(len(known)))], self.paints_px)
        made = self.pipeline(
            prompt=self.spec.prompt.format(name=self.classes[class_id]),
            image=surroundings,
            mask_image=PillowImage.fromarray(hole(self.paints_px)),
            height=self.paints_px,
            width=self.paints_px,
            num_inference_steps=self.spec.steps,
            generator=torch.Generator().manual_seed(int(rng.integers(2**31))),
        )
        rgb = np.asarray(made.images[0].convert("RGB"))
        opacity = np.rint(matte_from_box(rgb) * 255).astype(np.uint8)
        return resize_rgba(np.dstack([rgb, opacity]), (self.side_px, self.side_px))

    @property
    def paints_px(self) -> int:
        """Side of the pictures that the pipeline was made for."""
        return int(self.pipeline.unet.config.sample_size) * int(self.pipeline.vae_scale_factor)


def hole(side_px: int) -> Rgba:
    """(S, S) uint8: 255 in the ellipse of the box of a crop, which is to be painted."""
    box_px = max(1, round(side_px / (1 + 2 * MARGIN)))
    start = (side_px - box_px) // 2
    mask = np.zeros((side_px, side_px), np.uint8)
    mask[start : start + box_px, start : start + box_px] = ellipse(box_px, box_px) * np.uint8(255)
    return mask


def _square(crop: Crop, side_px: int) -> PillowImage.Image:
    return PillowImage.fromarray(np.ascontiguousarray(resize_rgba(crop.rgba, (side_px, side_px))[:, :, :3]))


def _library() -> Any:
    try:
        from diffusers import AutoPipelineForInpainting
    except ImportError as error:
        raise MissingExtra(
            "method diffusers needs diffusers and transformers",
            got=error,
            next_step="pip install 'edgewright[diffusers]'",
        ) from error
    return AutoPipelineForInpainting
