"""Laid out by pixel and with fused updates a network learns the same; moments that lie otherwise are not misread."""

from __future__ import annotations

import copy

import pytest
import torch

from edgewright.learning.layout import fuse_updates, lay_out_by_pixel


def descend(network: torch.nn.Module, optimizer: torch.optim.Optimizer, *, steps: int) -> None:
    for step in range(steps):
        pictures = torch.rand(2, 4, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        network(pictures).square().mean().backward()
        optimizer.step()


def small_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3))


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_laid_out_and_fused_learns_the_same(kind: type[torch.optim.Optimizer]) -> None:
    plain, fast = small_network(), lay_out_by_pixel(small_network())
    optimizers = [kind(network.parameters(), lr=1e-2) for network in (plain, fast)]  # type: ignore[call-arg]
    fuse_updates(optimizers[1])
    for network, optimizer in zip((plain, fast), optimizers, strict=True):
        descend(network, optimizer, steps=20)
    for slow, quick in zip(plain.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-5)


def test_moments_from_a_checkpoint_that_lie_otherwise_are_not_misread() -> None:
    network = lay_out_by_pixel(small_network())
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    fuse_updates(optimizer)
    descend(network, optimizer, steps=3)
    again = lay_out_by_pixel(small_network())
    again.load_state_dict(network.state_dict())
    kept = copy.deepcopy(optimizer.state_dict())
    for moments in kept["state"].values():
        moments.update({name: value.contiguous() for name, value in moments.items()})
    continued = torch.optim.Adam(again.parameters(), lr=1e-2)
    fuse_updates(continued)
    continued.load_state_dict(kept)
    descend(network, optimizer, steps=3)
    descend(again, continued, steps=3)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
