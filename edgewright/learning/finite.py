"""Whether what is learned is made of numbers at all: looked at in every step, and once more at the end.

Refuses to go on from a loss that is none, and to hand out a network that is not finite: what the last update did shows
in no loss of training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgewright.errors import StageFailed


def require_finite(losses: Mapping[str, Tensor], *, of: str, step: int, steps: int, next_step: str) -> dict[str, float]:
    """The losses as numbers, fetched from the device at once. Raises StageFailed where one is none; names the step."""
    values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
    for name, value in values.items():
        if not math.isfinite(value):
            raise StageFailed(
                f"the {name} of the {of} is not a finite number",
                got=value,
                where=f"step {step + 1} of {steps}",
                next_step=next_step,
            )
    return values


def require_learned(network: nn.Module, *, loss: float, what: str, next_step: str) -> None:
    """Its weights are looked at, and one more loss of them.

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
