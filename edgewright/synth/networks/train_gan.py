"""The GAN's step: a discriminator and a generator on the same pairs, in 16 bits or not.

Decides the step: penalties every n-th one (lazy, n times the weight: Karras et al. 2020, arXiv 1912.04958, §3.1),
always in float32, averaged weights. The generator paints the very classes or layouts that the real batch shows, so
that the relativistic loss compares like with like. Real and generated images pass the discriminator as one batch, and
the generator is held against the real logits of that same pass, one update old: a pass less than judging the real ones
again.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edgewright.learning.averaging import Average
from edgewright.learning.checkpoint import Stateful
from edgewright.learning.descent import Descent, Optimizer, all_of
from edgewright.learning.device import best_device, seeded
from edgewright.learning.layout import lay_out_by_pixel
from edgewright.learning.loop import Method
from edgewright.learning.precision import Precision
from edgewright.learning.streams import TorchStream
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.networks.augment import apart, diff_augment, joint
from edgewright.synth.networks.batches import Batches, ImageBatch
from edgewright.synth.networks.losses import discriminator_loss, generator_loss, gradient_penalties
from edgewright.synth.networks.nets import Discriminator, Generator, NetShape
from edgewright.synth.networks.scene_nets import PatchDiscriminator, SceneGenerator

LEARNING_RATE = 2e-4
EMA_DECAY = 0.98
_DISCRIMINATOR_PACE = 4
"""Two time scales (Heusel et al. 2017, arXiv 1706.08500): at one pace the discriminator gives up at step ~100 here."""
_BETAS = (0.0, 0.99)  # R3GAN, appendix D: no momentum, beta2 annealed towards 0.99


class Gan(Method[ImageBatch]):
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
        self.generator = lay_out_by_pixel(generator.to(device))
        self.discriminator = lay_out_by_pixel(discriminator.to(device))
        decay = EMA_DECAY if config.ema_decay is None else config.ema_decay
        self._average = Average(self.generator, decay=decay)
        self.network = self._average.network
        self._scaler = self._precision.scaler()
        rate = config.learning_rate or LEARNING_RATE
        self._g_optimizer = Optimizer(all_of(self.generator), Descent(rate, _BETAS), self._scaler)
        d_descent = Descent(rate * _DISCRIMINATOR_PACE, _BETAS)
        self._d_optimizer = Optimizer(all_of(self.discriminator), d_descent, self._scaler)

    def draw(self, _: int) -> ImageBatch:
        return self._batches.draw(self._config.batch, self._rng)

    def advance(self, batch: ImageBatch, step: int) -> Mapping[str, Tensor]:
        """One step of both players: `d_loss`, `margin` (mean of D(real) - D(fake)), `r1`, `r2` if taken, `g_loss`."""
        with self._precision.matmuls():
            with self._precision.autocast():
                fake = self.generator(self._latent(batch.condition), batch.condition)
            fake = fake.float()
            pairs = torch.cat([batch.images, fake.detach()])
            losses, real_logits = self._discriminator_step(pairs, batch.condition, step=step)
            losses["g_loss"] = self._generator_step(real_logits, fake, batch.condition, step=step)
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

    def _discriminator_step(self, pairs: Tensor, condition: Tensor, *, step: int) -> tuple[dict[str, Tensor], Tensor]:
        """The losses, and what it thought of the real images; `pairs`: those, then as many generated ones."""
        penalized = step % self._config.penalty_every == 0 and self._config.r1_gamma > 0
        seen, where = self._seen(pairs, torch.cat([condition, condition]))
        images = seen.detach().contiguous(memory_format=torch.channels_last).requires_grad_(penalized)
        with self._precision.autocast(active=not penalized):
            logits = self.discriminator(images, where).float()
        real_logits, fake_logits = logits.chunk(2)
        loss = discriminator_loss(real_logits, fake_logits)
        losses = {"d_loss": loss.detach(), "margin": (real_logits - fake_logits).mean().detach()}
        if penalized:
            r1, r2 = gradient_penalties(logits, images)
            loss = loss + self._config.r1_gamma * self._config.penalty_every * (r1 + r2)
            losses |= {"r1": r1.detach(), "r2": r2.detach()}
        self._d_optimizer.descend(loss, step=step)
        return losses, real_logits.detach()

    def _generator_step(self, real_logits: Tensor, fake: Tensor, condition: Tensor, *, step: int) -> Tensor:
        self.discriminator.requires_grad_(False)
        with self._precision.autocast():
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
