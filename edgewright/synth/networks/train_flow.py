"""The diffusion model's step: noise, a time and a real example in, the velocity of the path between them learned.

Decides the step alone: one network, one loss, averaged weights; the equations stand in `flow.py`. Augmented examples
are marked as such, so that sampling asks for unaugmented ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from edgewright.learning.descent import Descent, Forward, OneNetwork
from edgewright.learning.device import best_device, seeded
from edgewright.learning.layout import lay_out_by_pixel
from edgewright.learning.precision import Precision
from edgewright.learning.rates import warm_up
from edgewright.learning.streams import TorchStream
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.networks.augment import apart, joint, told_augment
from edgewright.synth.networks.batches import Batches
from edgewright.synth.networks.flow_matching import draw_times, interpolate, velocity_loss
from edgewright.synth.networks.nets import NetShape
from edgewright.synth.networks.unet import FlowNet

LEARNING_RATE = 3e-3
EMA_DECAY = 0.995
_BETAS = (0.9, 0.99)
_WARM_UP_STEPS = 50


@dataclass(frozen=True)
class Paths:
    """Real examples, the noise that each starts from, and the time at which its velocity is asked.

    Attributes:
        changed: which examples are augmented; None where none can be.
    """

    data: Tensor
    condition: Tensor
    changed: Tensor | None
    noise: Tensor
    t: Tensor


class Flow(OneNetwork[Paths]):
    """Draws from `rng` alone; raises InputError for a precision that the device does not have."""

    name = "Diffusion"
    next_step = "lower train_generator.learning_rate"

    def __init__(
        self, batches: Batches, shape: NetShape, config: TrainGeneratorConfig, *, rng: torch.Generator, seed: int
    ) -> None:
        self._batches, self._config, self._rng = batches, config, rng
        device = best_device()
        precision = Precision.on(config.precision, device, field="train_generator.precision")
        with seeded(seed):
            network = lay_out_by_pixel(FlowNet(shape, recompute=config.gradient_checkpointing).to(device))
        super().__init__(
            network,
            Descent(config.learning_rate or LEARNING_RATE, _BETAS, rate=partial(warm_up, over=_WARM_UP_STEPS)),
            precision=precision,
            ema_decay=EMA_DECAY if config.ema_decay is None else config.ema_decay,
            streams={"rng": TorchStream(rng)},
        )

    def draw(self, _: int) -> Paths:
        batch = self._batches.draw(self._config.batch, self._rng)
        data, condition, changed = self._augmented(batch.images, batch.condition)
        noise = torch.randn(data.shape, generator=self._rng).to(data.device)
        return Paths(data, condition, changed, noise, t=draw_times(len(data), self._rng).to(data.device))

    def loss(self, forward: Forward, batch: Paths) -> Tensor:
        """The mean squared error of the velocity."""
        x_t = interpolate(batch.data, batch.noise, batch.t)
        predicted = forward(x_t, batch.t, batch.condition, batch.changed)
        return velocity_loss(predicted, data=batch.data, noise=batch.noise)

    def _augmented(self, images: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        if not self._config.augment:
            return images, condition, None
        moved, changed = told_augment(joint(images, condition), self._rng)
        return (*apart(moved, condition), changed.to(images.device))
