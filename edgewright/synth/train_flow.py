"""The diffusion model's step: noise, a time and a real example in, the velocity of the path between them learnt.

Decides the step alone: one network, one loss, averaged weights; the equations stand in `flow.py`. Augmented examples
are marked as such, so that sampling asks for unaugmented ones.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from edgewright.compute import best_device
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.augment import apart, joint, told_augment
from edgewright.synth.batches import Batches
from edgewright.synth.ema import update_ema
from edgewright.synth.flow import draw_times, interpolate, velocity_loss
from edgewright.synth.nets import NetShape
from edgewright.synth.precision import Precision
from edgewright.synth.training import Method, finite
from edgewright.synth.unet import UNet

LEARNING_RATE = 3e-3
EMA_DECAY = 0.995
_BETAS = (0.9, 0.99)
_WARM_UP_STEPS = 50


class Flow(Method):
    """Draws from `rng` alone; raises InputError for a precision that the device does not have."""

    name = "Diffusion"
    next_step = "lower train_generator.learning_rate"

    def __init__(
        self, batches: Batches, shape: NetShape, config: TrainGeneratorConfig, *, rng: torch.Generator, seed: int
    ) -> None:
        self._batches = batches
        self._config = config
        self._rng = rng
        device = best_device()
        self._precision = Precision.on(config.precision, device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = UNet(shape, recompute=config.gradient_checkpointing).to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self._rate = config.learning_rate or LEARNING_RATE
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=self._rate, betas=_BETAS)
        self._scaler = self._precision.scaler()

    def advance(self, step: int) -> Mapping[str, float]:
        """One step: `loss`, the mean squared error of the velocity."""
        batch = self._batches.draw(self._config.batch, self._rng)
        data, condition, changed = self._augmented(batch.images, batch.condition)
        noise = torch.randn(data.shape, generator=self._rng).to(data.device)
        t = draw_times(len(data), self._rng).to(data.device)
        with self._precision.matmuls():
            with self._precision.autocast():
                predicted = self.network(interpolate(data, noise, t), t, condition, changed)
            loss = velocity_loss(predicted, data=data, noise=noise)
            value = finite(loss, step=step, next_step=self.next_step)
            self._descend(loss, step=step)
        decay = EMA_DECAY if self._config.ema_decay is None else self._config.ema_decay
        update_ema(self.average, self.network, decay=decay, step=step + 1)
        return {"loss": value}

    def judge(self) -> float:
        """The squared error of the averaged network's velocity, in float32."""
        batch = self._batches.draw(self._config.batch, self._rng)
        noise = torch.randn(batch.images.shape, generator=self._rng).to(batch.images.device)
        t = draw_times(len(noise), self._rng).to(noise.device)
        with torch.no_grad():
            predicted = self.average(interpolate(batch.images, noise, t), t, batch.condition)
            return float(velocity_loss(predicted, data=batch.images, noise=noise))

    def parts(self) -> Mapping[str, Any]:
        return {
            "network": self.network,
            "average": self.average,
            "optimizer": self._optimizer,
            "scaler": self._scaler,
        }

    def _augmented(self, images: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        if not self._config.augment:
            return images, condition, None
        moved, changed = told_augment(joint(images, condition), self._rng)
        return (*apart(moved, condition), changed.to(images.device))

    def _descend(self, loss: Tensor, *, step: int) -> None:
        self._optimizer.param_groups[0]["lr"] = self._rate * min(1.0, (step + 1) / _WARM_UP_STEPS)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()
