"""What an arm may see of the data: n labeled photographs and nothing else.

Decides which ones: a seeded order of the pool (`train` and `val`), the first n of it; every k-th of them is `val`, for
the gate alone, the others are `train`. Subsets of one order are nested in both parts. Photographs of one group never
stand on two sides: where n cuts a group, its other photographs are left out. `test` is never handed out. Refuses more
labels than the pool has.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Label, LabelState, Origin, Row, Split
from edgewright.data.scores import HARD_SCORE
from edgewright.errors import InputError
from edgewright.experiment.plan import REPEATS, AssembleConfig, SubsetConfig, hold_out_every


def pool_rows(dataset: Dataset) -> list[Row]:
    """Labeled real photographs that are not `test`, by id."""
    rows = [row for row in dataset.select(origin=Origin.REAL, labeled=True) if row.split != Split.TEST]
    return sorted(rows, key=lambda row: row.id)


def photographs_digest(dataset: Dataset) -> str:
    """SHA-256 of what an arm can learn from and is tested on: classes, labeled photographs, their places and objects.

    Not of what else an ingestion writes down, which may change where the photographs do not.
    """
    rows = sorted(dataset.select(origin=Origin.REAL, labeled=True), key=lambda row: row.id)
    known = [
        [row.id, row.sha256, row.split, row.group, [_seen(label) for label in row.labels], *_hardness(row)]
        for row in rows
    ]
    return sha256_bytes(canonical_json([dataset.classes, known]))


def _seen(label: Label) -> list[Any]:
    """The mask cuts the crops, where there is one."""
    return [label.class_id, label.xyxy, label.ignore, *([label.mask] if label.mask else [])]


def _hardness(row: Row) -> list[float]:
    """Layouts are drawn by it, where there is one (`generate.hard_share`)."""
    return [row.scores[HARD_SCORE]] if HARD_SCORE in row.scores else []


def draw_order(rows: Sequence[Row], *, draw: int) -> list[Row]:
    """The rows in the order of a draw, groups together."""
    groups = sorted({row.group or row.id for row in rows})
    shuffled = np.random.default_rng([draw, 7]).permutation(len(groups))
    rank = {groups[int(at)]: place for place, at in enumerate(shuffled)}
    return sorted(rows, key=lambda row: (rank[row.group or row.id], row.id))


def subset_rows(dataset: Dataset, config: SubsetConfig) -> list[Row]:
    """The rows of the subset with their new splits. Raises InputError where the pool is too small."""
    ordered = draw_order(pool_rows(dataset), draw=config.draw)
    n = len(ordered) if config.labels is None else config.labels
    if n > len(ordered):
        raise InputError(
            "fewer labeled photographs than asked for",
            expected=f">= {n}",
            got=len(ordered),
            where=dataset.ref.uri,
            next_step="ask for fewer labels, or lower the share of test images (ingest.train_share, ingest.val_share)",
        )
    labeled = list(_split(ordered[:n], every=hold_out_every(config.held_out_share)))
    seen = {row.group or row.id for row in labeled}
    rest = [row for row in ordered[n:] if (row.group or row.id) not in seen]
    if config.rest == "unlabeled":
        return labeled + [replace(row, labels=(), state=LabelState.UNLABELED, split=Split.TRAIN) for row in rest]
    if config.rest == "held_out":
        return [replace(row, split=Split.TRAIN) for row in labeled] + [replace(row, split=Split.VAL) for row in rest]
    return labeled


def write_subset(dataset: Dataset, config: SubsetConfig, *, writer: DatasetWriter) -> int:
    """Write the subset as a derived data set; how many rows it has."""
    for row in subset_rows(dataset, config):
        writer.link(row, dataset)
    return len(writer.finish())


def assemble(
    subset: Dataset,
    extra: Dataset,
    config: AssembleConfig,
    *,
    writer: DatasetWriter,
    splits: tuple[Split, ...] = (Split.TRAIN, Split.VAL),
) -> dict[str, int]:
    """Write what a detector is trained on: labeled photographs of the subset, and the extra pictures, all as `train`.

    Args:
        splits: whose photographs. A subset hands out no `test`; its `val` is the gate's, which training may follow.

    Returns:
        How many `photographs` and `extra` rows there are.
    """
    extra.check_classes(subset.classes)
    photographs = [row for row in subset.select(origin=Origin.REAL, labeled=True) if row.split in splits]
    beside = _extra_rows(extra, photographs, config.extra)
    for row in photographs if config.photographs else []:
        writer.link(replace(row, split=Split.TRAIN), subset)
    for row in beside:
        writer.link(replace(row, split=Split.TRAIN), subset if config.extra == "repeated" else extra)
    writer.finish()
    return {"photographs": len(photographs) if config.photographs else 0, "extra": len(beside)}


def repeats(rows: Sequence[Row]) -> list[Row]:
    """Further showings of photographs, those with objects of rare classes more often; ids are numbered.

    A photograph's weight is the sum over its objects of one over how many objects of that class there are, so that
    every class has equal weight in all (the image weights of YOLOv5, `labels_to_image_weights`). Of REPEATS showings a
    photograph on average, each gets the share of its weight, rounded, and at least one.
    """
    classes = [row.boxes.class_id.tolist() for row in rows]
    objects = Counter(itertools.chain.from_iterable(classes))
    weights = [sum(1 / objects[one] for one in found) for found in classes]
    unit = REPEATS * len(rows) / max(1, len(objects))  # the weights sum to the number of classes
    showings = [max(1, round(weight * unit)) for weight in weights]
    return [replace(row, id=f"{row.id}~{k}") for row, n in zip(rows, showings, strict=True) for k in range(1, n)]


def _extra_rows(extra: Dataset, photographs: Sequence[Row], kind: str) -> Sequence[Row]:
    if kind == "repeated":
        return repeats(photographs)
    if kind == "synthetic":
        return extra.select(origin=Origin.SYNTHETIC, labeled=True)
    if kind == "pseudo":
        return extra.pseudo_labeled()
    return []


def _split(rows: Sequence[Row], *, every: int) -> Iterable[Row]:
    """Every k-th group of the order is `val`, the others `train`."""
    groups = list(dict.fromkeys(row.group or row.id for row in rows))
    held_out = set(groups[every - 1 :: every])
    return (replace(row, split=Split.VAL if (row.group or row.id) in held_out else Split.TRAIN) for row in rows)
