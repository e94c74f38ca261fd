"""A worker: `python -m edgewright.synth.worker FOLDER [PID]` makes shards of the work that `job.json` there describes.

Decides when it has helped enough: when no shard is left, or after the shard in work when the folder tells it to stop or
the process PID, its parent that started it, is gone; a shard that takes longer than FINISH_WITHIN_S then is given up.
Without PID it helps until it is told. Refuses inputs that are not the job's.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch

from edgewright.artifacts import open_store
from edgewright.data.dataset import Dataset
from edgewright.errors import InputError
from edgewright.recipe.synth import GenerateConfig
from edgewright.shards.folder import ShardFolder, ShardPlan, make_shards
from edgewright.shards.workers import FINISH_WITHIN_S, is_told_to_stop
from edgewright.synth.generate import make_factory, shard_maker
from edgewright.synth.generator import open_generator
from edgewright.synth.job import describe_job, read_job


def work_on(path: Path, *, parent: int | None = None) -> None:
    """Make shards until none is left or none is wanted. Raises InputError where the inputs are not the job's."""
    torch.set_num_threads(1)
    job = read_job(path)
    config = GenerateConfig.model_validate(job.config)
    stores = [open_store(ref.store_uri, scratch=Path(job.scratch)) for ref in job.refs]
    generator, dataset = stores[0].open(job.refs[0]), Dataset.open(stores[1], job.refs[1])
    if describe_job(generator, dataset, config, seed=job.seed).name != job.name:
        raise InputError("the inputs are not those of the job", expected=job.name, where=path)
    trained = open_generator(generator, solver=config.solver, sampler_steps=config.sampler_steps)
    factory = make_factory(trained, dataset, config, seed=job.seed)
    folder = ShardFolder(path, ShardPlan(config.images, config.shard_images))
    watch = _Watch(path, parent)
    make_shards(folder, shard_maker(factory), on_picture=watch.leave_if_late, go_on=watch.is_wanted)


class _Watch:
    """Whether the help is still wanted."""

    def __init__(self, path: Path, parent: int | None) -> None:
        self._path = path
        self._parent = parent
        self._unwanted_since: float | None = None

    def is_wanted(self) -> bool:
        orphaned = self._parent is not None and os.getppid() != self._parent
        return not orphaned and not is_told_to_stop(self._path)

    def leave_if_late(self, _: int) -> None:
        if self._unwanted_since is None:
            self._unwanted_since = None if self.is_wanted() else time.monotonic()
        elif time.monotonic() - self._unwanted_since > FINISH_WITHIN_S:
            raise SystemExit("nobody waits for this shard any more")


if __name__ == "__main__":
    work_on(Path(sys.argv[1]), parent=int(sys.argv[2]) if len(sys.argv) > 2 else None)
