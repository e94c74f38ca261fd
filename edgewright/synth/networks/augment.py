"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738): what the discriminator sees is augmented, real and generated alike.

Color changes RGB alone; translation and cutout move whatever lies on the other channels along: a crop's opacity, or the
layout that a scene was painted from. Differentiable, so that the generator learns through it. Every draw comes from the
generator passed in. A flow, which has no discriminator to hide it from, is told which examples were changed, so that
it can be asked for unchanged ones (Karras et al. 2022, arXiv 2206.00364, §5: non-leaking augmentation).
"""

from __future__ import annotations

import torch
from torch import Tensor

_SHIFT_SHARE = 1 / 8
_CUTOUT_SHARE = 1 / 4
_PROBABILITY = 0.4
"""R3GAN ends at 0.3 to 0.55. At 1 the discriminator of a short run never gets to see the crops' inside (measured)."""


def diff_augment(images: Tensor, rng: torch.Generator) -> Tensor:
    """(N, 3 + K, S, S) float32 [-1, 1] => the same shape, about 2 of 5 examples changed, each by its own draw."""
    chosen = _draw(images, rng) < _PROBABILITY
    return torch.where(chosen, _cutout(_translate(_color(images, rng), rng), rng), images)


def told_augment(images: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Color and translation of about 2 of 5 examples, and (N,) bool: which ones. Nothing is cut out of them."""
    chosen = _draw(images, rng) < _PROBABILITY
    return torch.where(chosen, _translate(_color(images, rng), rng), images), chosen[:, 0, 0, 0]


def joint(images: Tensor, condition: Tensor) -> Tensor:
    """What is moved together: an image with its layout; a crop alone, because a class has no place."""
    return torch.cat([images, condition], dim=1) if condition.ndim == 4 else images


def apart(moved: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
    """Law: `apart(joint(images, condition), condition) == (images, condition)`."""
    if condition.ndim != 4:
        return moved, condition
    channels = moved.shape[1] - condition.shape[1]
    return moved[:, :channels], moved[:, channels:]


def _color(images: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness ± 0.25, saturation × 0.5..1.5, contrast × 0.75..1.25."""
    rgb, others = images[:, :3], images[:, 3:]
    rgb = rgb + 0.5 * (_draw(images, rng) - 0.5)
    gray = rgb.mean(dim=1, keepdim=True)
    rgb = (rgb - gray) * (_draw(images, rng) + 0.5) + gray
    mean = rgb.mean(dim=(1, 2, 3), keepdim=True)
    rgb = (rgb - mean) * (0.5 * _draw(images, rng) + 0.75) + mean
    return torch.cat([rgb, others], dim=1)


def _translate(images: Tensor, rng: torch.Generator) -> Tensor:
    """Shifted by up to an eighth of the side; what comes in is the repeated edge."""
    side = images.shape[-1]
    reach = round(side * _SHIFT_SHARE)
    place = torch.arange(side)
    dx, dy = (torch.randint(-reach, reach + 1, (len(images), 1), generator=rng) for _ in range(2))
    column = (place[None] + dx).clamp(0, side - 1).to(images.device)
    row = (place[None] + dy).clamp(0, side - 1).to(images.device)
    index = torch.arange(len(images), device=images.device)[:, None, None]
    moved: Tensor = images.permute(0, 2, 3, 1)[index, row[:, :, None], column[:, None, :]].permute(0, 3, 1, 2)
    return moved


def _cutout(images: Tensor, rng: torch.Generator) -> Tensor:
    """A square of a quarter of the side set to 0, anywhere, also partly outside."""
    side = images.shape[-1]
    half = side * _CUTOUT_SHARE / 2
    place = torch.arange(side)
    x, y = (torch.randint(0, side + 1, (len(images), 1), generator=rng) for _ in range(2))
    outside = ((place[None] - x).abs() >= half)[:, None, :] | ((place[None] - y).abs() >= half)[:, :, None]
    return images * outside[:, None].to(images)


def _draw(images: Tensor, rng: torch.Generator) -> Tensor:
    return torch.rand((len(images), 1, 1, 1), generator=rng).to(images.device)
