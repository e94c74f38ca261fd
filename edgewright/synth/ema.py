"""The exponential moving average of a network's weights, which is what generates (Karras et al. 2018, §C.1)."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_ema(average: nn.Module, current: nn.Module, *, decay: float, step: int) -> None:
    """average ← decay · average + (1 - decay) · current; early on the decay is (1 + step) / (10 + step), if smaller."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(current.parameters()), weight)
