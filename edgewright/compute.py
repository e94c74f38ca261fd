"""Torch on this machine: which device, how many threads, and whether what was learnt is made of numbers at all.

with torch_threads(2):
    network.to(best_device())
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

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
