"""What is to be looked at, as it is said to a hand that helps: a labeler, data sets, a section."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from edgewright.artifacts import Artifact, canonical_json, sha256_bytes
from edgewright.compress.fpga.session import computed_by
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.learning.device import arithmetic
from edgewright.recipe.label import LabelConfig

Datasets = tuple[Dataset, Dataset | None, Dataset | None]
"""Whose rows are written; more photographs; a person's review."""


@dataclass(frozen=True)
class LabelJob:
    """Law: `LabelJob.from_bytes(j.to_bytes()) == j`.

    Attributes:
        datasets: references of `Datasets`, in its order.
        rows_sha256: of the ids that are looked at, in order: a part of a dataset is not the dataset.
        scratch: where the store stages copies on the machine that asks.
        arithmetic: how its networks compute; another's must compute alike.
        computed_by: what computes an FPGA's numbers here; "" where they are not asked for.
    """

    labeler: dict[str, str]
    datasets: list[dict[str, str] | None]
    rows_sha256: str
    config: dict[str, Any]
    scratch: str
    arithmetic: str
    computed_by: str = ""

    @classmethod
    def of(cls, labeler: Artifact, datasets: Datasets, config: LabelConfig, rows: Sequence[Row]) -> Self:
        return cls(
            labeler=labeler.ref.to_json(),
            datasets=[dataset.ref.to_json() if dataset else None for dataset in datasets],
            rows_sha256=sha256_bytes(canonical_json([row.id for row in rows])),
            config=config.model_dump(mode="json"),
            scratch=str(labeler.store.scratch),
            arithmetic=arithmetic(),
            computed_by=computed_by() if config.number_format == "fpga" else "",
        )

    @property
    def name(self) -> str:
        """The same for equal work, wherever its inputs lie."""
        inputs = [self.labeler["sha256"], [one and one["sha256"] for one in self.datasets], self.rows_sha256]
        computed = [self.computed_by] if self.computed_by else []  # a card's numbers are its own
        return "looks-" + sha256_bytes(canonical_json([inputs, self.config, *computed]))[:16]

    def to_bytes(self) -> bytes:
        return canonical_json(asdict(self))

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        return cls(**json.loads(payload))

    @property
    def scratch_here(self) -> Path | None:
        """None on a machine that has no such folder."""
        return Path(self.scratch) if Path(self.scratch).is_dir() else None
