"""Pictures from datasets, for MLflow and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.report.data import Picture

T = TypeVar("T")


def picture_of(dataset: Dataset, row: Row, *, caption: str = "") -> Picture:
    """A row's image with its counting labels."""
    return Picture(dataset.image(row), row.boxes, caption or row.id)


def spread(items: Sequence[T], n: int) -> list[T]:
    """At most `n` items, evenly over the sequence, so that pictures do not all come from one place."""
    if len(items) <= n:
        return list(items)
    return [items[index * len(items) // n] for index in range(n)]
