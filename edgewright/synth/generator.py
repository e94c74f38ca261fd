"""The generator artifact: what is learned from real, labeled train images before a synthetic one is made.

Decides its files: `generator.json` (method, level, classes, sizes, light, digests of its parts), `layout.json`,
`crops.npz`, `history.json`, `preview.png`, and `gan.safetensors` or `diffusion.safetensors` (averaged weights) where a
network was trained. A class without a crop is not generated; the report says so. Refuses a train split with fewer than
MIN_CROPS objects.

    report = train_generator(dataset, config, out=work, scratch=scratch, seed=0, threads=2, on_progress=silent)
    trained = open_generator(artifact, solver="heun", sampler_steps=4)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgewright.artifacts import Artifact, canonical_json, sha256_file
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.errors import ArtifactCorrupt
from edgewright.learning.device import torch_threads
from edgewright.metrics import HISTORY_FILE
from edgewright.progress import OnProgress
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.compose.composite import Photometry
from edgewright.synth.compose.painting import Painter, scene_painter
from edgewright.synth.compose.tiles import TileBatches
from edgewright.synth.layout.layouts import LayoutModel, fit_layouts
from edgewright.synth.methods import (
    Learned,
    Point,
    crop_batches,
    is_learned,
    learn,
    open_network,
    shape_of,
    tile_batches,
)
from edgewright.synth.networks.nets import to_pixels
from edgewright.synth.objects.crops import CropBank, build_bank
from edgewright.synth.objects.inpainting import InpaintSampler, PipelineSpec, describe_pipeline, open_pipeline
from edgewright.synth.objects.preview import PREVIEW_COLUMNS, opaque, preview_grid
from edgewright.synth.objects.samplers import CropSampler, Rgba, crop_sampler
from edgewright.synth.sources import train_rows

GENERATOR_FILE, LAYOUT_FILE, CROPS_FILE, PREVIEW_FILE = "generator.json", "layout.json", "crops.npz", "preview.png"
_LIGHT_IMAGES = 64
Rng = np.random.Generator
Pair = tuple[list[Rgba], list[Rgba]]


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
class TrainedGenerator:
    """A generator artifact, opened.

    Attributes:
        sampler: what makes crops; None at the scene level, and where real crops are all there is.
        scenes: what paints whole pictures; None at the object level.
    """

    method: str
    level: str
    classes: tuple[str, ...]
    layouts: LayoutModel
    bank: CropBank
    photometry: Photometry
    sampler: CropSampler | None
    scenes: Painter | None


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
    """Learn layouts, crops, light and (methods `gan` and `diffusion`) a network; write the artifact to `out`.

    Raises:
        InputError: fewer than MIN_CROPS objects in the train split, too many classes for scenes, or a precision that
            this machine does not have.
        StageFailed: training diverged.
    """
    if config.level == "scene":
        dataset.require_class_map()
    with torch_threads(threads):
        return _train(dataset, config, out=out, scratch=scratch, seed=seed, on_progress=on_progress)


def _train(
    dataset: Dataset, config: TrainGeneratorConfig, *, out: Path, scratch: Path, seed: int, on_progress: OnProgress
) -> GeneratorReport:
    rows = train_rows(dataset)
    layouts = fit_layouts(rows, classes=dataset.classes)
    on_progress(0, config.steps, f"cutting objects out of {len(rows)} images")
    bank = build_bank(dataset, rows, rng=np.random.default_rng([seed, 0]))
    (out / LAYOUT_FILE).write_bytes(canonical_json(layouts.to_json()))
    bank.save(out / CROPS_FILE)
    tiles = tile_batches(dataset, rows, bank, config) if config.level == "scene" else None
    learned = None
    if is_learned(config.method):
        learned = learn(
            tiles or crop_batches(bank, config),
            config,
            n_classes=len(bank.class_ids),
            source=f"{dataset.ref.sha256} {sha256_file(out / CROPS_FILE)}",
            out=out,
            scratch=scratch,
            seed=seed,
            on_progress=on_progress,
        )
    pipeline = asdict(describe_pipeline(config)) if config.method == "diffusers" else None
    _write_description(dataset, rows, bank, config, pipeline=pipeline, out=out)
    rng = np.random.default_rng([seed, 1])
    pairs = _tile_pairs(tiles, bank, learned, rng) if tiles and learned else _crop_pairs(bank, learned, config, rng)
    (out / PREVIEW_FILE).write_bytes(encode_png(preview_grid(pairs, side_px=config.side_px)))
    history = learned.history if learned else ()
    (out / HISTORY_FILE).write_bytes(canonical_json([point.to_json() for point in history]))
    return _report(dataset, rows, bank, config, learned)


def open_generator(artifact: Artifact, *, solver: str = "heun", sampler_steps: int = 4) -> TrainedGenerator:
    """`solver` and `sampler_steps` are how a diffusion network is asked; others are asked once.

    Raises ArtifactCorrupt where a file is not what the description says.
    """
    described = artifact.json(GENERATOR_FILE)
    bank = CropBank.load(artifact.path(CROPS_FILE))
    try:
        trained = TrainedGenerator(
            method=str(described["method"]),
            level=str(described["level"]),
            classes=tuple(described["classes"]),
            layouts=LayoutModel.from_json(artifact.json(LAYOUT_FILE)),
            bank=bank,
            photometry=Photometry(**described["photometry"]),
            sampler=None,
            scenes=None,
        )
        if trained.method == "diffusers":
            spec = PipelineSpec(**described["pipeline"])
            return replace(trained, sampler=InpaintSampler(open_pipeline(spec), bank, trained.classes, spec))
        if not is_learned(trained.method):
            return trained
        network, class_ids = open_network(artifact, described), tuple(int(value) for value in described["class_ids"])
        if trained.level == "scene":
            painter = scene_painter(
                network, class_ids, scene_px=int(described["scene_px"]), solver=solver, steps=sampler_steps
            )
            return replace(trained, scenes=painter)
        return replace(trained, sampler=crop_sampler(network, class_ids, solver=solver, steps=sampler_steps))
    except (KeyError, TypeError) as error:
        raise ArtifactCorrupt("not a generator", got=error, where=artifact.ref.uri) from error


def measure_light(dataset: Dataset, rows: Sequence[Row]) -> Photometry:
    """How much up to 64 evenly spread images differ in mean and contrast, as sds of their logarithms."""
    spread = rows[:: max(1, len(rows) // _LIGHT_IMAGES)][:_LIGHT_IMAGES]
    pixels = [dataset.image(row) for row in spread]
    mean = np.log([max(float(image.mean()), 1.0) for image in pixels])
    contrast = np.log([max(float(image.std()), 1.0) for image in pixels])
    return Photometry(gain_sd=float(mean.std()), contrast_sd=float(contrast.std()))


def _report(
    dataset: Dataset, rows: Sequence[Row], bank: CropBank, config: TrainGeneratorConfig, learned: Learned | None
) -> GeneratorReport:
    counts = {name: len(bank.of_class(class_id)) for class_id, name in enumerate(dataset.classes)}
    return GeneratorReport(
        method=config.method,
        images=len(rows),
        crops_by_class=counts,
        not_generated=tuple(name for name, count in counts.items() if not count),
        steps=config.steps if learned else 0,
        resumed_from=learned.resumed_from if learned else 0,
        history=learned.history if learned else (),
    )


def _write_description(
    dataset: Dataset,
    rows: Sequence[Row],
    bank: CropBank,
    config: TrainGeneratorConfig,
    *,
    pipeline: dict[str, Any] | None,
    out: Path,
) -> None:
    description = {
        "method": config.method,
        "level": config.level,
        "classes": list(dataset.classes),
        "class_ids": bank.class_ids,
        "scene_px": config.scene_px,
        "network": asdict(shape_of(config, n_classes=len(bank.class_ids))),
        "pipeline": pipeline,
        "photometry": asdict(measure_light(dataset, rows)),
        "dataset": dataset.ref.sha256,
        "files": {path.name: sha256_file(path) for path in sorted(out.iterdir())},
    }
    (out / GENERATOR_FILE).write_bytes(canonical_json(description))


def _crop_pairs(bank: CropBank, learned: Learned | None, config: TrainGeneratorConfig, rng: Rng) -> list[Pair]:
    """By class: real crops, and generated ones where there is a network."""
    sampler = crop_sampler(learned.network, tuple(bank.class_ids)) if learned else None
    squares = bank.squares(config.side_px)
    pairs = []
    for class_id in bank.class_ids:
        known = [index for index, crop in enumerate(bank.crops) if crop.class_id == class_id]
        real = [squares[index] for index in rng.permutation(known)[:PREVIEW_COLUMNS]]
        pairs.append((real, sampler.sample([class_id] * PREVIEW_COLUMNS, rng) if sampler else []))
    return pairs


def _tile_pairs(tiles: TileBatches, bank: CropBank, learned: Learned, rng: Rng) -> list[Pair]:
    """Rows of real tiles, and what is painted from the very same layouts."""
    draw = torch.Generator().manual_seed(int(rng.integers(2**31)))
    painter = scene_painter(learned.network, tuple(bank.class_ids), scene_px=tiles.side_px)
    pairs = []
    for _ in bank.class_ids:
        batch = tiles.draw(PREVIEW_COLUMNS, draw)
        painted = [painter.paint(planes, rng) for planes in batch.condition.cpu().numpy()]
        pairs.append(([opaque(tile) for tile in to_pixels(batch.images).cpu().numpy()], [opaque(it) for it in painted]))
    return pairs
