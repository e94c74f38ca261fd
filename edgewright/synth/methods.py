"""From a method's name to its trained network and back: what a recipe asks for, learned, stored and opened again.

Decides which graph and which step belong to which method; the loop itself does not know. Refuses weights that do not
fit their description.

    learned = learn(crop_batches(bank, config), config, n_classes=3, source=digest, out=work, ...)
    network = open_network(artifact, artifact.json("generator.json"))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from edgewright.artifacts import Artifact, canonical_json, sha256_bytes
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.errors import ArtifactCorrupt
from edgewright.learning.checkpoint import Checkpoint
from edgewright.learning.device import best_device
from edgewright.learning.loop import Losses, Method, train
from edgewright.progress import OnProgress
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.compose.tiles import TileBatches, read_scenes
from edgewright.synth.networks.batches import Batches, CropBatches, CropSet
from edgewright.synth.networks.nets import Generator, NetShape
from edgewright.synth.networks.scene_nets import SceneGenerator
from edgewright.synth.networks.train_flow import Flow
from edgewright.synth.networks.train_gan import Gan
from edgewright.synth.networks.unet import FlowNet
from edgewright.synth.objects.crops import CropBank

_LEARNT: dict[str, type[Gan] | type[Flow]] = {"gan": Gan, "diffusion": Flow}
_HISTORY_POINTS = 100


@dataclass(frozen=True)
class Point:
    """One point of the training curve: the mean of each loss since the point before; a penalty's last, if not taken."""

    step: int
    losses: dict[str, float]

    def to_json(self) -> dict[str, float]:
        """Flat, as `history.json` holds it."""
        return {"step": self.step, **self.losses}


@dataclass(frozen=True)
class Learned:
    """The averaged network, ready to generate, and how it came to be.

    Attributes:
        resumed_from: the step that training continued from, 0 where it began anew.
    """

    network: nn.Module
    history: tuple[Point, ...]
    resumed_from: int


def is_learned(method: str) -> bool:
    """Whether a network of ours is trained for it."""
    return method in _LEARNT


def shape_of(config: TrainGeneratorConfig, *, n_classes: int) -> NetShape:
    """The network that a recipe asks for."""
    return NetShape(config.side_px, config.width, config.latent, n_classes, config.level)


def learn(
    batches: Batches,
    config: TrainGeneratorConfig,
    *,
    n_classes: int,
    source: str,
    out: Path,
    scratch: Path,
    seed: int,
    on_progress: OnProgress,
) -> Learned:
    """Train the network, or continue what `scratch` holds of the same work; its weights go to `out`.

    Args:
        source: names what the batches are drawn from; a checkpoint of another source is not continued.

    Raises:
        InputError: this machine does not have the precision.
        StageFailed: training diverged.
    """
    rng = torch.Generator().manual_seed(seed)
    method: Method[Any] = _LEARNT[config.method](
        batches, shape_of(config, n_classes=n_classes), config, rng=rng, seed=seed
    )
    work = {"config": config.model_dump(), "seed": seed, "source": source}
    work_id = sha256_bytes(canonical_json(work))
    keep = Checkpoint(scratch / f"{config.method}.checkpoint", work_id, config.checkpoint_every)

    def report(done: int, losses: Losses) -> None:
        first, value = next(iter(losses.items()))
        on_progress(done, config.steps, f"{method.name} step, {first} {value:.3f}")

    trained = train(method, steps=config.steps, keep=keep, on_step=report)
    weights = {name: value.detach().cpu().contiguous() for name, value in trained.network.state_dict().items()}
    save_file(weights, out / f"{config.method}.safetensors")
    return Learned(trained.network.eval(), curve(trained.losses), trained.continued_from)


def curve(losses: Sequence[Losses]) -> tuple[Point, ...]:
    """About a hundred points of a training."""
    points: list[Point] = []
    every, done = max(1, len(losses) // _HISTORY_POINTS), 0
    for step in range(1, len(losses) + 1):
        if step % every == 0 or step == len(losses):
            latest = points[-1].losses if points else {}
            points.append(Point(step, {**latest, **_means(losses[done:step])}))
            done = step
    return tuple(points)


def open_network(artifact: Artifact, described: dict[str, Any]) -> nn.Module:
    """Raises ArtifactCorrupt where the weights do not fit, KeyError or TypeError where the description lacks a word."""
    shape = NetShape(**described["network"])
    network = _graph(described["method"], shape)
    try:
        network.load_state_dict(load_file(artifact.path(f"{described['method']}.safetensors")))
    except RuntimeError as error:
        raise ArtifactCorrupt("the weights do not fit the description", got=error, where=artifact.ref.uri) from error
    return network.to(best_device()).eval().requires_grad_(False)


def crop_batches(bank: CropBank, config: TrainGeneratorConfig) -> CropBatches:
    """Every crop of the bank as a square; classes by their index in `bank.class_ids`."""
    class_ids = bank.class_ids
    index = np.array([class_ids.index(crop.class_id) for crop in bank.crops], np.int64)
    return CropBatches(CropSet(bank.squares(config.side_px), index), best_device())


def tile_batches(dataset: Dataset, rows: Sequence[Row], bank: CropBank, config: TrainGeneratorConfig) -> TileBatches:
    """Tiles of the rows' pictures, `config.scene_px` on their longer side."""
    class_ids = bank.class_ids
    scenes = read_scenes(dataset, rows, class_ids=class_ids, scene_px=config.scene_px)
    return TileBatches(scenes, side_px=config.side_px, n_classes=len(class_ids), device=best_device())


def _means(losses: Sequence[Losses]) -> dict[str, float]:
    by_name: dict[str, list[float]] = {}
    for of_step in losses:
        for name, value in of_step.items():
            by_name.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in by_name.items()}


def _graph(method: str, shape: NetShape) -> nn.Module:
    if method == "diffusion":
        return FlowNet(shape)
    return SceneGenerator(shape) if shape.level == "scene" else Generator(shape)
