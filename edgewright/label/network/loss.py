"""What the segmenter minimizes: cross-entropy and Dice over classes, and the same over cores.

Written with sums over one-hot targets instead of `nll_loss2d`, whose backward pass is not deterministic on CUDA.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgewright.label.network.batches import Examples, LabeledBatch

MAX_CLASS_WEIGHT = 4.0
RIM_WEIGHT = 2.0
"""Pixels of objects outside their cores: where two objects touch, these few keep their cores apart."""
_EPSILON = 1e-6
_PIXELS = (0, 2, 3)


def loss_of(logits: Tensor, batch: LabeledBatch, class_weights: Tensor) -> Tensor:
    """NCHW logits of `UNet` => scalar. `class_weights`: (1 + C,), 0 for classes without a label."""
    counts = batch.counts[:, None]
    classes = torch.arange(len(class_weights), device=logits.device)[None, :, None, None]
    wanted = (batch.class_map[:, None] == classes).float() * counts
    sizes = wanted.sum(_PIXELS)
    known = F.log_softmax(logits[:, :-1], dim=1)
    cross_entropy = -(class_weights * (wanted * known).sum(_PIXELS)).sum() / ((class_weights * sizes).sum() + _EPSILON)
    dice = _dice_loss(known.exp() * counts, wanted, sizes)[class_weights > 0].mean()
    return cross_entropy + dice + _core_loss(logits[:, -1:], batch, class_weights[batch.class_map][:, None] * counts)


def weigh_classes(examples: Examples, n_classes: int) -> Tensor:
    """(1 + C,): the fourth root of background over class pixels, at most `MAX_CLASS_WEIGHT`; 0 without a pixel.

    Dice already balances classes; stronger weights swell the rare ones, and their boxes with them (measured on BCCD).
    """
    known = examples.targets[:, 0][examples.targets[:, 2] > 0].long()
    pixels = torch.bincount(known, minlength=n_classes + 1).float()
    weights = (pixels[0].clamp(min=1) / pixels.clamp(min=1)).pow(0.25).clamp(1 / MAX_CLASS_WEIGHT, MAX_CLASS_WEIGHT)
    return torch.where(pixels > 0, weights, torch.zeros_like(weights))


def _core_loss(logits: Tensor, batch: LabeledBatch, class_weights: Tensor) -> Tensor:
    """N1HW logits => scalar. Pixels weigh as their class does, so that small objects keep their cores."""
    core = batch.core[:, None]
    rim = (batch.class_map[:, None] > 0).float() * (1 - core)
    weights = class_weights * (1 + (RIM_WEIGHT - 1) * rim)
    entropy = F.binary_cross_entropy_with_logits(logits, core, weight=weights, reduction="sum")
    soft, wanted = logits.sigmoid() * weights.sqrt(), core * weights.sqrt()
    return entropy / (weights.sum() + _EPSILON) + _dice_loss(soft, wanted, wanted.square().sum(_PIXELS)).mean()


def _dice_loss(probability: Tensor, wanted: Tensor, sizes: Tensor) -> Tensor:
    """(N, K, H, W) twice, and (K,) sums of the squares of what is wanted => (K,): 1 - 2|A∩B| / (|A| + |B|), over the
    whole batch (Milletari et al. 2016, eq. 1)."""
    shared = (probability * wanted).sum(_PIXELS)
    return 1 - (2 * shared + 1) / (probability.square().sum(_PIXELS) + sizes + 1)
