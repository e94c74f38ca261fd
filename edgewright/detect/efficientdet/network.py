"""EfficientDet-lite as a module: backbone, BiFPN, two heads, and boxes in px at the end.

Decides how levels are joined (Tan, Pang & Le 2020, arXiv 1911.09070, figure 3 and eq. 1 with all weights 1, as the lite
form has it), that the heads' convolutions are shared by all levels and their batch norms are not, and how a box is
said: as a shift and a growth of its prior (Girshick et al. 2014, eq. 1–4). What comes out is what `runtime.decode`
calls dense: x y w h in px, then a score in [0, 1] a class.

    module = EfficientDet(graph_named("efficientdet-slim", n_classes=3))
    module(images).shape == (N, 4 + 3, places)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewright.detect.efficientdet.graph import LiteGraph
from edgewright.learning.efficientnet import EPSILON, MOMENTUM, ConvNorm, EfficientNetLite

SCALES, SHAPES = (0.0, 1 / 3, 2 / 3), (1.0, 2.0, 0.5)
"""Of nine priors: octaves, and width over height."""
MAX_GROWTH = 4.0
"""A box is at most e^4 times as wide as its prior: an unlearned head must not overflow."""
RARE = 0.01
"""Score of every class before anything is learned (Lin et al. 2017, arXiv 1708.02002, §4.1)."""


@dataclass(frozen=True)
class Raw:
    """What the heads say. Attributes: logits: (N, A, C); deltas: (N, A, 4); priors: (A, 4) x y w h px."""

    logits: Tensor
    deltas: Tensor
    priors: Tensor

    def boxes(self) -> Tensor:
        """(N, A, 4) x1 y1 x2 y2 px."""
        xywh = place_boxes(self.deltas, self.priors)
        half = xywh[..., 2:] / 2
        return torch.cat([xywh[..., :2] - half, xywh[..., :2] + half], dim=-1)


class Separable(nn.Module):
    """Depthwise, then pointwise with a bias."""

    def __init__(self, channels_in: int, channels: int, *, kernel_px: int = 3) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels_in, channels_in, kernel_px, padding=kernel_px // 2, groups=channels_in, bias=False
        )
        self.pointwise = nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))  # type: ignore[no-any-return]


class Joint(nn.Module):
    """Where levels meet: their sum, ReLU6, a separable convolution, batch norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Separable(channels, channels)
        self.norm = nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM)

    def forward(self, *levels: Tensor) -> Tensor:
        total = levels[0]
        for level in levels[1:]:
            total = total + level
        return self.norm(self.conv(F.relu6(total)))  # type: ignore[no-any-return]


class Cell(nn.Module):
    """One BiFPN cell: from the coarsest level down, then up again, with a shortcut from what came in."""

    def __init__(self, channels: int, n_levels: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(Joint(channels) for _ in range(n_levels - 1))
        self.up = nn.ModuleList(Joint(channels) for _ in range(n_levels - 1))

    def forward(self, levels: Sequence[Tensor], again: Sequence[Tensor]) -> list[Tensor]:
        """`again`: the same levels as the way up sees them: the first cell projects its inputs anew for it."""
        finer = [levels[-1]]
        for level, joint in zip(reversed(levels[:-1]), self.down, strict=True):
            finer.append(joint(level, F.interpolate(finer[-1], size=level.shape[-2:], mode="nearest")))
        finer.reverse()
        made = [finer[0]]
        for index, joint in enumerate(self.up, start=1):
            coarse = F.max_pool2d(made[-1], 3, stride=2, padding=1)
            inputs = [again[index], coarse] if index == len(levels) - 1 else [again[index], finer[index], coarse]
            made.append(joint(*inputs))
        return made


class Pyramid(nn.Module):
    """Backbone features => levels of equal channels; levels above the backbone's are pooled from the last."""

    def __init__(self, graph: LiteGraph, channels_in: Sequence[int]) -> None:
        super().__init__()
        count = len(graph.levels)
        self.lateral = nn.ModuleList(_project(n, graph.channels) for n in channels_in)
        self.again = nn.ModuleList(_project(n, graph.channels) for n in channels_in[1 : min(3, count - 1)])
        self.above = _project(channels_in[-1], graph.channels) if count > len(channels_in) else None
        self.cells = nn.ModuleList(Cell(graph.channels, count) for _ in range(graph.cells))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        levels = [project(x) for project, x in zip(self.lateral, features, strict=True)]
        if self.above is not None:
            levels.append(F.max_pool2d(self.above(features[-1]), 3, stride=2, padding=1))
            levels.append(F.max_pool2d(levels[-1], 3, stride=2, padding=1))
        again = [levels[0], *(project(x) for project, x in zip(self.again, features[1:], strict=False))]
        again += levels[len(again) :]
        for cell in self.cells:
            levels = cell(levels, again)
            again = levels
        return levels


class Head(nn.Module):
    """Convolutions that all levels share, with a batch norm a level, then one that says what is wanted."""

    def __init__(self, graph: LiteGraph, values: int) -> None:
        super().__init__()
        size, channels = graph.kernel_px, graph.channels
        self.convs = nn.ModuleList(Separable(channels, channels, kernel_px=size) for _ in range(graph.layers))
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM) for _ in graph.levels)
            for _ in range(graph.layers)
        )
        self.last = Separable(channels, graph.priors * values, kernel_px=size)
        self._values = values

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """=> (N, A, values): levels one after the other, row by row, a place's priors side by side."""
        found = []
        for index, level in enumerate(levels):
            x = level
            for conv, norms in zip(self.convs, self.norms, strict=True):
                x = F.relu6(norms[index](conv(x)))  # type: ignore[index]
            found.append(self.last(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, self._values))
        return torch.cat(found, dim=1)


