"""The loop that every network is trained in, whatever its losses: steps that can be interrupted anywhere.

Decides when to report, when to keep what is done, and what must hold at the end. Keeps every loss: how a curve is drawn
from them is its reader's affair. Law: a training that was cut and continued gives the same weights and losses as one
that was not, bit for bit, on one machine with one number of threads. Refuses to go on from a loss that is not a number.

    trained = train(method, steps=600, keep=Checkpoint(path, work_id, every=100))
    trained.network, trained.losses[-1]["d_loss"], trained.continued_from
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

from edgewright.learning.checkpoint import Checkpoint, Stateful
from edgewright.learning.finite import require_finite, require_learned

_REPORT_EVERY_S = 0.5
BatchT = TypeVar("BatchT")
Losses = Mapping[str, float]
OnStep = Callable[[int, Losses], None]
"""`(steps done, losses of the last)`: called at checkpoints, at most twice a second between them, and at the end."""


class Method(ABC, Generic[BatchT]):
    """One way to learn: its networks, its optimizers, its data and one step of them.

    Attributes:
        name: as people say it.
        next_step: what helps where it diverges.
        network: what comes out: the network itself, or its average.
    """

    name: str
    next_step: str
    network: nn.Module

    @abstractmethod
    def draw(self, step: int, /) -> BatchT:
        """The batch of step number `step`, counted from 0: by seed and step, or from a stream among the `parts`."""

    @abstractmethod
    def advance(self, batch: BatchT, step: int) -> Mapping[str, Tensor]:
        """One step: the losses by name, scalars of one type on one device; the first is the one that is shown."""

    @abstractmethod
    def judge(self, step: int) -> float:
        """The loss of `network` on a batch drawn anew, after `step` steps; moves no weight.

        Statistics that a network keeps of its batches see one batch more: it stays as it is in training.
        """

    def is_done(self, _: int, /) -> bool:
        """Whether nothing more is to be learned after `step` steps: asked after every one."""
        return False

    @abstractmethod
    def parts(self) -> Mapping[str, Stateful]:
        """Everything that changes from step to step, by name."""


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes:
        losses: of every step.
        continued_from: the step that a checkpoint was taken up at; 0 where training began anew.
    """

    network: nn.Module
    losses: tuple[Losses, ...]
    continued_from: int


def train(
    method: Method[BatchT], *, steps: int, keep: Checkpoint | None = None, on_step: OnStep | None = None
) -> Trained:
    """Train for `steps` steps or until the method is done, or continue what `keep` holds of the same work.

    Raises:
        StageFailed: a loss is not finite, and at which step; or the network after the last one is not.
    """
    losses = _restore(method, keep)
    continued_from, reported = len(losses), 0.0
    for step in range(continued_from, continued_from if method.is_done(continued_from) else steps):
        found = method.advance(method.draw(step), step)
        losses.append(require_finite(found, of=method.name, step=step, steps=steps, next_step=method.next_step))
        done = step + 1
        last = done == steps or method.is_done(done)
        if last:
            require_learned(
                method.network, loss=method.judge(done), what=f"the {method.name}", next_step=method.next_step
            )
        kept = keep is not None and (done % keep.every == 0 or last)
        if keep and kept:
            keep.save({"parts": {name: it.state_dict() for name, it in method.parts().items()}, "losses": losses})
        if on_step and (kept or last or time.monotonic() - reported > _REPORT_EVERY_S):
            reported = time.monotonic()
            on_step(done, losses[-1])
        if last:
            break
    return Trained(method.network, tuple(losses), continued_from)


def _restore(method: Method[BatchT], keep: Checkpoint | None) -> list[Losses]:
    """The losses of the steps that are done; the method is left as it is where none are."""
    state = keep.load() if keep else None
    if state is None:
        return []
    for name, part in method.parts().items():
        part.load_state_dict(state["parts"][name])
    return list(state["losses"])
