"""`Row` and `Label`: what a dataset knows of one image. One Arrow schema, read and written here alone.

What a row says of split, origin and labels is one word of a closed list. Refuses an index with any other word.

Law: `rows_from_table(rows_to_table(rows)) == rows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from edgewright.errors import ArtifactCorrupt
from edgewright.runtime.boxes import Boxes

T = TypeVar("T")
Word = TypeVar("Word", bound=StrEnum)


class Split(StrEnum):
    """`VAL` chooses epochs, thresholds and gates; `TEST` is real only and is looked at by the final report."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class Origin(StrEnum):
    REAL = "real"
    SYNTHETIC = "synthetic"


class LabelState(StrEnum):
    """Who says what is on an image; `BACKGROUND`: a person, that nothing is. `UNLABELED`: nobody does."""

    UNLABELED = "unlabeled"
    BACKGROUND = "background"
    HUMAN = "human"
    CONSTRUCTED = "constructed"
    MODEL = "model"
    REVIEWED = "reviewed"


class LabelSource(StrEnum):
    """Where a label comes from.

    A person drew it (`HUMAN`), or answered a review (`REVIEWED`). It was composed with the picture (`CONSTRUCTED`). A
    model drew it (`LABELER`, `TEACHER`). Or the labeler moved it (`CORRECTED`), doubts it (`REVIEW`), refused it
    (`DROPPED`), or saw an object that no label knows (`PHANTOM`).
    """

    HUMAN = "human"
    CONSTRUCTED = "constructed"
    LABELER = "labeler"
    TEACHER = "teacher"
    CORRECTED = "corrected"
    REVIEW = "review"
    DROPPED = "dropped"
    PHANTOM = "phantom"
    REVIEWED = "reviewed"


@dataclass(frozen=True)
class Label:
    """One object in one image.

    Attributes:
        class_id: index into the dataset's class list.
        xyxy: corners in px of the stored image.
        mask: run-length encoding (`rle.py`) of the object's pixels, row-major over the whole image; empty: none.
        ignore: neither trained on nor counted (crowds, barely visible objects).
        source: where it comes from; model and person say which one.
        reviewed_at: when the person looked at it, ISO 8601; empty where nobody did or no time is known.
        replaced_xyxy: the corners that stood here before they were corrected; empty where none were.
    """

    instance_id: int
    class_id: int
    xyxy: tuple[float, float, float, float]
    mask: str = ""
    ignore: bool = False
    confidence: float = 1.0
    source: LabelSource = LabelSource.HUMAN
    model: str = ""
    person: str = ""
    reviewed_at: str = ""
    replaced_xyxy: tuple[float, ...] = ()


@dataclass(frozen=True)
class Row:
    """One image, used or quarantined.

    Attributes:
        id: unique in the dataset; the source's relative path for real images.
        sha256: of the encoded picture, before `codec`; of the source bytes where quarantined.
        phash: 64-bit perceptual hash as 16 hex digits; empty where the picture cannot be read.
        width, height: px after EXIF rotation; None where unknown.
        group: images of one group never stand in two splits.
        parents: ids or digests of what a synthetic image was made from.
        shard_digest, offset, bytes: where the encoded image lies; empty and 0 in the index where quarantined.
        scores: quality scores by name.
        quarantine: why the image is not used; empty where it is.
        codec, stored_sha256: how its bytes lie in the shard (`codec.py`), and their digest; empty: as they are.
    """

    id: str
    sha256: str
    phash: str = ""
    width: int | None = None
    height: int | None = None
    split: Split = Split.TRAIN
    group: str = ""
    origin: Origin = Origin.REAL
    parents: tuple[str, ...] = ()
    shard_digest: str = ""
    offset: int = 0
    bytes: int = 0
    labels: tuple[Label, ...] = ()
    state: LabelState = LabelState.UNLABELED
    scores: dict[str, float] = field(default_factory=dict)
    quarantine: str = ""
    codec: str = ""
    stored_sha256: str = ""

    @property
    def boxes(self) -> Boxes:
        """The labels that count (not `ignore`) as truth."""
        kept = [label for label in self.labels if not label.ignore]
        return Boxes.of(
            [label.xyxy for label in kept],
            class_id=[label.class_id for label in kept],
            score=[label.confidence for label in kept],
        )

    @property
    def ignored(self) -> Boxes:
        """The labels marked `ignore`."""
        kept = [label for label in self.labels if label.ignore]
        return Boxes.of([label.xyxy for label in kept], class_id=[label.class_id for label in kept])


