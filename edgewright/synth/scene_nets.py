"""The GAN's networks for scenes: a layout and noise in, a picture of any size out.

Decides the graph: the residual blocks of the crops' GAN, fully convolutional, modulated at every place by the layout
there (SPADE: Park et al. 2019, arXiv 1903.07291, eq. 1, without its normalization, as R3GAN does without any). The
discriminator sees picture and layout together and judges every patch of the coarsest grid. Imports torch alone.

    picture = SceneGenerator(shape)(latent, layout)    # (N, 3, H, W) float32 [-1, 1]
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewright.learning.precision import run_block
from edgewright.synth.nets import Block, NetShape, act, conv, double


class SpadeBlock(nn.Module):
    """x + conv(act(conv(act(x)) · (1 + γ(layout)) + β(layout))), γ and β of each place."""

    def __init__(self, channels: int, *, map_channels: int, hidden: int) -> None:
        super().__init__()
        self.first = conv(channels, channels)
        self.second = conv(channels, channels, gain=0.3)
        self.read = conv(map_channels, hidden)
        self.modulate = conv(hidden, 2 * channels, kernel=1, gain=0.3)

    def forward(self, x: Tensor, layout: Tensor) -> Tensor:
        scale, shift = self.modulate(act(self.read(layout))).chunk(2, dim=1)
        made: Tensor = x + self.second(act(self.first(act(x)) * (1 + scale) + shift))
        return made


class SceneGenerator(nn.Module):
    """(N, numbers) noise and (N, K, H, W) layouts => (N, 3, H, W) float32 [-1, 1].

    H and W are multiples of `shape.stride_px`. Noise enters the coarsest grid, `shape.latent` numbers a place, and the
    finest, one number a place: what differs between two objects, and what differs between two pixels.
    """

    def __init__(self, shape: NetShape, *, recompute: bool = False) -> None:
        super().__init__()
        self.shape, self.recompute = shape, recompute
        channels, maps = shape.channels, shape.map_channels
        self.start = conv(shape.latent + maps, channels[0])
        self.blocks = nn.ModuleList(SpadeBlock(count, map_channels=maps, hidden=shape.width) for count in channels)
        self.widen = nn.ModuleList(conv(a, b, kernel=1) for a, b in pairwise(channels))
        self.grain = nn.Parameter(torch.zeros(channels[-1], 1, 1))
        self.to_picture = conv(channels[-1], shape.image_channels, gain=0.3)

    def latent_shape(self, layout: Tensor) -> tuple[int, ...]:
        """Of the standard normal numbers that pictures of these layouts are drawn from."""
        coarse, fine = self._noise_shapes(layout)
        return (len(layout), math.prod(coarse) + math.prod(fine))

    def forward(self, latent: Tensor, layout: Tensor) -> Tensor:
        coarse, fine = self._noise_shapes(layout)
        places, grain = latent.split([math.prod(coarse), math.prod(fine)], dim=1)
        places = places * (layout.shape[1] / self.shape.latent) ** 0.5  # together as loud as the layout, or it drowns
        x = self.start(torch.cat([places.unflatten(1, coarse), shrunk(layout, coarse[1:])], dim=1))
        x = run_block(self.blocks[0], x, shrunk(layout, x.shape[2:]), recompute=self.recompute)
        for widen, block in zip(self.widen, list(self.blocks)[1:], strict=True):
            x = widen(double(x))
            x = run_block(block, x, shrunk(layout, x.shape[2:]), recompute=self.recompute)
        x = x + self.grain * grain.unflatten(1, fine)
        return torch.tanh(self.to_picture(double(act(x))))

    def _noise_shapes(self, layout: Tensor) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        height, width = layout.shape[2:]
        stride = self.shape.stride_px
        return (self.shape.latent, height // stride, width // stride), (1, height // 2, width // 2)


class PatchDiscriminator(nn.Module):
    """(N, 3, H, W) float32 [-1, 1] and (N, K, H, W) layouts => (N, P) logits, one a place of the coarsest grid."""

    def __init__(self, shape: NetShape, *, recompute: bool = False) -> None:
        super().__init__()
        self.recompute = recompute
        channels = shape.channels[::-1]
        self.from_picture = conv(shape.image_channels + shape.map_channels, channels[0])
        self.blocks = nn.ModuleList(Block(count) for count in channels)
        self.widen = nn.ModuleList(conv(a, b, kernel=1) for a, b in pairwise(channels))
        self.logit = nn.Conv2d(channels[-1], 1, 3, padding=1)

    def forward(self, pictures: Tensor, layout: Tensor) -> Tensor:
        x = F.avg_pool2d(act(self.from_picture(torch.cat([pictures, layout], dim=1))), 2)
        x = run_block(self.blocks[0], x, recompute=self.recompute)
        for widen, block in zip(self.widen, list(self.blocks)[1:], strict=True):
            x = run_block(block, widen(F.avg_pool2d(x, 2)), recompute=self.recompute)
        logits: Tensor = self.logit(act(x)).flatten(1)
        return logits


def shrunk(layout: Tensor, grid_hw: tuple[int, ...] | torch.Size) -> Tensor:
    """The layout on a coarser grid: the share of each place that a class or an edge has."""
    return F.avg_pool2d(layout, layout.shape[2] // grid_hw[0])
