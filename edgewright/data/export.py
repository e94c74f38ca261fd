"""Export: a dataset as YOLO, COCO or Pascal VOC files, with its splits.

Decides the file names: an image's id with its folders joined by `__`, so that no two images share one and pairs by name
survive. Writes every image that is not quarantined. Refuses a folder that holds anything.

    export_dataset(Dataset.open(store, ref), Path("out"), layout="yolo")      # 292
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgewright.artifacts.store import store_errors
from edgewright.data.dataset import Dataset, image_suffix
from edgewright.data.formats import LAYOUTS, layout_named
from edgewright.data.formats.annotation import pair_key
from edgewright.data.rows import Row
from edgewright.errors import InputError


def export_dataset(dataset: Dataset, out: Path, *, layout: str) -> int:
    """How many images were written.

    Raises:
        InputError: an unknown layout, one that is only read, or a folder that is not empty.
        StoreUnavailable: the disk is full or the folder cannot be written.
    """
    write = layout_named(layout).write
    if write is None:
        written = [name for name, one in LAYOUTS.items() if one.write is not None]
        raise InputError("a layout that is read, not written", expected=" | ".join(written), got=layout)
    with store_errors(str(out)):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError("the export folder is not empty", where=out, next_step="name a new folder")
        out.mkdir(parents=True, exist_ok=True)
        named = name_files(dataset, dataset.usable)
        write(dataset, named, out)
    return len(named)


def name_files(dataset: Dataset, rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """A file name for every row, in id order; stems are distinct, also where letter case is not told apart."""
    taken: set[str] = set()
    named = []
    for row in sorted(rows, key=lambda row: row.id):
        stem = wanted = pair_key(row.id).replace("/", "__")
        number = 1
        while stem.lower() in taken:
            number += 1
            stem = f"{wanted}-{number}"
        taken.add(stem.lower())
        named.append((f"{stem}.{image_suffix(dataset.payload(row))}", row))
    return named
