"""The same update in less time: how weights and moments lie in memory, and one kernel for each of them.

Decides that the channels of a pixel lie side by side, which convolutions read without rearranging them, and that Adam's
dozen small kernels a weight are one. Refuses to change what is learned beyond the rounding of float32.

    network, optimizer = lay_out_by_pixel(network), torch.optim.AdamW(network.parameters())
    fuse_updates(optimizer)
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

_Network = TypeVar("_Network", bound=nn.Module)


def lay_out_by_pixel(network: _Network) -> _Network:
    """Weights as NHWC, in place; shapes and values stay. What a network is given should lie the same way."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def fuse_updates(optimizer: torch.optim.Optimizer) -> None:
    """In place, where it is Adam or AdamW; others stay as they are.

    The fused kernel reads memory as it lies, so moments that a checkpoint brought back are laid out as their weight is.
    """
    if isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
        for group in optimizer.param_groups:
            group["fused"] = True
        optimizer.register_load_state_dict_post_hook(_lay_out_moments)


def _lay_out_moments(optimizer: torch.optim.Optimizer) -> None:
    for weight, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == weight.shape and value.stride() != weight.stride():
                moments[name] = torch.empty_like(weight).copy_(value)
