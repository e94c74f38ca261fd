"""Training steps of the generators for the benchmarks: their passes, without augmentation and optimizer.

step = gan_step(shape, Place(device, torch.bfloat16), 32, recompute=True)
step()
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgewright.synth.networks.flow_matching import velocity_loss
from edgewright.synth.networks.losses import discriminator_loss, generator_loss, gradient_penalty
from edgewright.synth.networks.nets import Discriminator, Generator, NetShape
from edgewright.synth.networks.scene_nets import PatchDiscriminator, SceneGenerator
from edgewright.synth.networks.unet import FlowNet

Step = Callable[[], Tensor]


@dataclass(frozen=True)
class Place:
    """Where a step runs, and what its insides are cast to."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> AbstractContextManager[None]:
        """Convolutions and matrix products inside run in `dtype`; float32 is what they run in anyway."""
        return nullcontext() if self.dtype is torch.float32 else torch.autocast(self.device.type, dtype=self.dtype)


def flow_step(shape: NetShape, place: Place, batch: int, *, recompute: bool) -> Step:
    """Passes of one step of `train_flow.Flow`, without augmentation."""
    network = on_device(FlowNet(shape, recompute=recompute), place)
    nn.init.normal_(network.head.weight, std=0.02)  # at 0 the gradient ends at the last layer
    data, condition = example(shape, place, batch)
    noise, t = torch.randn_like(data), torch.rand(batch, device=place.device)

    def step() -> Tensor:
        with place.autocast():
            predicted = network(torch.lerp(noise, data, t[:, None, None, None]), t, condition)
        loss = velocity_loss(predicted, data=data, noise=noise)
        network.zero_grad(set_to_none=True)
        loss.backward()
        return loss

    return step


def gan_step(shape: NetShape, place: Place, batch: int, *, recompute: bool) -> Step:
    """Passes of one step of `train_gan.Gan` that takes both penalties, without augmentation."""
    kinds = (SceneGenerator, PatchDiscriminator) if shape.level == "scene" else (Generator, Discriminator)
    generator, judge = (on_device(kind(shape, recompute=recompute), place) for kind in kinds)
    real, condition = example(shape, place, batch)
    latent = torch.randn(generator.latent_shape(condition), device=place.device)

    def step() -> Tensor:
        with place.autocast():
            fake = generator(latent, condition)
        # cloned, because torch's counter of FLOP cannot follow gradients to a leaf
        images = [pictures.detach().float().requires_grad_().clone() for pictures in (real, fake)]
        logits = [judge(pictures, condition) for pictures in images]
        penalties = [gradient_penalty(judged, pictures) for judged, pictures in zip(logits, images, strict=True)]
        judge.zero_grad(set_to_none=True)
        (discriminator_loss(*logits) + sum(penalties)).backward()
        judge.requires_grad_(False)
        with place.autocast():
            loss = generator_loss(logits[0].detach(), judge(fake.float(), condition).float())
        generator.zero_grad(set_to_none=True)
        loss.backward()
        judge.requires_grad_(True)
        return loss

    return step


def on_device(network: nn.Module, place: Place) -> Any:
    return network.to(place.device, memory_format=torch.channels_last)


def example(shape: NetShape, place: Place, batch: int) -> tuple[Tensor, Tensor]:
    """Random pictures, and their classes or layouts."""
    side, device = shape.side_px, place.device
    if shape.level == "scene":
        condition = torch.randint(2, (batch, shape.map_channels, side, side), device=device).float()
    else:
        condition = torch.zeros(batch, dtype=torch.long, device=device)
    return torch.randn(batch, shape.image_channels, side, side, device=device), condition
