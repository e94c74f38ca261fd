"""The exponential moving average of a network's weights, which is what generates (Karras et al. 2018, §C.1).

Decides that buffers (statistics of normalization) are not averaged: they are those of the network that is followed.

average = Average(network, decay=0.995)
average.follow(network, step=0)                    # after the first update
average.network
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average:
    """A copy that follows. Law: its weights lie between those of the copy and those that it followed."""

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._decay = decay

    def follow(self, current: nn.Module, *, step: int) -> None:
        """After step number `step`, counted from 0."""
        update_average(self.network, current, decay=self._decay, step=step + 1)


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, *, decay: float, step: int) -> None:
    """average ← decay · average + (1 - decay) · current; early on the decay is (1 + step) / (10 + step), if smaller."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(current.parameters()), weight)
    for mine, theirs in zip(average.buffers(), current.buffers(), strict=True):
        mine.copy_(theirs)
