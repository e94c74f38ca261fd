"""The diffusion model's network: a small U-Net that predicts a velocity, for crops of a class or scenes of a layout.

Decides the graph: a pixel-unshuffle stem (the finest grid has half the side, where convolutions cost a quarter), the
grids of `NetShape`, one residual block a grid on the way down and one on the way up, skips that are added, FiLM from
time and class, layouts concatenated at the input. Norms look at one place alone (as in Karras et al. 2023,
arXiv 2312.02696, eq. 30), so a net that was trained on tiles paints whole pictures. Imports torch alone.

    velocity = FlowNet(shape)(x, t, class_id)             # (N, 4, S, S)
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewright.learning.precision import run_block
from edgewright.synth.networks.flow_matching import precondition
from edgewright.synth.networks.nets import NetShape, conv

_FREQUENCIES = 16


class FlowBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))) · (1 + scale) + shift)); the last convolution starts at 0."""

    def __init__(self, channels: int, *, condition: int) -> None:
        super().__init__()
        self.first = conv(channels, channels)
        self.second = conv(channels, channels, gain=0.0)
        self.film = nn.Linear(condition, 2 * channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        hidden = norm(self.first(F.silu(norm(x)))) * (1 + scale) + shift
        made: Tensor = x + self.second(F.silu(hidden))
        return made


class FlowNet(nn.Module):
    """x_t (N, C, H, W), t (N,) in [0, 1], and class ids (N,) or layouts (N, K, H, W) => velocity (N, C, H, W).

    H and W are multiples of `shape.stride_px`. The preconditioning is part of it, in float32.
    """

    def __init__(self, shape: NetShape, *, recompute: bool = False) -> None:
        super().__init__()
        self.shape, self.recompute = shape, recompute
        channels = shape.channels[::-1]
        wide = 4 * shape.width
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES, wide), nn.SiLU(), nn.Linear(wide, wide))
        self.embed = nn.Embedding(shape.n_classes, wide) if shape.level == "object" else None
        self.changed = nn.Embedding(2, wide)
        self.stem = conv(4 * (shape.image_channels + shape.map_channels), channels[0])
        self.down = nn.ModuleList(FlowBlock(count, condition=wide) for count in channels)
        self.up = nn.ModuleList(FlowBlock(count, condition=wide) for count in channels[-2::-1])
        self.widen = nn.ModuleList(conv(a, b, kernel=1) for a, b in pairwise(channels))
        self.narrow = nn.ModuleList(conv(a, b, kernel=1) for a, b in pairwise(channels[::-1]))
        self.head = conv(channels[0], 4 * shape.image_channels, gain=0.0)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, changed: Tensor | None = None) -> Tensor:
        """`changed`: (N,) bool, which examples were augmented; None: none was."""
        c_in, c_skip, c_out = precondition(t)
        told = self._told(t, condition, torch.zeros_like(t, dtype=torch.long) if changed is None else changed.long())
        seen = torch.cat([c_in * x, condition], dim=1) if self.embed is None else c_in * x
        hidden = self._body(self.stem(F.pixel_unshuffle(seen, 2)), told)
        predicted = F.pixel_shuffle(self.head(F.silu(norm(hidden))), 2)
        return c_skip * x + c_out * predicted.float()

    def _told(self, t: Tensor, condition: Tensor, changed: Tensor) -> Tensor:
        told = self.time(time_features(t)) + self.changed(changed)
        return F.silu(told if self.embed is None else told + self.embed(condition))

    def _body(self, x: Tensor, told: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = self.widen[level - 1](F.avg_pool2d(x, 2)) if level else x
            x = run_block(block, x, told, recompute=self.recompute)
            skips.append(x)
        for narrow, block, skip in zip(self.narrow, self.up, skips[-2::-1], strict=True):
            x = (F.interpolate(narrow(x), scale_factor=2.0) + skip) * 0.5**0.5
            x = run_block(block, x, told, recompute=self.recompute)
        return x


def time_features(t: Tensor) -> Tensor:
    """(N,) in [0, 1] => (N, 32): sines and cosines of half a turn to 64 turns."""
    turns = torch.logspace(-1, 6, _FREQUENCIES, base=2.0, device=t.device)
    angle = 2 * math.pi * t[:, None] * turns
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def norm(x: Tensor) -> Tensor:
    """x / sqrt(mean of x² over the channels of one place + 1e-4)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-4)
