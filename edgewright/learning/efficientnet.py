"""EfficientNet-lite (google/automl's lite form of Tan & Le 2019): the stem and the inverted residual blocks.

Decides the graph to the letter of the published weights: ReLU6, no squeeze-and-excitation, TensorFlow's SAME padding
(at stride 2 one pixel more at the right and at the bottom), batch norm with epsilon 1e-3. Takes RGB in [0, 1] and
brings it to (255 x - 127) / 128, as the weights were trained.

    features = EfficientNetLite(width=1.0, depth=1.0, blocks=12)(images)       # strides 8, 16, 32
    [f.shape[1] for f in features] == [40, 112, 192]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

EPSILON, MOMENTUM = 1e-3, 0.03
STEM = 32


@dataclass(frozen=True)
class Stage:
    """Blocks of one kind. Attributes: expand: hidden channels a channel that comes in; channels: that go out."""

    repeats: int
    kernel_px: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""Tan & Le 2019, table 1."""


class ConvNorm(nn.Module):
    """Convolution with SAME padding, batch norm, and ReLU6 where asked."""

    def __init__(
        self, channels_in: int, channels: int, *, kernel_px: int = 1, stride: int = 1, groups: int = 1, act: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel_px, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM)
        self.act = nn.ReLU6(inplace=True) if act else nn.Identity()
        before = (kernel_px - stride) // 2  # of an even side: all that SAME adds is kernel - stride
        after = kernel_px - stride - before
        self.padding = (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, self.padding) if any(self.padding) else x
        return self.act(self.norm(self.conv(padded)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Inverted residual (Sandler et al. 2018, arXiv 1801.04381, figure 3): wider, depthwise, narrower; added where the
    shape stays."""

    def __init__(self, channels_in: int, stage: Stage, *, first: bool) -> None:
        super().__init__()
        hidden, stride = channels_in * stage.expand, stage.stride if first else 1
        self.expand = ConvNorm(channels_in, hidden) if stage.expand > 1 else nn.Identity()
        self.depthwise = ConvNorm(hidden, hidden, kernel_px=stage.kernel_px, stride=stride, groups=hidden)
        self.project = ConvNorm(hidden, stage.channels, act=False)
        self.adds = stride == 1 and channels_in == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        made = self.project(self.depthwise(self.expand(x)))
        return made + x if self.adds else made  # type: ignore[no-any-return]


class EfficientNetLite(nn.Module):
    """NCHW float32 RGB [0, 1], sides a multiple of the last stride => the last features at each of the strides.

    Args:
        blocks: how many are kept; 0: all.
        strides: of 2, 4, 8, 16 and 32, ascending.
    """

    def __init__(self, *, width: float, depth: float, blocks: int = 0, strides: tuple[int, ...] = (8, 16, 32)) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM, kernel_px=3, stride=2)
        made = list(_blocks(width, depth))[: blocks or None]
        self.blocks = nn.ModuleList(block for block, _, _ in made)
        reached = [stride for _, _, stride in made]
        self._taps = tuple(max(i for i, stride in enumerate(reached) if stride == wanted) for wanted in strides)
        self.channels = tuple(made[tap][1] for tap in self._taps)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.stem((images * 255 - 127) / 128)
        taken = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._taps:
                taken.append(x)
        return taken


def _blocks(width: float, depth: float) -> Iterator[tuple[Block, int, int]]:
    """Each with the channels that go out and its stride; the first and the last stage keep their repeats."""
    channels, total = STEM, 2
    for index, stage in enumerate(STAGES):
        ends = index in (0, len(STAGES) - 1)
        scaled = Stage(
            stage.repeats, stage.kernel_px, stage.stride, stage.expand, round_channels(stage.channels * width)
        )
        for number in range(stage.repeats if ends else math.ceil(stage.repeats * depth)):
            block = Block(channels, scaled, first=number == 0)
            total *= stage.stride if number == 0 else 1
            channels = scaled.channels
            yield block, channels, total


def round_channels(channels: float) -> int:
    """To a multiple of 8, never down by more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


_PARTS = {"conv": ("_expand_conv", "_depthwise_conv", "_project_conv"), "norm": ("_bn0", "_bn1", "_bn2")}


def from_published(weights: Mapping[str, Tensor], *, blocks: int) -> dict[str, Tensor]:
    """Weights by the names of the published PyTorch conversion => by those of `EfficientNetLite` with so many blocks.

    What it has no place for (later blocks, the classifier) is left out, and `num_batches_tracked` with it.
    """
    renamed = {f"stem.conv.{end}": weights[f"_conv_stem.{end}"] for end in ("weight",)}
    renamed |= {f"stem.norm.{end}": weights[f"_bn0.{end}"] for end in _NORM}
    for index in range(blocks):
        for place, part in enumerate(("expand", "depthwise", "project")):
            old, new = f"_blocks.{index}.", f"blocks.{index}.{part}."
            if f"{old}{_PARTS['conv'][place]}.weight" in weights:
                renamed[f"{new}conv.weight"] = weights[f"{old}{_PARTS['conv'][place]}.weight"]
                renamed |= {f"{new}norm.{end}": weights[f"{old}{_PARTS['norm'][place]}.{end}"] for end in _NORM}
    return renamed


_NORM = ("weight", "bias", "running_mean", "running_var")
