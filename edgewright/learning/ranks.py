"""One training on several devices of one machine: each rank learns from its share of a batch, gradients are averaged.

Decides how ranks begin and end: rank 0 is the process that asked, the others are processes of its own, which it ends
whatever happens. They talk by NCCL between accelerators and by gloo between processors. Law: after every step all ranks
hold the same weights. Only rank 0 keeps, judges and reports. Statistics of batch normalization are each rank's own, as
in torch's DistributedDataParallel, and rank 0's come out. Refuses more devices than there are.

    with beside(2, learn, (lesson, batch), folder=scratch) as ranks:      # another process runs learn(its ranks, …)
        ranks.average_gradients(parameters)
"""

from __future__ import annotations

import multiprocessing
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from edgewright.errors import InputError, StageFailed
from edgewright.learning.device import best_device

_SHORT_OF_MEMORY = 77
"""What a rank that had too little memory ends with."""
_JOIN_WITHIN_S, _END_WITHIN_S, _POLL_S = 300.0, 5.0, 0.1
_ANSWER_WITHIN = timedelta(hours=1)
"""The others wait while rank 0 looks at val."""
WorkT = TypeVar("WorkT")


@dataclass(frozen=True)
class Ranks:
    """This process among those that learn together."""

    rank: int = 0
    count: int = 1

    @property
    def device(self) -> torch.device:
        best = best_device()
        return torch.device(best.type, self.rank) if best.type == "cuda" and self.count > 1 else best

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """In place, over all ranks. A parameter that had no part in this rank's loss counts as a gradient of 0."""
        if self.count == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        parts = self.mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, part in zip(gradients, parts.split(sizes), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def mean(self, value: Tensor) -> Tensor:
        """Over all ranks."""
        if self.count == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total / self.count


ALONE = Ranks()


@contextmanager
def beside(
    count: int, learn: Callable[[Ranks, WorkT], None], work: WorkT, *, folder: Path, field: str
) -> Iterator[Ranks]:
    """Rank 0 of `count`; ranks 1, 2, … run `learn(ranks, work)`, a module's function and what pickles, meanwhile.

    Args:
        folder: where they meet.
        field: the recipe's `section.field` that says how many.

    Raises:
        InputError: fewer devices than that.
        torch.OutOfMemoryError: here or in another rank.
        StageFailed: another rank ended before its time.
    """
    if count == 1:
        yield ALONE
        return
    _require_devices(count, field=field)
    meeting = folder / f"ranks-{uuid.uuid4().hex}"
    spawning = multiprocessing.get_context("spawn")
    there = spawning.Semaphore(0)
    others = [
        spawning.Process(target=_run, args=(learn, Ranks(rank, count), work, meeting, there), daemon=True)
        for rank in range(1, count)
    ]
    try:
        for other in others:
            other.start()
        _take_device(Ranks(0, count))
        _wait_for(others, there)
        _join(Ranks(0, count), meeting)
        yield Ranks(0, count)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        _blame(others, error)
        raise
    finally:
        _end(others)
        if distributed.is_initialized():
            distributed.destroy_process_group()
        meeting.unlink(missing_ok=True)


def _require_devices(count: int, *, field: str) -> None:
    """Processors share themselves out; of accelerators each rank has one."""
    if torch.cuda.is_available() and torch.cuda.device_count() < count:
        raise InputError(
            "this machine has fewer accelerators",
            expected=f"at most {torch.cuda.device_count()}",
            got=count,
            where=field,
            next_step=f"set {field}={torch.cuda.device_count()}",
        )


def _run(learn: Callable[[Ranks, Any], None], ranks: Ranks, work: Any, meeting: Path, there: Any) -> None:
    """A rank's process, from its first line to its exit status."""
    _take_device(ranks)
    there.release()  # only now: what can fail in beginning has not
    _join(ranks, meeting)
    try:
        learn(ranks, work)
    except torch.OutOfMemoryError:
        raise SystemExit(_SHORT_OF_MEMORY) from None


def _take_device(ranks: Ranks) -> None:
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)


def _join(ranks: Ranks, meeting: Path) -> None:
    distributed.init_process_group(
        "nccl" if ranks.device.type == "cuda" else "gloo",
        init_method=f"file://{meeting.resolve()}",
        rank=ranks.rank,
        world_size=ranks.count,
        timeout=_ANSWER_WITHIN,
    )


def _wait_for(others: Sequence[BaseProcess], there: Any) -> None:
    """Until each has begun: one that cannot is known of at once, not after the time that an answer may take."""
    deadline = time.monotonic() + _JOIN_WITHIN_S
    begun = 0
    while begun < len(others):
        begun += bool(there.acquire(timeout=_POLL_S))
        if any(other.exitcode is not None for other in others) or time.monotonic() > deadline:
            _blame(others, None)
            raise StageFailed("another process of this training did not begin", where=f"after {_JOIN_WITHIN_S:.0f} s")


def _blame(others: Sequence[BaseProcess], error: RuntimeError | None) -> None:
    """Raise what happened to another rank, where that is what this one noticed."""
    for other in others:
        other.join(_END_WITHIN_S / len(others))
    codes = [other.exitcode for other in others if other.exitcode]
    if _SHORT_OF_MEMORY in codes:
        raise torch.OutOfMemoryError("another rank had too little memory") from error
    if codes:
        raise StageFailed(
            "another process of this training ended",
            got=f"exit status {codes[0]}",
            next_step="its own message stands above; the same command continues after the last epoch",
        ) from error


def _end(others: Sequence[BaseProcess]) -> None:
    for other in others:
        if other.is_alive():
            other.terminate()
    for other in others:
        if other.pid is not None:
            other.join(_END_WITHIN_S)
            if other.is_alive():
                other.kill()
                other.join()
