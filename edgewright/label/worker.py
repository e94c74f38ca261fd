"""The program of a hand that looks at pictures: it opens a labeler and data sets, and is asked for shards.

Decides nothing of a picture: it asks the same examiner as the process that hired it. Refuses inputs that are not the
job's, and a machine that computes in another way.
"""

from __future__ import annotations

import torch

from edgewright.artifacts import ArtifactRef, open_store
from edgewright.data.dataset import Dataset
from edgewright.errors import InputError
from edgewright.fanout.hands import Make
from edgewright.label.annotate import open_examiner, rows_to_look_at, shard_examiner
from edgewright.label.job import LabelJob
from edgewright.learning.device import require_arithmetic
from edgewright.recipe.label import LabelConfig
from edgewright.shards.folder import serve


def open_job(payload: bytes) -> Make:
    """Raises InputError where the inputs are not the job's, or where this machine's networks compute otherwise."""
    torch.set_num_threads(1)
    job = LabelJob.from_bytes(payload)
    require_arithmetic(job.arithmetic)
    config = LabelConfig.model_validate(job.config)
    labeler_ref = ArtifactRef.from_json(job.labeler)
    labeler = open_store(labeler_ref.store_uri, scratch=job.scratch_here).open(labeler_ref)
    dataset, photographs, reviewed = (_opened(one, job) for one in job.datasets)
    if dataset is None:
        raise InputError("a job without a data set")
    looked = rows_to_look_at(dataset, photographs)
    if LabelJob.of(labeler, (dataset, photographs, reviewed), config, [row for row, _ in looked]).name != job.name:
        raise InputError("the inputs are not those of the job", expected=job.name)
    return serve(shard_examiner(open_examiner(labeler, dataset, config, looked=looked, reviewed=reviewed), looked))


def _opened(ref: dict[str, str] | None, job: LabelJob) -> Dataset | None:
    if ref is None:
        return None
    found = ArtifactRef.from_json(ref)
    return Dataset.open(open_store(found.store_uri, scratch=job.scratch_here), found)
