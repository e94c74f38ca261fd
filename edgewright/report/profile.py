"""What a dataset holds, in numbers: what a tracker shows of it.

Reads the columns that it counts and no more, since a run asks about the same dataset at every stage that sees it.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from edgewright.artifacts import ArtifactRef, Store
from edgewright.data.dataset import DATASET_FILE

_INDEX = "index/"
_COUNTED = ("split", "origin", "state")
_OF_LABELS = ("labels.list.element.class_id", "labels.list.element.ignore")


def profile_of(store: Store, ref: ArtifactRef) -> dict[str, Any]:
    """`{num_rows, quarantined, split, origin, state, objects}`: images by word, objects by class name.

    Quarantined images stand in their own number alone; labels marked `ignore` are not counted.

    Raises:
        ArtifactMissing, ArtifactCorrupt: the store does not have it as it was published.
    """
    classes = json.loads(store.file(ref.sha256, DATASET_FILE).read_bytes())["classes"]
    table = pa.concat_tables(map(_counted_columns, _index_parts(store, ref)))
    usable = table.filter(pc.equal(table["quarantine"], ""))
    words = {name: dict(sorted(Counter(usable[name].to_pylist()).items())) for name in _COUNTED}
    return {
        "num_rows": usable.num_rows,
        "quarantined": table.num_rows - usable.num_rows,
        **words,
        "objects": _objects(usable["labels"].combine_chunks(), classes),
    }


def _index_parts(store: Store, ref: ArtifactRef) -> list[Path]:
    names = store.manifest(ref.sha256).content.files
    return [store.file(ref.sha256, name) for name in sorted(names) if name.startswith(_INDEX)]


def _counted_columns(part: Path) -> pa.Table:
    with pq.ParquetFile(part) as index:
        return index.read(columns=[*_COUNTED, "quarantine", *_OF_LABELS])


def _objects(labels: pa.ListArray, classes: list[str]) -> dict[str, int]:
    each = labels.flatten()
    counted = each.filter(pc.invert(pc.struct_field(each, "ignore")))
    found = Counter(pc.struct_field(counted, "class_id").to_pylist())
    return {name: found[index] for index, name in enumerate(classes)}
