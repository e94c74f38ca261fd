"""The segmenter's graphs, both U-Nets (Ronneberger et al. 2015). Imports torch alone, so that a machine with nothing
else can run them.

`unet` decides its encoder itself: a space-to-depth stem (the first convolutions run at half resolution, where they cost
a quarter), three levels below. 0.31 M weights; 0.17 G multiply-adds a picture at 128 px and width 16. `efficientnet`
has EfficientNet-lite0's first eleven blocks there, whose weights are packaged. Both give logits at half resolution that
are doubled smoothly.

    logits = network_named("unet", n_classes=3, width=16)(pictures)     # (N, 5, S, S)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewright.learning.efficientnet import EfficientNetLite

BLOCKS = 11
"""Of EfficientNet-lite0: through the last at stride 16."""


class Block(nn.Module):
    """Two 3×3 convolutions."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_convolution(channels_in, channels_out), *_convolution(channels_out, channels_out))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


class SegmentationNet(nn.Module):
    """NCHW float32 RGB [0, 1] => NCHW logits: background, the classes, and last the core."""

    def __init__(self, *, n_classes: int, width: int) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 4 * width)
        self.stem = nn.Conv2d(12, width, 3, padding=1)
        self.down = nn.ModuleList(Block(a, b) for a, b in zip((width, *widths[:3]), widths, strict=True))
        self.up = _rising(widths)
        self.head = nn.Conv2d(width, n_classes + 2, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(F.pixel_unshuffle(x - 0.5, 2).contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        return _decode(self, skips)


class EncodedNet(nn.Module):
    """NCHW float32 RGB [0, 1], sides a multiple of 16 => NCHW logits: background, the classes, and last the core."""

    def __init__(self, *, n_classes: int, width: int) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 4 * width)
        self.backbone = EfficientNetLite(width=1.0, depth=1.0, blocks=BLOCKS, strides=(2, 4, 8, 16))
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))
            for a, b in zip(self.backbone.channels, widths, strict=True)
        )
        self.up = _rising(widths)
        self.head = nn.Conv2d(width, n_classes + 2, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        levels = self.backbone(x.contiguous(memory_format=torch.channels_last))
        return _decode(self, [lateral(level) for lateral, level in zip(self.lateral, levels, strict=True)])


def network_named(name: str, *, n_classes: int, width: int) -> SegmentationNet | EncodedNet:
    """`unet` or `efficientnet`."""
    kind = EncodedNet if name == "efficientnet" else SegmentationNet
    return kind(n_classes=n_classes, width=width)


def _rising(widths: tuple[int, ...]) -> nn.ModuleList:
    """A block a level, from the deepest but one to the first."""
    return nn.ModuleList(Block(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))


def _decode(net: SegmentationNet | EncodedNet, levels: list[Tensor]) -> Tensor:
    """Features by level, finest first => logits at twice the finest's size."""
    x = levels[-1]
    for block, skip in zip(net.up, levels[-2::-1], strict=True):
        x = block(torch.cat([F.interpolate(x, scale_factor=2.0), skip], dim=1))
    return _double(net.head(x))


def _double(x: Tensor) -> Tensor:
    """Twice the size, smoothly: every pixel four times, then the mean of 3 × 3, as one matrix a side. A backward pass
    through products is deterministic on CUDA (that of bilinear is not), and on a CPU it takes a fifth of the pooling's
    time."""
    height, width = x.shape[-2:]
    return _doubling(height, like=x) @ x.contiguous() @ _doubling(width, like=x).T


def _doubling(size: int, *, like: Tensor) -> Tensor:
    """(2 · size, size): a row a new pixel, the mean of itself and its two neighbors, fewer at the edge."""
    rows, columns = torch.arange(2 * size, device=like.device), torch.arange(size, device=like.device)
    near = [((rows + step).clamp(0, 2 * size - 1) // 2)[:, None] == columns for step in (-1, 0, 1)]
    inside = [((rows + step >= 0) & (rows + step < 2 * size))[:, None] for step in (-1, 0, 1)]
    kept = torch.stack([a & b for a, b in zip(near, inside, strict=True)]).sum(0).to(like.dtype)
    return kept / kept.sum(dim=1, keepdim=True)


def _convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    ]
