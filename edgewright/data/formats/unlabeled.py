"""Pictures without labels. Decides nothing: every image is unlabeled, the class list is the recipe's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgewright.data.dataset import Dataset
from edgewright.data.formats.annotation import Labels, class_list
from edgewright.data.rows import Row
from edgewright.data.sources import Source


def detect(_: Source) -> bool:
    """Never by itself: it is what remains where no other layout is found."""
    return False


def read(source: Source, configured: tuple[str, ...]) -> Labels:
    classes = class_list((), configured, where=source.where)
    return Labels(classes, class_source="ingest.classes" if classes else "")


def write(dataset: Dataset, named: Sequence[tuple[str, Row]], out: Path) -> None:
    """`<split>/<picture>`."""
    for name, row in named:
        (out / row.split).mkdir(exist_ok=True)
        (out / row.split / name).write_bytes(dataset.payload(row))
