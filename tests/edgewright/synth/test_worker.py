"""What a hand opens to make pictures: the job's inputs, and no others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from edgewright.artifacts import Artifact
from edgewright.data.dataset import Dataset
from edgewright.errors import InputError
from edgewright.learning.device import torch_threads
from edgewright.recipe.synth import GenerateConfig
from edgewright.shards.folder import shard_from_bytes
from edgewright.synth.generate import make_factory, shard_maker
from edgewright.synth.generator import open_generator
from edgewright.synth.job import describe_job
from edgewright.synth.worker import open_job

CONFIG = GenerateConfig(images=4, image_px=64)


@pytest.fixture(scope="module")
def compositor(fit: Callable[..., Artifact], dataset: Dataset) -> Artifact:
    return fit(dataset, method="compositor")


def test_it_makes_what_the_process_that_hired_it_makes(compositor: Artifact, dataset: Dataset) -> None:
    job = describe_job(compositor, dataset, CONFIG, seed=3)
    with torch_threads(1):
        made = shard_from_bytes(open_job(job.to_bytes())(json.dumps([1, 3]).encode()))
        own = shard_maker(make_factory(open_generator(compositor), dataset, CONFIG, seed=3))(
            range(1, 3), lambda _: None
        )
    assert made == own


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arithmetic": "a processor of another maker"}, "networks compute otherwise on this machine"),
        ({"rows_sha256": "0" * 64}, "not those of the job"),
    ],
)
def test_what_would_make_something_else_is_refused(
    compositor: Artifact, dataset: Dataset, change: dict[str, str], said: str
) -> None:
    job = replace(describe_job(compositor, dataset, CONFIG, seed=3), **change)
    with torch_threads(1), pytest.raises(InputError, match=said):
        open_job(job.to_bytes())
