"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738): what the discriminator sees is augmented, real and generated alike.

Color changes RGB alone; translation and cutout move picture and opacity together. Differentiable, so that the
generator learns through it. Every draw comes from the generator passed in.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SHIFT_SHARE = 1 / 8
_CUTOUT_SHARE = 1 / 4
_PROBABILITY = 0.4
"""R3GAN ends at 0.3 to 0.55. At 1 the discriminator of a short run never gets to see the crops' inside (measured)."""


def diff_augment(crops: Tensor, rng: torch.Generator) -> Tensor:
    """(N, 4, S, S) float32 [-1, 1] => the same shape, about 2 of 5 crops changed, each by its own draw."""
    chosen = _draw(crops, rng) < _PROBABILITY
    return torch.where(chosen, _cutout(_translate(_color(crops, rng), rng), rng), crops)


def _color(crops: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness ± 0.25, saturation × 0.5..1.5, contrast × 0.75..1.25."""
    rgb, opacity = crops[:, :3], crops[:, 3:]
    rgb = rgb + 0.5 * (_draw(crops, rng) - 0.5)
    gray = rgb.mean(dim=1, keepdim=True)
    rgb = (rgb - gray) * (_draw(crops, rng) + 0.5) + gray
    mean = rgb.mean(dim=(1, 2, 3), keepdim=True)
    rgb = (rgb - mean) * (0.5 * _draw(crops, rng) + 0.75) + mean
    return torch.cat([rgb, opacity], dim=1)


def _translate(crops: Tensor, rng: torch.Generator) -> Tensor:
    """Shifted by up to an eighth of the side; what comes in is the repeated edge."""
    side = crops.shape[-1]
    reach = round(side * _SHIFT_SHARE)
    place = torch.arange(side)
    dx, dy = (torch.randint(-reach, reach + 1, (len(crops), 1), generator=rng) for _ in range(2))
    column = (place[None] + dx).clamp(0, side - 1).to(crops.device)
    row = (place[None] + dy).clamp(0, side - 1).to(crops.device)
    index = torch.arange(len(crops), device=crops.device)[:, None, None]
    moved: Tensor = crops.permute(0, 2, 3, 1)[index, row[:, :, None], column[:, None, :]].permute(0, 3, 1, 2)
    return moved


def _cutout(crops: Tensor, rng: torch.Generator) -> Tensor:
    """A square of a quarter of the side set to 0, anywhere, also partly outside."""
    side = crops.shape[-1]
    half = side * _CUTOUT_SHARE / 2
    place = torch.arange(side)
    x, y = (torch.randint(0, side + 1, (len(crops), 1), generator=rng) for _ in range(2))
    outside = ((place[None] - x).abs() >= half)[:, None, :] | ((place[None] - y).abs() >= half)[:, :, None]
    return crops * outside[:, None].to(crops)


def _draw(crops: Tensor, rng: torch.Generator) -> Tensor:
    return torch.rand((len(crops), 1, 1, 1), generator=rng).to(crops.device)
