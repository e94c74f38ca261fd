"""The GAN's generator and discriminator of object crops: small, class-conditional, without normalization layers.

Decides the graph: residual blocks as in R3GAN (Huang et al. 2024, arXiv 2501.05441, §3: no normalization, the last
convolution of a block starts small) on three to five grids, the finest of half the crop's side; only one thin
convolution works at the full side. Pixel shuffle there, which is cheaper still, left a checkerboard that 300 steps did
not remove. The generator makes RGBA, not RGB: opacity and picture must agree, a fixed mask over a generated gear would
cut its teeth. Imports torch alone, so that a machine with nothing else can run it.

    crops = Generator(shape)(latent, class_id)        # (N, 4, S, S) float32 [-1, 1]
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewright.learning.precision import run_block

_SLOPE = 0.2
_BRANCH_GAIN = 0.3  # R3GAN starts at 0, which costs the first hundred steps of a short run
_GAIN = (2 / (1 + _SLOPE**2)) ** 0.5


@dataclass(frozen=True)
class NetShape:
    """What a network makes and how large it is; the same words for a GAN and for a flow.

    Attributes:
        side_px: of object crops, or of the tiles that scenes are learned from.
        width: channels on the finest grid.
        latent: numbers that one crop, or one place of a scene's coarsest grid, is drawn from.
        level: `object` makes RGBA crops of a class, `scene` makes RGB pictures of a layout.
    """

    side_px: int
    width: int
    latent: int
    n_classes: int
    level: str = "object"

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each grid, from the coarsest, of 4 to 8 px a crop, to that of half its side: no grid costs more than the
        finest.
        """
        extra = 0 if self.side_px <= 64 else 1 if self.side_px <= 128 else 2
        return (4 * self.width,) * extra + (4 * self.width, 2 * self.width, self.width)

    @property
    def stride_px(self) -> int:
        """Pixels of the picture to one of the coarsest grid; sides are multiples of it."""
        return int(2 ** len(self.channels))

    @property
    def image_channels(self) -> int:
        """RGB and opacity of a crop, RGB of a scene."""
        return 4 if self.level == "object" else 3

    @property
    def map_channels(self) -> int:
        """A scene's layout: a plane a class and one of instance edges; a crop has none."""
        return 0 if self.level == "object" else self.n_classes + 1


class Block(nn.Module):
    """x + conv(act(conv(act(x)) · (1 + scale) + shift)); the last convolution starts small."""

    def __init__(self, channels: int, *, condition: int = 0) -> None:
        super().__init__()
        self.first = conv(channels, channels)
        self.second = conv(channels, channels, gain=_BRANCH_GAIN)
        self.film = nn.Linear(condition, 2 * channels) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        hidden = self.first(act(x))
        if self.film is not None and condition is not None:
            scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        out: Tensor = x + self.second(act(hidden))
        return out


class Generator(nn.Module):
    """(N, latent) float32 and (N,) class ids => (N, 4, S, S) float32 [-1, 1]."""

    def __init__(self, shape: NetShape, *, recompute: bool = False) -> None:
        super().__init__()
        self.shape, self.recompute = shape, recompute
        low, high = shape.channels[0], shape.channels[-1]
        self.embed = nn.Embedding(shape.n_classes, shape.latent)
        self.condition = nn.Linear(2 * shape.latent, 4 * shape.width)
        self.start = nn.Linear(2 * shape.latent, low * self._base_px**2)
        condition = 4 * shape.width
        self.blocks = nn.ModuleList(Block(channels, condition=condition) for channels in shape.channels)
        self.widen = nn.ModuleList(conv(a, b, kernel=1) for a, b in pairwise(shape.channels))
        self.to_crop = conv(high, shape.image_channels, gain=0.3)

    @property
    def _base_px(self) -> int:
        return self.shape.side_px // self.shape.stride_px

    def latent_shape(self, class_id: Tensor) -> tuple[int, ...]:
        """Of the standard normal numbers that crops of these classes are drawn from."""
        return (len(class_id), self.shape.latent)

    def forward(self, latent: Tensor, class_id: Tensor) -> Tensor:
        joined = torch.cat([latent, self.embed(class_id)], dim=1)
        condition = act(self.condition(joined))
        x = self.start(joined).unflatten(1, (-1, self._base_px, self._base_px))
        x = run_block(self.blocks[0], x, condition, recompute=self.recompute)
        for widen, block in zip(self.widen, list(self.blocks)[1:], strict=True):
            x = run_block(block, widen(double(x)), condition, recompute=self.recompute)
        return torch.tanh(self.to_crop(double(act(x))))


class Discriminator(nn.Module):
    """(N, 4, S, S) float32 [-1, 1] and (N,) class ids => (N,) logits; classes by projection (Miyato & Koyama 2018)."""

    def __init__(self, shape: NetShape, *, recompute: bool = False) -> None:
        super().__init__()
        self.recompute = recompute
        channels = shape.channels[::-1]
        low, high = channels[-1], channels[0]
        self.from_crop = conv(shape.image_channels, high)
        self.blocks = nn.ModuleList(Block(count) for count in channels)
        self.widen = nn.ModuleList(conv(a, b, kernel=1) for a, b in pairwise(channels))
        self.gather = nn.Conv2d(low, low, shape.side_px // shape.stride_px, groups=low)
        self.logit = nn.Linear(low, 1)
        self.embed = nn.Embedding(shape.n_classes, low)

    def forward(self, crops: Tensor, class_id: Tensor) -> Tensor:
        x = F.avg_pool2d(act(self.from_crop(crops)), 2)
        x = run_block(self.blocks[0], x, recompute=self.recompute)
        for widen, block in zip(self.widen, list(self.blocks)[1:], strict=True):
            x = run_block(block, widen(F.avg_pool2d(x, 2)), recompute=self.recompute)
        features = self.gather(act(x)).flatten(1)  # depthwise, as R3GAN ends: a dense layer there overshot every step
        projection = (self.embed(class_id) * features).sum(dim=1) / features.shape[1] ** 0.5
        logits: Tensor = self.logit(features)[:, 0] + projection
        return logits


def to_pixels(crops: Tensor) -> Tensor:
    """NCHW float32 [-1, 1] => NHWC uint8 [0, 255]."""
    return ((crops.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def from_pixels(pixels: Tensor) -> Tensor:
    """NHWC uint8 [0, 255] => NCHW float32 [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1


def double(x: Tensor) -> Tensor:
    """Twice the side, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def act(x: Tensor) -> Tensor:
    """Leaky ReLU."""
    return F.leaky_relu(x, _SLOPE)


def conv(channels_in: int, channels_out: int, *, kernel: int = 3, gain: float = 1.0) -> nn.Conv2d:
    """He-initialized for the leaky ReLU before it, times `gain`."""
    made = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
    nn.init.normal_(made.weight, std=gain * _GAIN / (channels_in * kernel**2) ** 0.5)
    if made.bias is not None:
        nn.init.zeros_(made.bias)
    return made
