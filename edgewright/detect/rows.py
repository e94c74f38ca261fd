"""Which rows a detector learns from, and which it is chosen by. Refuses a data set with nothing to learn from."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.data.dataset import Dataset
from edgewright.data.rows import LabelState, Origin, Row, Split
from edgewright.detect.repeats import repeat_factors
from edgewright.errors import InputError
from edgewright.recipe.detect import TrainDetectorConfig


def training_rows(dataset: Dataset, *, with_val: bool = True) -> dict[Split, list[Row]]:
    """`train`: every labeled train row, real and synthetic. `val`: labeled real val rows. Test is never looked at.

    Args:
        with_val: False leaves `val` empty: nothing is chosen by it.

    Raises:
        InputError: a split without an image, or no labeled object in train.
    """
    rows = {
        Split.TRAIN: dataset.select(split=Split.TRAIN, labeled=True),
        Split.VAL: dataset.select(split=Split.VAL, origin=Origin.REAL, labeled=True) if with_val else [],
    }
    for split, chosen in rows.items():
        if (split == Split.TRAIN or with_val) and not any(len(row.boxes) for row in chosen):
            raise InputError(
                f"no labeled object in {split}",
                expected="at least 1 image with a box",
                got=f"{len(chosen)} labeled images",
                where=dataset.ref.uri,
                next_step="label more images, or change the shares in the recipe's `ingest` section",
            )
    return rows


def labeled_by_machine(rows: Sequence[Row]) -> list[bool]:
    """For each row whether no person labeled it."""
    return [row.origin == Origin.SYNTHETIC or row.state == LabelState.MODEL for row in rows]


def factors_of(rows: Sequence[Row], config: TrainDetectorConfig) -> list[float]:
    """How often each picture is shown, for the rare classes on it."""
    return repeat_factors([row.boxes.class_id.tolist() for row in rows], most=config.repeat_rare)
