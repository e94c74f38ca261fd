"""The generator artifact: what is learnt from real, labeled train images before a synthetic one is made.

Decides its files: `generator.json` (method, classes, sizes, light, digests of its parts), `layout.json`, `crops.npz`,
`history.json`, `preview.png`, and `gan.safetensors` (averaged weights) for the method `gan`. A class without a crop is
not generated; the report says so. Refuses a train split with fewer than MIN_CROPS objects.

    report = train_generator(dataset, config, out=work, scratch=scratch, seed=0, threads=2, on_progress=silent)
    trained = open_generator(artifact)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from edgewright.artifacts import Artifact, canonical_json, sha256_bytes, sha256_file
from edgewright.data.dataset import Dataset, encode_png
from edgewright.data.rows import Row
from edgewright.errors import ArtifactCorrupt
from edgewright.progress import OnProgress
from edgewright.recipe import TrainGeneratorConfig
from edgewright.synth.composite import Photometry
from edgewright.synth.crops import CropBank, Rgba, build_bank
from edgewright.synth.layouts import LayoutModel, fit_layouts
from edgewright.synth.nets import Generator, NetShape, to_pixels
from edgewright.synth.preview import preview_grid
from edgewright.synth.sources import train_rows
from edgewright.synth.train_gan import CropSet, Point, TrainedGan, train_gan

_LIGHT_IMAGES = 64
_PREVIEW_CROPS = 8


@dataclass(frozen=True)
class GeneratorReport:
    """What came out.

    Attributes:
        crops_by_class: how many crops the bank holds.
        not_generated: classes without an object in the train split.
        resumed_from: the step training continued from; 0 where it began anew.
    """

    method: str
    images: int
    crops_by_class: dict[str, int]
    not_generated: tuple[str, ...]
    steps: int
    resumed_from: int
    history: tuple[Point, ...]


@dataclass(frozen=True)
class CropSampler:
    """The trained network: class ids in, crops out. `class_ids[i]` is the class of its i-th embedding."""

    network: Generator
    class_ids: tuple[int, ...]

    def sample(self, class_ids: Sequence[int], rng: np.random.Generator) -> list[Rgba]:
        """One (S, S, 4) uint8 crop for each class id; every id must be one that was learnt."""
        if not class_ids:
            return []
        latent = rng.standard_normal((len(class_ids), self.network.shape.latent), np.float32)
        index = torch.tensor([self.class_ids.index(class_id) for class_id in class_ids])
        with torch.inference_mode():
            pixels = to_pixels(self.network(torch.from_numpy(latent), index))
        return list(pixels.numpy())


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator artifact, opened. `sampler` is None where no network was trained."""

    method: str
    classes: tuple[str, ...]
    layouts: LayoutModel
    bank: CropBank
    photometry: Photometry
    sampler: CropSampler | None
    level: str = "object"


def train_generator(
    dataset: Dataset,
    config: TrainGeneratorConfig,
    *,
    out: Path,
    scratch: Path,
    seed: int,
    threads: int,
    on_progress: OnProgress,
) -> GeneratorReport:
    """Learn layouts, crops, light and (method `gan`) a network from the train split; write the artifact to `out`.

    Raises:
        InputError: fewer than MIN_CROPS objects in the train split.
        StageFailed: training diverged.
    """
    torch.set_num_threads(threads)
    rows = train_rows(dataset)
    layouts = fit_layouts(rows, classes=dataset.classes)
    on_progress(0, config.steps, f"cutting objects out of {len(rows)} images")
    bank = build_bank(dataset, rows, rng=np.random.default_rng([seed, 0]))
    (out / "layout.json").write_bytes(canonical_json(layouts.to_json()))
    bank.save(out / "crops.npz")
    trained = None
    if config.method == "gan":
        trained = _train(bank, config, out=out, scratch=scratch, seed=seed, on_progress=on_progress)
    _write_description(dataset, rows, bank, config, out=out)
    _write_preview(bank, trained, config, out=out, seed=seed)
    history = trained.history if trained else ()
    (out / "history.json").write_bytes(canonical_json([asdict(point) for point in history]))
    counts = {name: len(bank.of_class(class_id)) for class_id, name in enumerate(dataset.classes)}
    return GeneratorReport(
        method=config.method,
        images=len(rows),
        crops_by_class=counts,
        not_generated=tuple(name for name, count in counts.items() if not count),
        steps=config.steps if trained else 0,
        resumed_from=trained.resumed_from if trained else 0,
        history=history,
    )


