"""Masks: how much they take, the form of two in four, and that training does not bring anything back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgewright.errors import InputError
from edgewright.sparse.masks import hold, maskable, two_of_four, two_of_four_everywhere, unstructured, zeros_in


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16), nn.Conv2d(16, 8, 1)
    )


def test_what_each_channel_has_alone_is_never_masked() -> None:
    assert list(maskable(network())) == ["0.weight", "4.weight"]


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_the_smallest_of_the_whole_network_go(share: float) -> None:
    module = network()
    masks = unstructured(module, share=share)
    kept = torch.cat([weight.detach().abs()[masks[name]] for name, weight in maskable(module).items()])
    gone = torch.cat([weight.detach().abs()[~masks[name]] for name, weight in maskable(module).items()])
    assert len(gone) / (len(gone) + len(kept)) == pytest.approx(share, abs=0.01)
    assert gone.max() <= kept.min()


def test_two_of_every_four_inputs_stay() -> None:
    weight = torch.randn(5, 8, 3, 3)
    mask = two_of_four(weight)
    assert mask.shape == weight.shape
    assert (mask.reshape(5, 2, 4, 3, 3).sum(dim=2) == 2).all()
    fours, kept = weight.abs().reshape(5, 2, 4, 3, 3), mask.reshape(5, 2, 4, 3, 3)
    assert (fours.masked_fill(~kept, 9).amin(dim=2) >= fours.masked_fill(kept, 0).amax(dim=2)).all()


def test_what_does_not_come_in_fours_stays_dense() -> None:
    assert list(two_of_four_everywhere(network())) == ["4.weight"]


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)])
def test_training_brings_nothing_back(optimizer: type[torch.optim.Optimizer]) -> None:
    module = network()
    masks = unstructured(module, share=0.7)
    before = {name: weight.detach().clone() for name, weight in maskable(module).items()}
    hold(module, masks)
    steps = optimizer(module.parameters(), lr=0.05)  # type: ignore[call-arg]
    for _ in range(4):
        steps.zero_grad()
        module(torch.randn(2, 3, 16, 16)).square().mean().backward()
        steps.step()
    for name, weight in maskable(module).items():
        assert (weight[~masks[name]] == 0).all()
        assert (weight[masks[name]] != before[name][masks[name]]).any(), "the others learn"


def test_zeros_shrink_only_what_is_compressed() -> None:
    module = network()
    full = zeros_in(module)
    hold(module, unstructured(module, share=0.9))
    sparse = zeros_in(module)
    assert (full.zeros, sparse.zeros) == (0, pytest.approx(0.9, abs=0.01))
    assert sparse.stored_bytes == full.stored_bytes == 4 * (3 * 16 * 9 + 16 * 8)
    assert sparse.compressed_bytes < full.compressed_bytes / 4


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5])
def test_no_share(share: float) -> None:
    with pytest.raises(InputError, match="not a share of weights"):
        unstructured(network(), share=share)
