"""Training the GAN on object crops, from scratch, in steps that can be interrupted anywhere.

Decides the loop: class-balanced batches, a discriminator and a generator step on the same pairs, penalties every n-th
step (lazy, n times the weight: Karras et al. 2020, arXiv 1912.04958, §3.1), averaged weights. Every draw comes from
one generator whose state is in the checkpoint. Law: training that was interrupted and continued gives the same weights
as training that was not, bit for bit, on one CPU and with one number of threads. Refuses to go on from a loss that is
not a number.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edgewright.artifacts.store import write_atomically
from edgewright.errors import StageFailed
from edgewright.progress import OnProgress
from edgewright.recipe import TrainGeneratorConfig
from edgewright.synth.augment import diff_augment
from edgewright.synth.ema import update_ema
from edgewright.synth.losses import discriminator_loss, generator_loss, gradient_penalty
from edgewright.synth.nets import Discriminator, Generator, NetShape, from_pixels

CHECKPOINT_NAME = "gan.pt"
_HISTORY_POINTS = 100
_REPORT_EVERY = 10
_DISCRIMINATOR_PACE = 4
"""Two time scales (Heusel et al. 2017, arXiv 1706.08500): at one pace the discriminator gives up at step ~100 here."""
_BETAS = (0.0, 0.99)  # R3GAN, appendix D: no momentum, beta2 annealed towards 0.99


@dataclass(frozen=True)
class CropSet:
    """What is learnt from: (N, S, S, 4) uint8 and (N,) indices from 0 into the classes that have crops."""

    pixels: npt.NDArray[np.uint8]
    class_index: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Point:
    """One point of the training curve. `margin` is the mean of D(real) - D(fake); a penalty is the last one taken."""

    step: int
    d_loss: float
    g_loss: float
    margin: float
    r1: float
    r2: float


@dataclass(frozen=True)
class TrainedGan:
    """`resumed_from`: the step that training continued from, 0 where it began anew."""

    generator: Generator
    history: tuple[Point, ...]
    resumed_from: int


def train_gan(
    crops: CropSet, config: TrainGeneratorConfig, *, scratch: Path, work_id: str, seed: int, on_progress: OnProgress
) -> TrainedGan:
    """Train for `config.steps` steps, or continue what `scratch` holds of the same work.

    Args:
        work_id: names the inputs; a checkpoint of other inputs is not continued.

    Raises:
        StageFailed: a loss is not finite; the message says at which step.
    """
    run = _Run(crops, config, seed=seed)
    checkpoint = scratch / CHECKPOINT_NAME
    run.restore(checkpoint, work_id)
    resumed_from = run.step
    while run.step < config.steps:
        point = run.advance()
        if run.step % _REPORT_EVERY == 0 or run.step == config.steps:
            on_progress(run.step, config.steps, f"GAN step, discriminator loss {point.d_loss:.2f}")
        if run.step % config.checkpoint_every == 0 and run.step < config.steps:
            run.save(checkpoint, work_id)
    return TrainedGan(run.average, tuple(run.history), resumed_from)


def best_device() -> torch.device:
    """The accelerator where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class _Run:
    """Everything that changes from step to step."""

    def __init__(self, crops: CropSet, config: TrainGeneratorConfig, *, seed: int) -> None:
        self.config = config
        self.device = best_device()
        self.rng = torch.Generator().manual_seed(seed)
        self.pixels = torch.from_numpy(crops.pixels)
        self.class_index = torch.from_numpy(crops.class_index)
        n_classes = int(crops.class_index.max()) + 1
        self.members = [torch.from_numpy(np.flatnonzero(crops.class_index == index)) for index in range(n_classes)]
        shape = NetShape(config.crop_px, config.width, config.latent, n_classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = Generator(shape).to(self.device)
            self.discriminator = Discriminator(shape).to(self.device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.g_optimizer = _adam(self.generator, config.learning_rate)
        self.d_optimizer = _adam(self.discriminator, config.learning_rate * _DISCRIMINATOR_PACE)
        self.step = 0
        self.history: list[Point] = []
        self.penalties = (0.0, 0.0)

    def advance(self) -> Point:
        """One step of both players."""
        class_index = torch.randint(len(self.members), (self.config.batch,), generator=self.rng)
        real = self._real_crops(class_index)
        class_id = class_index.to(self.device)
        fake = self.generator(self._latent(), class_id)
        d_loss, margin = self._discriminator_step(real, fake.detach(), class_id)
        g_loss = self._generator_step(real, fake, class_id)
        self.step += 1
        update_ema(self.average, self.generator, decay=self.config.ema_decay, step=self.step)
        point = Point(self.step, d_loss, g_loss, margin, *self.penalties)
        if self.step % max(1, self.config.steps // _HISTORY_POINTS) == 0 or self.step == self.config.steps:
            self.history.append(point)
        return point

    def _discriminator_step(self, real: Tensor, fake: Tensor, class_id: Tensor) -> tuple[float, float]:
        penalized = self.step % self.config.penalty_every == 0 and self.config.r1_gamma > 0
        real, fake = (self._seen(crops).requires_grad_(penalized) for crops in (real, fake))
        real_logits, fake_logits = self.discriminator(real, class_id), self.discriminator(fake, class_id)
        loss = discriminator_loss(real_logits, fake_logits)
        total = loss
        if penalized:
            r1, r2 = gradient_penalty(real_logits, real), gradient_penalty(fake_logits, fake)
            total = loss + self.config.r1_gamma * self.config.penalty_every * (r1 + r2)
            self.penalties = (self._finite(r1), self._finite(r2))
        _descend(self.d_optimizer, total)
        return self._finite(loss), float((real_logits - fake_logits).mean().detach())

    def _generator_step(self, real: Tensor, fake: Tensor, class_id: Tensor) -> float:
        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            real_logits = self.discriminator(self._seen(real), class_id)
        loss = generator_loss(real_logits, self.discriminator(self._seen(fake), class_id))
        _descend(self.g_optimizer, loss)
        self.discriminator.requires_grad_(True)
        return self._finite(loss)

    def _finite(self, loss: Tensor) -> float:
        value = float(loss.detach())
        if not np.isfinite(value):
            raise StageFailed(
                f"the GAN's loss is {value} at step {self.step + 1}",
                expected="a finite number",
                next_step="lower train_generator.learning_rate or raise train_generator.r1_gamma",
            )
        return value

    def _real_crops(self, class_index: Tensor) -> Tensor:
        """A random crop of each class asked for, mirrored half of the time."""
        share = torch.rand(len(class_index), generator=self.rng)
        picked = [
            self.members[which][int(part * len(self.members[which]))]
            for which, part in zip(class_index.tolist(), share.tolist(), strict=True)
        ]
        crops = from_pixels(self.pixels[torch.stack(picked)]).to(self.device)
        mirrored = (torch.rand(len(crops), generator=self.rng) < 0.5).to(self.device)
        return torch.where(mirrored[:, None, None, None], crops.flip(3), crops)

    def _latent(self) -> Tensor:
        return torch.randn(self.config.batch, self.config.latent, generator=self.rng).to(self.device)

    def _seen(self, crops: Tensor) -> Tensor:
        return diff_augment(crops, self.rng) if self.config.augment else crops

    def save(self, path: Path, work_id: str) -> None:
        """One file, replaced in one step, holding tensors and plain numbers alone."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts().items()}
        state |= {"work_id": work_id, "step": self.step, "rng": self.rng.get_state(), "penalties": self.penalties}
        state["history"] = [asdict(point) for point in self.history]
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(path, buffer.getvalue())

    def restore(self, path: Path, work_id: str) -> None:
        """Continue from a checkpoint of the same work; leave everything as it is where there is none."""
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["work_id"] != work_id:
            return
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step, self.penalties = state["step"], tuple(state["penalties"])
        self.rng.set_state(state["rng"].cpu())
        names = [field.name for field in fields(Point)]
        self.history = [Point(**{name: value[name] for name in names}) for value in state["history"]]

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "g_optimizer": self.g_optimizer,
            "d_optimizer": self.d_optimizer,
        }


def _adam(network: torch.nn.Module, learning_rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=learning_rate, betas=_BETAS)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    backward: Callable[[], None] = loss.backward
    backward()
    optimizer.step()
