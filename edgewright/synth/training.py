"""The loop that every network of this room is trained in, whatever its losses: steps that can be interrupted anywhere.

Decides when to report, what the curve holds and what a checkpoint is: one file, replaced in one step, of tensors and
plain numbers. Every draw comes from one generator whose state is in it. Law: training that was interrupted and
continued gives the same weights as training that was not, bit for bit, on one CPU and with one number of threads.
Refuses to go on from a loss that is not a number.

    trained = train(Gan(batches, shape, settings, rng), rng, schedule, scratch=..., work_id=..., on_progress=silent)
"""

from __future__ import annotations

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from edgewright.compute import require_learnt
from edgewright.errors import StageFailed
from edgewright.files import write_atomically
from edgewright.progress import OnProgress

_HISTORY_POINTS = 100
_REPORT_EVERY = 10
_CHECKPOINT_PARTS = {"work_id", "parts", "rng", "step", "since", "curve"}


class Method(ABC):
    """One way to learn: its networks, its optimizers and one step of them.

    Attributes:
        name: as people say it; the checkpoint bears it.
        average: the averaged network, which is what generates.
        next_step: what helps where it diverges.
    """

    name: str
    average: nn.Module
    next_step: str

    @abstractmethod
    def advance(self, step: int) -> Mapping[str, float]:
        """Step number `step`, counted from 0: the losses by name; the first is the one that progress shows."""

    @abstractmethod
    def judge(self) -> float:
        """The loss of the averaged network on a batch drawn anew; trains nothing."""

    @abstractmethod
    def parts(self) -> Mapping[str, Any]:
        """Everything that changes from step to step, by name, each with `state_dict` and `load_state_dict`."""


@dataclass(frozen=True)
class Schedule:
    """How long, and how often what is done is kept."""

    steps: int
    checkpoint_every: int


@dataclass(frozen=True)
class Point:
    """One point of the training curve: the mean of each loss since the point before; a penalty's last, if not taken."""

    step: int
    losses: dict[str, float]

    def to_json(self) -> dict[str, float]:
        """Flat, as `history.json` holds it."""
        return {"step": self.step, **self.losses}


@dataclass(frozen=True)
class Trained:
    """`resumed_from`: the step that training continued from, 0 where it began anew."""

    network: nn.Module
    history: tuple[Point, ...]
    resumed_from: int


def train(
    method: Method, rng: torch.Generator, schedule: Schedule, *, scratch: Path, work_id: str, on_progress: OnProgress
) -> Trained:
    """Train for `schedule.steps` steps, or continue what `scratch` holds of the same work.

    Args:
        rng: the one generator that `method` draws from.
        work_id: names the inputs; a checkpoint of other inputs is not continued.

    Raises:
        StageFailed: a loss is not finite, and at which step; or the averaged network after the last one is not.
    """
    run = _Run(method, rng, schedule)
    checkpoint = scratch / f"{method.name.lower()}.pt"
    run.restore(checkpoint, work_id)
    resumed_from = run.step
    while run.step < schedule.steps:
        losses = run.advance()
        if run.step % _REPORT_EVERY == 0 or run.step == schedule.steps:
            first, value = next(iter(losses.items()))
            on_progress(run.step, schedule.steps, f"{method.name} step, {first} {value:.3f}")
        if run.step % schedule.checkpoint_every == 0 and run.step < schedule.steps:
            run.save(checkpoint, work_id)
    require_learnt(method.average, loss=method.judge(), what=f"the {method.name}", next_step=method.next_step)
    return Trained(method.average, tuple(run.history), resumed_from)


def finite(loss: Tensor, *, step: int, next_step: str) -> float:
    """The loss as a number. Raises StageFailed where it is none."""
    value = float(loss.detach())
    if not math.isfinite(value):
        raise StageFailed(
            f"the generator's loss is {value} at step {step + 1}", expected="a finite number", next_step=next_step
        )
    return value


class _Run:
    """Where the loop stands."""

    def __init__(self, method: Method, rng: torch.Generator, schedule: Schedule) -> None:
        self.method = method
        self.rng = rng
        self.schedule = schedule
        self.step = 0
        self.history: list[Point] = []
        self.since: dict[str, list[float]] = {}

    def advance(self) -> Mapping[str, float]:
        losses = self.method.advance(self.step)
        self.step += 1
        for name, value in losses.items():
            self.since.setdefault(name, []).append(value)
        if self.step % max(1, self.schedule.steps // _HISTORY_POINTS) == 0 or self.step == self.schedule.steps:
            latest = self.history[-1].losses if self.history else {}
            means = {name: sum(values) / len(values) for name, values in self.since.items()}
            self.history.append(Point(self.step, {**latest, **means}))
            self.since = {}
        return losses

    def save(self, path: Path, work_id: str) -> None:
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.method.parts().items()}
        curve = [(point.step, point.losses) for point in self.history]
        progress = {"work_id": work_id, "step": self.step, "curve": curve, "since": self.since}
        buffer = io.BytesIO()
        torch.save({"parts": state, "rng": self.rng.get_state(), **progress}, buffer)
        write_atomically(path, buffer.getvalue())

    def restore(self, path: Path, work_id: str) -> None:
        """Continue from a checkpoint of the same work; leave everything as it is where there is none, or a torn one."""
        state = _read_checkpoint(path)
        if state is None or state["work_id"] != work_id:
            return
        for name, part in self.method.parts().items():
            part.load_state_dict(state["parts"][name])
        self.step, self.since = state["step"], state["since"]
        self.rng.set_state(state["rng"])
        self.history = [Point(step, losses) for step, losses in state["curve"]]


def _read_checkpoint(path: Path) -> dict[str, Any] | None:
    """None where there is none, or where it was damaged: the work then begins anew."""
    if not path.is_file():
        return None
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, UnpicklingError, ValueError):
        return None
    return state if isinstance(state, dict) and state.keys() >= _CHECKPOINT_PARTS else None