class EfficientDet(nn.Module):
    """(N, 3, S, S) float32 RGB [0, 1], S a multiple of 32 => (N, 4 + C, A), see the module.

    Attributes:
        gives_feature: whether it also gives the mean over places of the backbone's last features, (N, feature_size).
    """

    def __init__(self, graph: LiteGraph) -> None:
        super().__init__()
        self.graph, self.gives_feature = graph, False
        self.backbone = EfficientNetLite(width=graph.width, depth=graph.depth, blocks=graph.blocks)
        self.pyramid = Pyramid(graph, self.backbone.channels)
        self.classes = Head(graph, graph.n_classes)
        self.places = Head(graph, 4)
        _initialize(self)

    @property
    def feature_size(self) -> int:
        return self.backbone.channels[-1]

    def raw(self, images: Tensor) -> Raw:
        return self._raw(self.backbone(images), images)

    def _raw(self, features: Sequence[Tensor], images: Tensor) -> Raw:
        levels = self.pyramid(features)
        make = priors_of.__wrapped__ if torch.compiler.is_compiling() else priors_of  # an export's tensors hold nothing
        priors = make(self.graph, images.shape[-1]).to(images.device)
        return Raw(self.classes(levels), self.places(levels), priors)

    def forward(self, images: Tensor) -> Any:
        """While it learns: `Raw`."""
        features = self.backbone(images)
        raw = self._raw(features, images)
        if self.training:
            return raw
        found = torch.cat([place_boxes(raw.deltas, raw.priors), raw.logits.sigmoid()], dim=-1).transpose(1, 2)
        return (found, features[-1].mean(dim=(2, 3))) if self.gives_feature else found


def place_boxes(deltas: Tensor, priors: Tensor) -> Tensor:
    """(…, A, 4) and (A, 4) => (…, A, 4) x y w h px: x + dx w, y + dy h, w e^dw, h e^dh."""
    at = deltas[..., :2] * priors[:, 2:] + priors[:, :2]
    size = deltas[..., 2:].clamp(-MAX_GROWTH, MAX_GROWTH).exp() * priors[:, 2:]
    return torch.cat([at, size], dim=-1)


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # kept: a later training may not save for its backward what inference has made
def priors_of(graph: LiteGraph, image_px: int) -> Tensor:
    """(A, 4) float32 x y w h px, in the order of the heads."""
    found = []
    shapes = [(scale, shape) for scale in SCALES for shape in SHAPES] if graph.priors == 9 else [(0.0, 1.0)]
    sides = torch.tensor([[2**scale * math.sqrt(shape), 2**scale / math.sqrt(shape)] for scale, shape in shapes])
    for level in graph.levels:
        stride = 2**level
        centers = (torch.arange(math.ceil(image_px / stride)) + 0.5) * stride
        y, x = torch.meshgrid(centers, centers, indexing="ij")
        at = torch.stack([x, y], dim=-1).reshape(-1, 1, 2).expand(-1, len(sides), 2)
        size = (graph.prior_strides * stride * sides).expand(len(at), -1, 2)
        found.append(torch.cat([at, size], dim=-1).reshape(-1, 4))
    return torch.cat(found)


def _project(channels_in: int, channels: int) -> nn.Module:
    return ConvNorm(channels_in, channels, act=False)


def _initialize(module: EfficientDet) -> None:
    """He et al. 2015 for what is followed by a rectifier; a score of `RARE` everywhere, boxes at their priors."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for head in (module.classes, module.places):
        nn.init.normal_(head.last.pointwise.weight, std=0.01)
    bias = module.classes.last.pointwise.bias
    if bias is not None:
        nn.init.constant_(bias, math.log(RARE / (1 - RARE)))