def open_generator(artifact: Artifact, *, solver: str = "heun", sampler_steps: int = 4) -> TrainedGenerator:
    """Raises ArtifactCorrupt where a file is not what the description says."""
    described = artifact.json("generator.json")
    bank = CropBank.load(artifact.path("crops.npz"))
    try:
        return TrainedGenerator(
            method=str(described["method"]),
            classes=tuple(described["classes"]),
            layouts=LayoutModel.from_json(artifact.json("layout.json")),
            bank=bank,
            photometry=Photometry(**described["photometry"]),
            sampler=_open_sampler(artifact, described) if described["method"] == "gan" else None,
        )
    except (KeyError, TypeError) as error:
        raise ArtifactCorrupt("not a generator", got=error, where=artifact.ref.uri) from error


def measure_light(dataset: Dataset, rows: Sequence[Row]) -> Photometry:
    """How much up to 64 evenly spread images differ in mean and contrast, as sds of their logarithms."""
    spread = rows[:: max(1, len(rows) // _LIGHT_IMAGES)][:_LIGHT_IMAGES]
    pixels = [dataset.image(row) for row in spread]
    mean = np.log([max(float(image.mean()), 1.0) for image in pixels])
    contrast = np.log([max(float(image.std()), 1.0) for image in pixels])
    return Photometry(gain_sd=float(mean.std()), contrast_sd=float(contrast.std()))


def _train(
    bank: CropBank, config: TrainGeneratorConfig, *, out: Path, scratch: Path, seed: int, on_progress: OnProgress
) -> TrainedGan:
    class_ids = bank.class_ids
    index = np.array([class_ids.index(crop.class_id) for crop in bank.crops], np.int64)
    work = {"config": config.model_dump(), "seed": seed, "crops": sha256_file(out / "crops.npz")}
    trained = train_gan(
        CropSet(bank.squares(config.crop_px), index),
        config,
        scratch=scratch,
        work_id=sha256_bytes(canonical_json(work)),
        seed=seed,
        on_progress=on_progress,
    )
    weights = {name: value.detach().cpu().contiguous() for name, value in trained.generator.state_dict().items()}
    save_file(weights, out / "gan.safetensors")
    return trained


def _write_description(
    dataset: Dataset, rows: Sequence[Row], bank: CropBank, config: TrainGeneratorConfig, *, out: Path
) -> None:
    description = {
        "method": config.method,
        "classes": list(dataset.classes),
        "class_ids": bank.class_ids,
        "crop_px": config.crop_px,
        "width": config.width,
        "latent": config.latent,
        "photometry": asdict(measure_light(dataset, rows)),
        "dataset": dataset.ref.sha256,
        "files": {path.name: sha256_file(path) for path in sorted(out.iterdir())},
    }
    (out / "generator.json").write_bytes(canonical_json(description))


def _write_preview(
    bank: CropBank, trained: TrainedGan | None, config: TrainGeneratorConfig, *, out: Path, seed: int
) -> None:
    rng = np.random.default_rng([seed, 1])
    sampler = CropSampler(trained.generator.cpu(), tuple(bank.class_ids)) if trained else None
    squares = bank.squares(config.crop_px)
    pairs = []
    for class_id in bank.class_ids:
        known = [index for index, crop in enumerate(bank.crops) if crop.class_id == class_id]
        real = [squares[index] for index in rng.permutation(known)[:_PREVIEW_CROPS]]
        pairs.append((real, sampler.sample([class_id] * _PREVIEW_CROPS, rng) if sampler else []))
    (out / "preview.png").write_bytes(encode_png(preview_grid(pairs, side_px=config.crop_px)))


def _open_sampler(artifact: Artifact, described: dict[str, Any]) -> CropSampler:
    class_ids = tuple(int(value) for value in described["class_ids"])
    network = Generator(NetShape(described["crop_px"], described["width"], described["latent"], len(class_ids)))
    try:
        network.load_state_dict(load_file(artifact.path("gan.safetensors")))
    except RuntimeError as error:
        raise ArtifactCorrupt("the weights do not fit the description", got=error, where=artifact.ref.uri) from error
    return CropSampler(network.eval().requires_grad_(False), class_ids)