def labels_of(boxes: Boxes, *, source: LabelSource, model: str = "") -> tuple[Label, ...]:
    """Boxes as labels, instance ids from 0 in order."""
    return tuple(
        Label(
            instance_id=index,
            class_id=int(boxes.class_id[index]),
            xyxy=tuple(float(value) for value in boxes.xyxy[index]),  # type: ignore[arg-type]
            confidence=float(np.float64(boxes.score[index])),
            source=source,
            model=model,
        )
        for index in range(len(boxes))
    )


_LABEL = pa.struct(
    [
        ("instance_id", pa.int32()),
        ("class_id", pa.int32()),
        ("xyxy", pa.list_(pa.float64(), 4)),
        ("mask", pa.string()),
        ("ignore", pa.bool_()),
        ("confidence", pa.float64()),
        ("source", pa.string()),
        ("model", pa.string()),
        ("person", pa.string()),
        ("reviewed_at", pa.string()),
        ("replaced_xyxy", pa.list_(pa.float64())),
    ]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("sha256", pa.string()),
        ("phash", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("split", pa.string()),
        ("group", pa.string()),
        ("origin", pa.string()),
        ("parents", pa.list_(pa.string())),
        ("shard_digest", pa.string()),
        ("offset", pa.int64()),
        ("bytes", pa.int64()),
        ("labels", pa.list_(_LABEL)),
        ("state", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float64())),
        ("quarantine", pa.string()),
    ]
)

_CODED = [pa.field("codec", pa.string()), pa.field("stored_sha256", pa.string())]
"""Columns of an index with a picture that lies otherwise than it came; no other index has them."""


def rows_to_table(rows: Sequence[Row]) -> pa.Table:
    records = [
        {**vars(row), "labels": [vars(label) for label in row.labels], "scores": sorted(row.scores.items())}
        for row in rows
    ]
    columns = [*SCHEMA, *_CODED] if any(row.codec for row in rows) else SCHEMA
    return pa.Table.from_pylist(records, schema=pa.schema(columns))


def rows_from_table(table: pa.Table) -> list[Row]:
    """Raises ArtifactCorrupt where a row says what this version does not know."""
    return [_row(record) for record in table.to_pylist()]


def count_by_class(rows: Iterable[Row], n_classes: int) -> list[int]:
    """How many counting labels each class has."""
    counts = [0] * n_classes
    for row in rows:
        for label in row.labels:
            if not label.ignore:
                counts[label.class_id] += 1
    return counts


def _row(record: dict[str, Any]) -> Row:
    values = dict(record)
    values["parents"] = tuple(values["parents"])
    values["scores"] = dict(values["scores"])
    values["labels"] = tuple(_label(label, where=values["id"]) for label in values["labels"])
    for name, words in (("split", Split), ("origin", Origin), ("state", LabelState)):
        values[name] = _word(words, values[name], what=f"{name} of an image", where=values["id"])
    return Row(**values)


def _label(record: dict[str, Any], *, where: str) -> Label:
    """Columns that an older index lacks have their defaults."""
    corners = {name: tuple(record.get(name) or ()) for name in ("xyxy", "replaced_xyxy")}
    source = _word(LabelSource, record["source"], what="source of a label", where=where)
    return Label(**{**record, **corners, "source": source})


def _word(words: type[Word], value: str, *, what: str, where: str) -> Word:
    try:
        return words(value)
    except ValueError as error:
        raise ArtifactCorrupt(f"unknown {what}", expected=" | ".join(words), got=value, where=where) from error


def spread(items: Sequence[T], n: int) -> list[T]:
    """At most `n` items, evenly over the sequence, so that pictures do not all come from one place."""
    if len(items) <= n:
        return list(items)
    return [items[index * len(items) // n] for index in range(n)]
