"""A pretrained pipeline as the generator: a tiny one of random weights, saved here, asked as a real one is."""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgewright.artifacts import Artifact
from edgewright.data.dataset import Dataset
from edgewright.errors import InputError, MissingExtra, RecipeError
from edgewright.recipe import resolve
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.generator import open_generator
from edgewright.synth.objects.crops import Crop, CropBank
from edgewright.synth.objects.inpainting import (
    InpaintSampler,
    PipelineSpec,
    describe_pipeline,
    fingerprint_of,
    hole,
    open_pipeline,
)

CLASSES = ("plate", "ring")
installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("diffusers", "transformers")),
    reason="diffusers and transformers are not installed: pip install 'edgewright[diffusers]'",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inpainting pipeline of the kind of Stable Diffusion's that paints pictures of 32 px."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the library's imports
        from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("pipeline")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (root / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (root / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(root / "vocab.json"), str(root / "merges.txt"), model_max_length=24)
    text = CLIPTextConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=24, bos_token_id=len(words) - 2, eos_token_id=len(words) - 1, pad_token_id=0,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=9, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16, attention_head_dim=4,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, sample_size=32,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(root / "saved", safe_serialization=True)
    return root / "saved"


@pytest.fixture
def bank() -> CropBank:
    rng = np.random.default_rng(0)
    crops = []
    for number in range(8):
        rgba = rng.integers(100, 130, (28, 28, 4), dtype=np.uint8)
        rgba[4:24, 4:24, number % 2] = 230
        crops.append(Crop(rgba, number % 2, (0.2, 0.2), f"{number}.png", masked=False))
    return CropBank(tuple(crops))


def config(folder: Path, **changes: object) -> TrainGeneratorConfig:
    return TrainGeneratorConfig.model_validate(
        {"method": "diffusers", "pipeline": str(folder), "pipeline_steps": 2, **changes}
    )


def sampler(folder: Path, bank: CropBank, **changes: object) -> InpaintSampler:
    spec = describe_pipeline(config(folder, **changes))
    return InpaintSampler(open_pipeline(spec), bank, CLASSES, spec)


@installed
def test_it_paints_crops_of_the_size_asked_for_and_the_seed_fixes_them(folder: Path, bank: CropBank) -> None:
    painter = sampler(folder, bank, side_px=48)
    assert (painter.paints_px, painter.side_px, painter.class_ids) == (32, 48, (0, 1))
    first, again, other = (painter.sample([0, 1], np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert [(crop.shape, crop.dtype) for crop in first] == [((48, 48, 4), np.dtype(np.uint8))] * 2
    assert all((left == right).all() for left, right in zip(first, again, strict=True))
    assert (first[0] != other[0]).any()
    assert first[0][20:28, 20:28, 3].min() > 200, "the middle is object"


@installed
def test_prompt_and_steps_change_what_is_painted(folder: Path, bank: CropBank) -> None:
    def paint(**changes: object) -> bytes:
        return sampler(folder, bank, **changes).sample([1], np.random.default_rng(0))[0].tobytes()

    made = {paint(), paint(prompt="x"), paint(prompt="a {name}"), paint(pipeline_steps=3)}
    assert len(made) == 4


@installed
def test_a_pipeline_that_changed_is_refused(folder: Path) -> None:
    spec = describe_pipeline(config(folder))
    assert PipelineSpec(**asdict(spec)) == spec
    with pytest.raises(InputError, match="not the one"):
        open_pipeline(replace(spec, fingerprint="0" * 64))


@installed
def test_a_folder_that_is_no_pipeline_is_named(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "some.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=f"cannot be opened.*{tmp_path}.*model_index.json"):
        open_pipeline(describe_pipeline(config(tmp_path)))


@installed
def test_the_artifact_of_a_pipeline_opens_it_again(
    folder: Path, fit: Callable[..., Artifact], bare_dataset: Dataset
) -> None:
    artifact = fit(bare_dataset, method="diffusers", pipeline=str(folder), pipeline_steps=2, side_px=48)
    opened = open_generator(artifact).sampler
    assert isinstance(opened, InpaintSampler)
    assert opened.spec.steps == 2
    assert opened.sample([1], np.random.default_rng(0))[0].shape == (48, 48, 4)


def test_pickled_weights_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(InputError, match=r"no diffusers pipeline in safetensors.*safe_serialization"):
        fingerprint_of(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        fingerprint_of(tmp_path / "nowhere")


@pytest.mark.parametrize("file", ["unet/weights.safetensors", "tokenizer/merges.txt", "unet/config.json"])
def test_a_file_of_the_same_name_and_size_is_another_pipeline(tmp_path: Path, file: str) -> None:
    for name in ("model_index.json", "unet/weights.safetensors", "tokenizer/merges.txt", "unet/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{  }")
    before = fingerprint_of(tmp_path)
    assert fingerprint_of(tmp_path) == before
    (tmp_path / file).write_text("{\n\n}")
    assert fingerprint_of(tmp_path) != before


COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize("name", ["maker/model", "maker/model@main", f"maker/model@{COMMIT[:12]}", f"a/b/c@{COMMIT}"])
def test_a_download_names_its_commit(name: str) -> None:
    with pytest.raises(RecipeError, match="name@commit"):
        resolve("demo", overrides=download(name))


@installed
def test_the_commit_of_a_download_is_remembered() -> None:
    asked = resolve("demo", overrides=download(f"maker/model@{COMMIT}")).train_generator
    spec = describe_pipeline(asked)
    assert (spec.folder, spec.revision, spec.fingerprint) == ("maker/model", COMMIT, "")


def download(name: str) -> list[str]:
    values = {"method": "diffusers", "pipeline": name, "pipeline_download": "true"}
    return [f"train_generator.{field}={value}" for field, value in values.items()]


@pytest.mark.parametrize("prompt", ["a {class}", "{}", "{name", "{0}", "{name.__class__}", "a }"])
def test_a_prompt_with_another_brace_is_refused_before_anything_runs(prompt: str) -> None:
    with pytest.raises(RecipeError, match=r"only \{name\}"):
        resolve("demo", overrides=[f"train_generator.prompt='{prompt}'"])


@pytest.mark.parametrize("prompt", ["a {name}", "no name", "{{{name}}}"])
def test_a_prompt_may_name_the_class_and_hold_doubled_braces(prompt: str) -> None:
    assert resolve("demo", overrides=[f"train_generator.prompt='{prompt}'"]).train_generator.prompt == prompt


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    spec = PipelineSpec(str(tmp_path), "", "", "{name}", 2, 32, download=False)
    with pytest.raises(MissingExtra, match=r"edgewright\[diffusers\]"):
        open_pipeline(spec)


def test_method_and_folder_belong_together() -> None:
    with pytest.raises(RecipeError, match="pipeline belong together"):
        resolve("demo", overrides=["train_generator.method=diffusers"])
    with pytest.raises(RecipeError, match="pipeline belong together"):
        resolve("demo", overrides=["train_generator.pipeline=/weights"])


def test_the_hole_is_the_ellipse_of_the_box_inside_its_margin() -> None:
    mask = hole(70)
    columns = np.flatnonzero(mask.any(axis=0))
    assert (columns[0], columns[-1]) == (10, 59)
    assert mask[35, 35] == 255 and mask[11, 11] == 0
