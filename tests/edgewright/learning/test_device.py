"""Threads and random numbers are given back as they were."""

from __future__ import annotations

import contextlib

import torch

from edgewright.learning.device import seeded, torch_threads


def test_threads_are_as_before_afterwards_also_after_an_error() -> None:
    before = torch.get_num_threads()
    inside = 0
    with contextlib.suppress(KeyError), torch_threads(before + 1):
        inside = torch.get_num_threads()
        raise KeyError
    assert inside == before + 1
    assert torch.get_num_threads() == before


def test_weights_follow_from_the_seed_and_what_is_outside_does_not_notice() -> None:
    torch.manual_seed(1)
    undisturbed = torch.rand(3)
    torch.manual_seed(1)
    drawn = []
    for seed in (0, 0, 2):
        with seeded(seed):
            drawn.append(torch.rand(3))
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()
    assert (torch.rand(3) == undisturbed).all()
