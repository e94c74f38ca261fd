"""What two processes learn together in tests: importable by name, as a process that begins anew has to find it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from edgewright.learning.descent import Descent, Forward, OneNetwork
from edgewright.learning.device import seeded
from edgewright.learning.loop import train
from edgewright.learning.ranks import Ranks

STEPS = 5


class Sums(OneNetwork[Tensor]):
    """The sum of three numbers; each rank sees its part of eight triples."""

    name, next_step = "sums", "none"

    def __init__(self, ranks: Ranks) -> None:
        with seeded(0):
            network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
        super().__init__(network, Descent(0.05, clip_norm=1.0), ranks=ranks)

    def draw(self, step: int) -> Tensor:
        batch = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return batch[self._ranks.rank :: self._ranks.count]

    def loss(self, forward: Forward, batch: Tensor) -> Tensor:
        error: Tensor = forward(batch).squeeze(1) - batch.sum(1)
        return error.square().mean()


def learn(ranks: Ranks, folder: Path) -> None:
    trained = train(Sums(ranks), steps=STEPS)
    torch.save([trained.network.state_dict(), [dict(row) for row in trained.losses]], folder / f"rank-{ranks.rank}.pt")


def end(ranks: Ranks, status: int) -> None:
    if status == 0:
        raise torch.OutOfMemoryError
    raise SystemExit(status)
