"""The GAN's step: a discriminator and a generator on the same pairs, in 16 bits or not.

Decides the step: penalties every n-th one (lazy, n times the weight: Karras et al. 2020, arXiv 1912.04958, §3.1),
always in float32, averaged weights. The generator paints the very classes or layouts that the real batch shows, so
that the relativistic loss compares like with like.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edgewright.learning.averaging import Average
from edgewright.learning.checkpoint import Stateful
from edgewright.learning.descent import Descent, Optimizer
from edgewright.learning.device import best_device, seeded
from edgewright.learning.loop import Method
from edgewright.learning.precision import Precision
from edgewright.learning.streams import TorchStream
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.networks.augment import apart, diff_augment, joint
from edgewright.synth.networks.batches import Batch, Batches
from edgewright.synth.networks.losses import discriminator_loss, generator_loss, gradient_penalty
from edgewright.synth.networks.nets import Discriminator, Generator, NetShape
from edgewright.synth.networks.scene_nets import PatchDiscriminator, SceneGenerator

LEARNING_RATE = 2e-4
EMA_DECAY = 0.98
_DISCRIMINATOR_PACE = 4
"""Two time scales (Heusel et al. 2017, arXiv 1706.08500): at one pace the discriminator gives up at step ~100 here."""
_BETAS = (0.0, 0.99)  # R3GAN, appendix D: no momentum, beta2 annealed towards 0.99


class Gan(Method[Batch]):
    """Both players. Draws from `rng` alone; raises InputError for a precision that the device does not have."""

    name = "GAN"
    next_step = "lower train_generator.learning_rate or raise train_generator.r1_gamma"

    def __init__(
        self, batches: Batches, shape: NetShape, config: TrainGeneratorConfig, *, rng: torch.Generator, seed: int
    ) -> None:
        self._batches = batches
        self._config = config
        self._rng = rng
        device = best_device()
        self._precision = Precision.on(config.precision, device, field="train_generator.precision")
        with seeded(seed):
            generator, discriminator = _players(shape, recompute=config.gradient_checkpointing)
        self.generator = generator.to(device)
        self.discriminator = discriminator.to(device)
        decay = EMA_DECAY if config.ema_decay is None else config.ema_decay
        self._average = Average(self.generator, decay=decay)
        self.network = self._average.network
        self._scaler = self._precision.scaler()
        rate = config.learning_rate or LEARNING_RATE
        self._g_optimizer = Optimizer(self.generator.parameters(), Descent(rate, _BETAS), self._scaler)
        d_descent = Descent(rate * _DISCRIMINATOR_PACE, _BETAS)
        self._d_optimizer = Optimizer(self.discriminator.parameters(), d_descent, self._scaler)

    def draw(self, _: int) -> Batch:
        return self._batches.draw(self._config.batch, self._rng)

    def advance(self, batch: Batch, step: int) -> Mapping[str, Tensor]:
        """One step of both players: `d_loss`, `margin` (mean of D(real) - D(fake)), `r1`, `r2` if taken, `g_loss`."""
        with self._precision.matmuls():
            with self._precision.autocast():
                fake = self.generator(self._latent(batch.condition), batch.condition)
            fake = fake.float()
            losses = self._discriminator_step(batch.images, fake.detach(), batch.condition, step=step)
            losses["g_loss"] = self._generator_step(batch.images, fake, batch.condition, step=step)
            self._scaler.update()
        self._average.follow(self.generator, step=step)
        return losses

    def judge(self, step: int) -> float:
        """The loss of the averaged generator against the discriminator, in float32."""
        batch = self.draw(step)
        with torch.no_grad():
            fake = self.network(self._latent(batch.condition), batch.condition)
            real_logits, fake_logits = (self.discriminator(it, batch.condition) for it in (batch.images, fake))
            return float(generator_loss(real_logits, fake_logits))

    def parts(self) -> Mapping[str, Stateful]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.network,
            "g_optimizer": self._g_optimizer,
            "d_optimizer": self._d_optimizer,
            "scaler": self._scaler,
            "rng": TorchStream(self._rng),
        }

    def _discriminator_step(self, real: Tensor, fake: Tensor, condition: Tensor, *, step: int) -> dict[str, Tensor]:
        penalized = step % self._config.penalty_every == 0 and self._config.r1_gamma > 0
        seen = [self._seen(images, condition) for images in (real, fake)]
        images = [image.detach().requires_grad_(penalized) for image, _ in seen]
        with self._precision.autocast(active=not penalized):
            real_logits, fake_logits = (
                self.discriminator(image, where).float() for image, (_, where) in zip(images, seen, strict=True)
            )
        loss = discriminator_loss(real_logits, fake_logits)
        losses = {"d_loss": loss.detach(), "margin": (real_logits - fake_logits).mean().detach()}
        if penalized:
            r1, r2 = gradient_penalty(real_logits, images[0]), gradient_penalty(fake_logits, images[1])
            loss = loss + self._config.r1_gamma * self._config.penalty_every * (r1 + r2)
            losses |= {"r1": r1.detach(), "r2": r2.detach()}
        self._d_optimizer.descend(loss, step=step)
        return losses

    def _generator_step(self, real: Tensor, fake: Tensor, condition: Tensor, *, step: int) -> Tensor:
        self.discriminator.requires_grad_(False)
        with self._precision.autocast():
            with torch.no_grad():
                real_logits = self.discriminator(*self._seen(real, condition)).float()
            fake_logits = self.discriminator(*self._seen(fake, condition)).float()
        loss = generator_loss(real_logits, fake_logits)
        self._g_optimizer.descend(loss, step=step)
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _latent(self, condition: Tensor) -> Tensor:
        return torch.randn(self.generator.latent_shape(condition), generator=self._rng).to(condition.device)

    def _seen(self, images: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        if not self._config.augment:
            return images, condition
        return apart(diff_augment(joint(images, condition), self._rng), condition)


def _players(
    shape: NetShape, *, recompute: bool
) -> tuple[Generator | SceneGenerator, Discriminator | PatchDiscriminator]:
    if shape.level == "scene":
        return SceneGenerator(shape, recompute=recompute), PatchDiscriminator(shape, recompute=recompute)
    return Generator(shape, recompute=recompute), Discriminator(shape, recompute=recompute)
