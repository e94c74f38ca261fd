"""What the segmenter minimizes: cross-entropy and Dice over classes, and the same over cores.

Written with sums over one-hot targets instead of `nll_loss2d`, whose backward pass is not deterministic on CUDA.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgewright.label.network.batches import Batch, Examples

MAX_CLASS_WEIGHT = 4.0
RIM_WEIGHT = 2.0
"""Pixels of objects outside their cores: where two objects touch, these few keep their cores apart."""
_EPSILON = 1e-6


def loss_of(logits: Tensor, batch: Batch, class_weights: Tensor) -> Tensor:
    """NCHW logits of `UNet` => scalar. `class_weights`: (1 + C,), 0 for classes without a label."""
    wanted = F.one_hot(batch.class_map, len(class_weights)).permute(0, 3, 1, 2).float()
    counts = batch.counts[:, None]
    weights = class_weights[None, :, None, None] * wanted * counts
    cross_entropy = -(weights * F.log_softmax(logits[:, :-1], dim=1)).sum() / (weights.sum() + _EPSILON)
    present = class_weights > 0
    dice = _dice_loss(logits[:, :-1].softmax(dim=1) * counts, wanted * counts)[present].mean()
    return cross_entropy + dice + _core_loss(logits[:, -1:], batch, weights.sum(dim=1, keepdim=True))


def weigh_classes(examples: Examples, n_classes: int) -> Tensor:
    """(1 + C,): the fourth root of background over class pixels, at most `MAX_CLASS_WEIGHT`; 0 without a pixel.

    Dice already balances classes; stronger weights swell the rare ones, and their boxes with them (measured on BCCD).
    """
    known = examples.targets[:, 0][examples.targets[:, 2] > 0].long()
    pixels = torch.bincount(known, minlength=n_classes + 1).float()
    weights = (pixels[0].clamp(min=1) / pixels.clamp(min=1)).pow(0.25).clamp(1 / MAX_CLASS_WEIGHT, MAX_CLASS_WEIGHT)
    return torch.where(pixels > 0, weights, torch.zeros_like(weights))


def _core_loss(logits: Tensor, batch: Batch, class_weights: Tensor) -> Tensor:
    """N1HW logits => scalar. Pixels weigh as their class does, so that small objects keep their cores."""
    core = batch.core[:, None]
    rim = (batch.class_map[:, None] > 0).float() * (1 - core)
    weights = class_weights * (1 + (RIM_WEIGHT - 1) * rim)
    entropy = F.binary_cross_entropy_with_logits(logits, core, weight=weights, reduction="sum")
    return (
        entropy / (weights.sum() + _EPSILON)
        + _dice_loss(logits.sigmoid() * weights.sqrt(), core * weights.sqrt()).mean()
    )


def _dice_loss(probability: Tensor, wanted: Tensor) -> Tensor:
    """(N, K, H, W) twice => (K,): 1 - 2|A∩B| / (|A| + |B|), over the whole batch (Milletari et al. 2016, eq. 1)."""
    dims = (0, 2, 3)
    shared = (probability * wanted).sum(dims)
    return 1 - (2 * shared + 1) / ((probability**2).sum(dims) + (wanted**2).sum(dims) + 1)
