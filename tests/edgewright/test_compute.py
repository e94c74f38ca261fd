"""Threads are given back, and a network that is no longer made of numbers is refused."""

from __future__ import annotations

import contextlib

import pytest
import torch

from edgewright.compute import require_learnt, torch_threads
from edgewright.errors import StageFailed


def test_threads_are_as_before_afterwards_also_after_an_error() -> None:
    before = torch.get_num_threads()
    inside = 0
    with contextlib.suppress(KeyError), torch_threads(before + 1):
        inside = torch.get_num_threads()
        raise KeyError
    assert inside == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("weight", "loss", "words"),
    [
        (float("nan"), 0.5, "1 parameters that are not .weight."),
        (float("inf"), 0.5, "1 parameters"),
        (1.0, float("nan"), "loss nan"),
    ],
)
def test_what_is_no_number_is_not_learnt(weight: float, loss: float, words: str) -> None:
    network = torch.nn.Linear(2, 2)
    require_learnt(network, loss=0.5, what="it", next_step="")
    torch.nn.init.constant_(network.weight, weight)
    with pytest.raises(StageFailed, match=f"it diverged.*{words}.*slower"):
        require_learnt(network, loss=loss, what="it", next_step="slower")
