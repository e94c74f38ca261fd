"""Torch on this machine: which device, how many threads, and weights that follow from a seed.

with torch_threads(2), seeded(0):
    network = Network().to(best_device())
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Weights drawn inside follow from the seed; what is drawn outside does not notice."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
