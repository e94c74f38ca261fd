"""What an arm may see: n photographs, nested, and nothing of the test split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.artifacts import Store, open_store
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Label, Row
from edgewright.errors import InputError
from edgewright.experiment.plan import AssembleConfig, SubsetConfig
from edgewright.experiment.subset import (
    assemble,
    draw_order,
    photographs_digest,
    pool_rows,
    repeats,
    subset_rows,
    write_subset,
)
from tests.scenes import publish_filled


def publish(store: Store, fill: Callable[[DatasetWriter], object], classes: tuple[str, ...] = ("a",)) -> Dataset:
    return publish_filled(store, fill, classes=classes, stage="test")


def row(index: int, *, split: str, group: str = "") -> Row:
    label = Label(0, 0, (1.0, 1.0, 9.0, 9.0))
    return Row(
        f"{split}-{index:03d}",
        "",
        width=16,
        height=16,
        split=split,
        group=group or f"{split}{index}",
        labels=(label,),
        state="human",
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


@pytest.fixture
def dataset(store: Store) -> Dataset:
    """30 train rows (of which two a group), 10 val, 10 test, 2 without labels."""
    rng = np.random.default_rng(0)

    def fill(writer: DatasetWriter) -> None:
        rows = [row(i, split="train", group=f"g{i // 2}") for i in range(30)]
        rows += [row(i, split=split) for split in ("val", "test") for i in range(10)]
        rows += [replace(row(90 + i, split="train"), labels=(), state="unlabeled") for i in range(2)]
        for one in rows:
            writer.add(one, encode_png(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)))

    return publish(store, fill)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"scores": {"sharpness": 3.0}}, True),
        ({"scores": {"hard": 0.5}}, False),  # layouts are drawn by it
        ({"labels": (Label(0, 0, (1.0, 1.0, 9.0, 9.0), mask="3 4"),)}, False),  # crops are cut by it
        ({"split": "val"}, False),
        ({"labels": (Label(0, 0, (1.0, 1.0, 9.0, 8.0)),)}, False),
    ],
)
def test_photographs_are_known_by_what_an_arm_sees_of_them(
    store: Store, dataset: Dataset, change: dict[str, Any], same: bool
) -> None:
    def again(writer: DatasetWriter) -> None:
        for place, one in enumerate(dataset.usable):
            writer.link(replace(one, **change) if place == 0 else one, dataset)
        writer.finish()

    other = publish(store, again)
    assert other.ref.sha256 != dataset.ref.sha256
    assert (photographs_digest(other) == photographs_digest(dataset)) is same


def test_the_pool_has_no_test_image_and_none_without_labels(dataset: Dataset) -> None:
    assert Counter(row.split for row in pool_rows(dataset)) == {"train": 30, "val": 10}


def test_subsets_of_one_draw_are_nested_in_both_parts(dataset: Dataset) -> None:
    small, large = (subset_rows(dataset, SubsetConfig(labels=n, draw=3)) for n in (10, 20))
    for split in ("train", "val"):
        ids = [{row.id for row in rows if row.split == split} for rows in (small, large)]
        assert ids[0] < ids[1]


def test_other_draws_are_other_images(dataset: Dataset) -> None:
    drawn = [{row.id for row in subset_rows(dataset, SubsetConfig(labels=10, draw=draw))} for draw in range(3)]
    assert len({frozenset(ids) for ids in drawn}) == 3
    assert drawn[0] == {row.id for row in subset_rows(dataset, SubsetConfig(labels=10, draw=0))}


def test_groups_stay_together_in_the_order_and_the_parts(dataset: Dataset) -> None:
    order = [row.group for row in draw_order(pool_rows(dataset), draw=1)]
    assert all(order.count(group) == 1 or order[order.index(group) + 1] == group for group in order)
    split_of: dict[str, set[str]] = {}
    for row in subset_rows(dataset, SubsetConfig(draw=1)):
        split_of.setdefault(row.group, set()).add(row.split)
    assert all(len(splits) == 1 for splits in split_of.values())


@pytest.mark.parametrize(("share", "held_out"), [(0.25, 10), (0.5, 20), (0.1, 4)])
def test_the_gate_s_share(dataset: Dataset, share: float, held_out: int) -> None:
    rows = subset_rows(dataset, SubsetConfig(held_out_share=share))
    assert abs(sum(row.split == "val" for row in rows) - held_out) <= 2  # whole groups


@pytest.mark.parametrize(
    ("rest", "states", "splits"),
    [
        ("left_out", {"human": 8}, None),
        ("unlabeled", {"human": 8, "unlabeled": 32}, None),
        ("held_out", {"human": 40}, {"train": 8, "val": 32}),  # to measure on, never to learn from
    ],
)
def test_what_becomes_of_the_rest(
    dataset: Dataset, rest: str, states: dict[str, int], splits: dict[str, int] | None
) -> None:
    draw = next(draw for draw in range(99) if not cut_group(dataset, labels=8, draw=draw))
    rows = subset_rows(dataset, SubsetConfig(labels=8, rest=rest, draw=draw))
    assert Counter(row.state for row in rows) == states
    assert splits is None or Counter(row.split for row in rows) == splits
    assert all(not row.labels for row in rows if row.state == "unlabeled")
    assert "test" not in {row.split for row in rows}


def cut_group(dataset: Dataset, *, labels: int, draw: int) -> str:
    """The group that stands on both sides of n, if one does."""
    order = draw_order(pool_rows(dataset), draw=draw)
    return order[labels].group if order[labels - 1].group == order[labels].group else ""


@pytest.mark.parametrize("rest", ["unlabeled", "held_out"])
def test_the_other_photographs_of_a_group_that_n_cuts_stand_nowhere(dataset: Dataset, rest: str) -> None:
    draw = next(draw for draw in range(99) if cut_group(dataset, labels=7, draw=draw))
    rows = subset_rows(dataset, SubsetConfig(labels=7, rest=rest, draw=draw))
    assert len(rows) == 39
    assert sum(row.group == cut_group(dataset, labels=7, draw=draw) for row in rows) == 1


def test_more_labels_than_there_are(dataset: Dataset) -> None:
    with pytest.raises(InputError, match="fewer labeled photographs"):
        subset_rows(dataset, SubsetConfig(labels=41))


@pytest.mark.parametrize(
    ("config", "counts"),
    [
        (AssembleConfig(), {"real": 8}),
        (AssembleConfig(extra="synthetic"), {"real": 8, "synthetic": 3}),
        (AssembleConfig(extra="synthetic", photographs=False), {"synthetic": 3}),
        (AssembleConfig(extra="repeated"), {"real": 8 * 4}),  # one class, one object each: alike
        (AssembleConfig(extra="pseudo"), {"real": 9}),  # the one on which a model is sure of an object
    ],
)
def test_what_a_detector_is_trained_on(
    store: Store, dataset: Dataset, config: AssembleConfig, counts: dict[str, int]
) -> None:
    own = publish(store, lambda writer: write_subset(dataset, SubsetConfig(labels=8), writer=writer))

    def fill(writer: DatasetWriter) -> None:
        picture = encode_png(np.zeros((16, 16, 3), np.uint8))
        for i in range(3):
            writer.add(replace(row(i, split="train"), id=f"s{i}", origin="synthetic", state="constructed"), picture)
        writer.add(replace(row(7, split="train"), id="p", state="model"), picture)
        unsure = tuple(replace(label, ignore=True) for label in row(6, split="train").labels)
        writer.add(replace(row(6, split="train"), id="u", state="model", labels=unsure), picture)
        writer.add(replace(row(5, split="train"), id="n", state="model", labels=()), picture)
        writer.quarantine(replace(row(8, split="train"), id="q", origin="synthetic", quarantine="refused"))

    extra = publish(store, fill)
    made = publish(store, lambda writer: assemble(own, extra, config, writer=writer))
    assert Counter(row.origin for row in made.rows) == counts
    assert {row.split for row in made.rows} == {"train"}


def test_another_class_list_is_refused(store: Store, dataset: Dataset, tmp_path: Path) -> None:
    other = publish(store, lambda writer: None, classes=("b",))
    with pytest.raises(InputError, match="class lists"):
        assemble(dataset, other, AssembleConfig(), writer=DatasetWriter(tmp_path / "out", classes=("a",)))


def test_photographs_with_rare_objects_are_shown_more_often_and_every_one_is_shown() -> None:
    def with_classes(index: int, *classes: int) -> Row:
        labels = tuple(Label(i, class_id, (1.0, 1.0, 9.0, 9.0)) for i, class_id in enumerate(classes))
        return replace(row(index, split="train"), labels=labels)

    common = [with_classes(i, 0, 0, 0) for i in range(9)]
    rare, empty = with_classes(9, 0, 0, 0, 1), with_classes(10)
    shown = Counter(one.id.partition("~")[0] for one in [*common, rare, empty, *repeats([*common, rare, empty])])
    assert [shown[one.id] for one in (*common, rare, empty)] == [2] * 9 + [24, 1]  # 44 / 2 of 1 / 10, 11 / 10 and 0
    assert repeats([empty]) == []
