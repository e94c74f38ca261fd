"""Torch on this machine: which device, how many threads, which way is fast, and whether what was learnt is made of
numbers at all.

with torch_threads(2):
    network = lay_out_by_pixel(network.to(best_device()))
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from edgewright.errors import StageFailed


def best_device() -> torch.device:
    """The accelerator where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads inside; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_Network = TypeVar("_Network", bound=nn.Module)


def lay_out_by_pixel(network: _Network) -> _Network:
    """Weights as NHWC, in place: convolutions then read a pixel's channels side by side and rearrange nothing. Shapes
    and values stay; what a network is given should lie the same way."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def fuse_updates(optimizer: torch.optim.Optimizer) -> None:
    """One kernel a weight where Adam has one, instead of a dozen. In place; other optimizers stay as they are.

    That kernel reads memory as it lies, so moments that a checkpoint brought back are laid out as their weight is.
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


def require_learnt(network: nn.Module, *, loss: float, what: str, next_step: str) -> None:
    """What the last update did shows in no loss of training: its weights are looked at, and one more loss of them.

    Args:
        loss: of the network as it is now, on a batch drawn anew.

    Raises:
        StageFailed: a weight or the loss is not a finite number.
    """
    broken = [name for name, value in network.state_dict().items() if not bool(torch.isfinite(value).all())]
    if broken or not math.isfinite(loss):
        raise StageFailed(
            f"{what} diverged in its last steps",
            expected="finite weights and a finite loss",
            got=f"{len(broken)} parameters that are not ({', '.join(broken[:3])})" if broken else f"loss {loss}",
            next_step=next_step,
        )
