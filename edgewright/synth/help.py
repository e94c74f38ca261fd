"""A helper: `python -m edgewright.synth.help FOLDER` makes shards of the work that FOLDER's `job.json` describes.

Decides nothing. It ends when no shard is left, or before its next picture when the process that started it is gone.
Refuses inputs that are not the job's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from edgewright.artifacts import open_store
from edgewright.data.dataset import Dataset
from edgewright.errors import InputError
from edgewright.recipe import GenerateConfig
from edgewright.synth.generate import make_factory, shard_maker
from edgewright.synth.generator import open_generator
from edgewright.synth.helpers import describe_job, read_job
from edgewright.synth.shards import ShardFolder, ShardPlan, make_shards


def help_out(path: Path) -> None:
    """Make shards until none is left. Raises InputError where the inputs are not the job's."""
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
    parent = os.getppid()

    def stay_while_wanted(_: int) -> None:
        if os.getppid() != parent:
            raise SystemExit("the process that this one helps is gone")

    make_shards(folder, shard_maker(factory), on_picture=stay_while_wanted)


if __name__ == "__main__":
    help_out(Path(sys.argv[1]))
