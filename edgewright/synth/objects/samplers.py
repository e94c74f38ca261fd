"""Trained networks that make object crops: class ids in, pixels out, every draw from the generator passed in.

Decides how a network is asked, never what for. Imports torch and numpy alone.

    crops = GanSampler(network, class_ids=(0, 2)).sample([0, 0, 2], rng)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from edgewright.synth.networks.flow_matching import integrate
from edgewright.synth.networks.nets import Generator, to_pixels
from edgewright.synth.networks.unet import FlowNet

Rgba = npt.NDArray[np.uint8]


class CropSampler(Protocol):
    """Whatever makes crops. `class_ids`: of the dataset, those that were learned."""

    @property
    def side_px(self) -> int:
        """Of the crops."""
        ...

    @property
    def class_ids(self) -> tuple[int, ...]: ...

    def sample(self, class_ids: Sequence[int], rng: np.random.Generator) -> list[Rgba]:
        """One (S, S, 4) uint8 crop for each class id; every id must be one that was learned."""
        ...


@dataclass(frozen=True)
class GanSampler:
    """One pass through the generator. `class_ids[i]` is the class of its i-th embedding."""

    network: Generator
    class_ids: tuple[int, ...]

    @property
    def side_px(self) -> int:
        return self.network.shape.side_px

    def sample(self, class_ids: Sequence[int], rng: np.random.Generator) -> list[Rgba]:
        if not class_ids:
            return []
        index = _index(class_ids, self.class_ids, self.network)
        latent = draw_normal(self.network.latent_shape(index), rng, index.device)
        with torch.inference_mode():
            return list(to_pixels(self.network(latent, index)).cpu().numpy())


@dataclass(frozen=True)
class FlowSampler:
    """`steps` steps of `solver` from noise to data."""

    network: FlowNet
    class_ids: tuple[int, ...]
    solver: str
    steps: int

    @property
    def side_px(self) -> int:
        return self.network.shape.side_px

    def sample(self, class_ids: Sequence[int], rng: np.random.Generator) -> list[Rgba]:
        if not class_ids:
            return []
        index = _index(class_ids, self.class_ids, self.network)
        shape = self.network.shape
        noise = draw_normal((len(index), shape.image_channels, shape.side_px, shape.side_px), rng, index.device)
        with torch.inference_mode():
            made = integrate(lambda x, t: self.network(x, t, index), noise, steps=self.steps, solver=self.solver)
            return list(to_pixels(made).cpu().numpy())


def crop_sampler(
    network: nn.Module, class_ids: tuple[int, ...], *, solver: str = "heun", steps: int = 4
) -> CropSampler:
    """The sampler of a network; a GAN has no use for `solver` and `steps`."""
    if isinstance(network, FlowNet):
        return FlowSampler(network, class_ids, solver, steps)
    return GanSampler(cast(Generator, network), class_ids)


def draw_normal(shape: tuple[int, ...], rng: np.random.Generator, device: torch.device) -> Tensor:
    """Standard normal float32 numbers, the same on every device."""
    return torch.from_numpy(rng.standard_normal(shape, np.float32)).to(device)


def _index(class_ids: Sequence[int], learned: tuple[int, ...], network: nn.Module) -> Tensor:
    device = next(network.parameters()).device
    return torch.tensor([learned.index(class_id) for class_id in class_ids], device=device)
