"""What is no number is neither gone on from nor handed out."""

from __future__ import annotations

import pytest
import torch

from edgewright.errors import StageFailed
from edgewright.learning.finite import require_finite, require_learned


def test_losses_come_as_numbers() -> None:
    losses = {"a": torch.tensor(0.1), "b": torch.tensor(-2.0)}
    found = require_finite(losses, of="it", step=0, steps=9, next_step="")
    assert found == {"a": float(torch.tensor(0.1)), "b": -2.0}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_none_is_named_with_its_step(value: float) -> None:
    losses = {"a": torch.tensor(0.1), "b": torch.tensor(value)}
    with pytest.raises(StageFailed, match=r"b of the it is not a finite number.*step 3 of 9.*slower"):
        require_finite(losses, of="it", step=2, steps=9, next_step="slower")


@pytest.mark.parametrize(
    ("weight", "loss", "words"),
    [
        (float("nan"), 0.5, "1 parameters that are not .weight."),
        (float("inf"), 0.5, "1 parameters"),
        (1.0, float("nan"), "loss nan"),
    ],
)
def test_what_is_no_number_is_not_learned(weight: float, loss: float, words: str) -> None:
    network = torch.nn.Linear(2, 2)
    require_learned(network, loss=0.5, what="it", next_step="")
    torch.nn.init.constant_(network.weight, weight)
    with pytest.raises(StageFailed, match=f"it diverged.*{words}.*slower"):
        require_learned(network, loss=loss, what="it", next_step="slower")
