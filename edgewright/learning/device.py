"""Torch on this machine: which device, how many threads, and weights that follow from a seed.

with torch_threads(2), seeded(0):
    network = Network().to(best_device())
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from edgewright.errors import InputError


def best_device() -> torch.device:
    """The accelerator where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def arithmetic() -> str:
    """What the last bits of a network's answers depend on beside its weights: the device, and what kind of processor
    its kernels were chosen for."""
    cpu = f"{_maker()} {torch.backends.cpu.get_cpu_capability()}"
    return torch.cuda.get_device_name() if best_device().type == "cuda" else cpu


def require_arithmetic(asked: str) -> None:
    """Raises InputError where networks of this machine compute otherwise."""
    if arithmetic() != asked:
        raise InputError(
            "networks compute otherwise on this machine, so it would make other bytes",
            expected=asked,
            got=arithmetic(),
            where=platform.node(),
            next_step="fan out over machines of one kind, or EDGEWRIGHT_FANOUT=processes",
        )


def _maker() -> str:
    """Of the processor, by which its libraries choose their kernels too; its kind where the system does not say."""
    with suppress(OSError):
        found = re.search(r"^(?:vendor_id|CPU implementer)\s*: *(\S+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return f"{platform.machine()} {found[1]}"
    return platform.machine()


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
