"""The program of a hand that makes synthetic pictures: it opens a generator and a dataset, and is asked for shards.

Decides nothing of a picture: it asks the same factory as the process that hired it. Refuses inputs that are not the
job's, and a machine that computes in another way.
"""

from __future__ import annotations

import torch

from edgewright.artifacts import open_store
from edgewright.data.dataset import Dataset
from edgewright.errors import InputError
from edgewright.fanout.hands import Make
from edgewright.learning.device import require_arithmetic
from edgewright.recipe.synth import GenerateConfig
from edgewright.shards.folder import serve
from edgewright.synth.generate import make_factory, shard_maker
from edgewright.synth.generator import open_generator
from edgewright.synth.job import Job, describe_job


def open_job(payload: bytes) -> Make:
    """Raises InputError where the inputs are not the job's, or where this machine's networks compute otherwise."""
    torch.set_num_threads(1)
    job = Job.from_bytes(payload)
    require_arithmetic(job.arithmetic)
    config = GenerateConfig.model_validate(job.config)
    stores = [open_store(ref.store_uri, scratch=job.scratch_here) for ref in job.refs]
    generator, dataset = stores[0].open(job.refs[0]), Dataset.open(stores[1], job.refs[1])
    if describe_job(generator, dataset, config, seed=job.seed).name != job.name:
        raise InputError("the inputs are not those of the job", expected=job.name)
    trained = open_generator(generator, solver=config.solver, sampler_steps=config.sampler_steps)
    return serve(shard_maker(make_factory(trained, dataset, config, seed=job.seed), codec=config.codec))
