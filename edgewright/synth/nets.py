"""The generator and the discriminator of object crops: small, class-conditional, without normalization layers.

Decides the graph: residual blocks as in R3GAN (Huang et al. 2024, arXiv 2501.05441, §3: no normalization, the last
convolution of a block starts small) on three grids, the finest of half the crop's side; only one thin convolution
works at the full side. Pixel shuffle there, which is cheaper still, left a checkerboard that 300 steps did not remove.
The generator makes RGBA, not RGB: opacity and picture must agree, a fixed mask over a generated gear would cut its
teeth.

    crops = Generator(shape)(latent, class_id)        # (N, 4, S, S) float32 [-1, 1]
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 4
"""RGB and opacity."""
_SLOPE = 0.2
_BRANCH_GAIN = 0.3  # R3GAN starts at 0, which costs the first hundred steps of a short run
_GAIN = (2 / (1 + _SLOPE**2)) ** 0.5


@dataclass(frozen=True)
class NetShape:
    """Three grids of side crop_px / 8, / 4, / 2 with 4, 2 and 1 times `width` channels: equal work on each."""

    crop_px: int
    width: int
    latent: int
    n_classes: int

    @property
    def channels(self) -> tuple[int, int, int]:
        return (4 * self.width, 2 * self.width, self.width)


class Block(nn.Module):
    """x + conv(act(conv(act(x)) · (1 + scale) + shift)); the last convolution starts small."""

    def __init__(self, channels: int, *, condition: int = 0) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = _conv(channels, channels, gain=_BRANCH_GAIN)
        self.film = nn.Linear(condition, 2 * channels) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        hidden = self.first(_act(x))
        if self.film is not None and condition is not None:
            scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        out: Tensor = x + self.second(_act(hidden))
        return out


class Generator(nn.Module):
    """(N, latent) float32 and (N,) class ids => (N, 4, S, S) float32 [-1, 1]."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        self.shape = shape
        low, middle, high = shape.channels
        self.embed = nn.Embedding(shape.n_classes, shape.latent)
        self.condition = nn.Linear(2 * shape.latent, 4 * shape.width)
        self.start = nn.Linear(2 * shape.latent, low * self._base_px**2)
        condition = 4 * shape.width
        self.blocks = nn.ModuleList(Block(channels, condition=condition) for channels in (low, middle, high))
        self.widen = nn.ModuleList([_conv(low, middle, kernel=1), _conv(middle, high, kernel=1)])
        self.to_crop = _conv(high, CHANNELS, gain=0.3)

    @property
    def _base_px(self) -> int:
        return self.shape.crop_px // 8

    def forward(self, latent: Tensor, class_id: Tensor) -> Tensor:
        joined = torch.cat([latent, self.embed(class_id)], dim=1)
        condition = _act(self.condition(joined))
        x = self.start(joined).unflatten(1, (-1, self._base_px, self._base_px))
        x = self.blocks[0](x, condition)
        for widen, block in zip(self.widen, list(self.blocks)[1:], strict=True):
            x = block(widen(_double(x)), condition)
        return torch.tanh(self.to_crop(_double(_act(x))))


class Discriminator(nn.Module):
    """(N, 4, S, S) float32 [-1, 1] and (N,) class ids => (N,) logits; classes by projection (Miyato & Koyama 2018)."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        low, middle, high = shape.channels
        self.from_crop = _conv(CHANNELS, high)
        self.blocks = nn.ModuleList(Block(channels) for channels in (high, middle, low))
        self.widen = nn.ModuleList([_conv(high, middle, kernel=1), _conv(middle, low, kernel=1)])
        self.gather = nn.Conv2d(low, low, shape.crop_px // 8, groups=low)
        self.logit = nn.Linear(low, 1)
        self.embed = nn.Embedding(shape.n_classes, low)

    def forward(self, crops: Tensor, class_id: Tensor) -> Tensor:
        x = self.blocks[0](F.avg_pool2d(_act(self.from_crop(crops)), 2))
        for widen, block in zip(self.widen, list(self.blocks)[1:], strict=True):
            x = block(widen(F.avg_pool2d(x, 2)))
        features = self.gather(_act(x)).flatten(1)  # depthwise, as R3GAN ends: a dense layer there overshot every step
        projection = (self.embed(class_id) * features).sum(dim=1) / features.shape[1] ** 0.5
        logits: Tensor = self.logit(features)[:, 0] + projection
        return logits


def to_pixels(crops: Tensor) -> Tensor:
    """NCHW float32 [-1, 1] => NHWC uint8 [0, 255]."""
    return ((crops.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def from_pixels(pixels: Tensor) -> Tensor:
    """NHWC uint8 [0, 255] => NCHW float32 [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE)


def _conv(channels_in: int, channels_out: int, *, kernel: int = 3, gain: float = 1.0) -> nn.Conv2d:
    """He-initialized for the leaky ReLU before it, times `gain`."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
    nn.init.normal_(conv.weight, std=gain * _GAIN / (channels_in * kernel**2) ** 0.5)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
