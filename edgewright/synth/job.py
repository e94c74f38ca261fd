"""What is to be made, as it is said to a hand that helps: a generator, a dataset, a section, a seed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgewright.artifacts import Artifact, ArtifactRef, canonical_json, sha256_bytes
from edgewright.data.dataset import Dataset
from edgewright.learning.device import arithmetic
from edgewright.recipe.synth import GenerateConfig


@dataclass(frozen=True)
class Job:
    """What is to be made.

    Attributes:
        rows_sha256: of the dataset's row ids in order: a part of a dataset is not the dataset.
        scratch: where the store stages copies on the machine that asks.
        arithmetic: how its networks compute; another's must compute alike.
    """

    generator: dict[str, str]
    dataset: dict[str, str]
    rows_sha256: str
    config: dict[str, Any]
    seed: int
    scratch: str
    arithmetic: str

    @property
    def name(self) -> str:
        """The same for equal work, wherever its inputs lie."""
        inputs = [self.generator["sha256"], self.dataset["sha256"], self.rows_sha256]
        return "shards-" + sha256_bytes(canonical_json([inputs, self.config, self.seed]))[:16]

    def to_bytes(self) -> bytes:
        return canonical_json(asdict(self))

    @classmethod
    def from_bytes(cls, payload: bytes) -> Job:
        return cls(**json.loads(payload))

    @property
    def refs(self) -> tuple[ArtifactRef, ArtifactRef]:
        return ArtifactRef.from_json(self.generator), ArtifactRef.from_json(self.dataset)

    @property
    def scratch_here(self) -> Path | None:
        """None on a machine that has no such folder."""
        return Path(self.scratch) if Path(self.scratch).is_dir() else None


def describe_job(generator: Artifact, dataset: Dataset, config: GenerateConfig, *, seed: int) -> Job:
    return Job(
        generator=generator.ref.to_json(),
        dataset=dataset.ref.to_json(),
        rows_sha256=sha256_bytes(canonical_json([row.id for row in dataset.rows])),
        config=config.model_dump(mode="json"),
        seed=seed,
        scratch=str(generator.store.scratch),
        arithmetic=arithmetic(),
    )
