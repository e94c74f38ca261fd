"""A split is a partition by group, kept for ever."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.data.groups import base_groups, merge_groups
from edgewright.data.rows import Split
from edgewright.data.splits import SplitLedger, assign_splits
from edgewright.errors import ArtifactCorrupt, RecipeError
from edgewright.recipe.data import IngestConfig

SHARES = (0.6, 0.2, 0.2)
names = st.text("abcdef", min_size=1, max_size=3)
group_maps = st.dictionaries(names, st.text("xyz", min_size=1, max_size=2), min_size=1, max_size=25)
ledgers = st.builds(
    SplitLedger, st.integers(0, 9), st.dictionaries(st.text("xyz", min_size=1, max_size=2), st.sampled_from(Split))
)


@given(group_maps, st.data())
def test_merged_groups_are_a_partition(group_of: dict[str, str], data: st.DataObject) -> None:
    ids = sorted(group_of)
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=6))
    merged = merge_groups(group_of, pairs)
    assert all(group_of[name] in merged[name] for name in ids)
    assert all(merged[one] == merged[other] for one, other in pairs)
    tuples = set(merged.values())
    assert sorted(group for groups in tuples for group in groups) == sorted(set(group_of.values()))


@settings(deadline=None)
@given(group_maps, ledgers, st.integers(0, 3), st.data())
def test_a_split_is_a_partition_by_group_and_old_groups_stay(
    group_of: dict[str, str], ledger: SplitLedger, seed: int, data: st.DataObject
) -> None:
    ids = sorted(group_of)
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=4))
    merged = merge_groups(group_of, pairs)
    weights = {groups: [1, 2] for groups in merged.values()}
    made = assign_splits(weights, shares=SHARES, seed=seed, ledger=ledger)
    assert set(made.split_of) == set(weights)
    for groups, split in made.split_of.items():
        assert {made.ledger.splits[base] for base in groups} == {split}
        before = [ledger.splits[base] for base in groups if base in ledger.splits]
        if before:  # the most held-out side wins
            assert split == max(before, key=tuple(Split).index)
    assert {base for base in ledger.splits if base not in group_of.values()} <= set(made.ledger.splits)
    again = assign_splits(weights, shares=SHARES, seed=seed + 1, ledger=made.ledger)
    assert (again.ledger, again.split_of, again.moved) == (made.ledger, made.split_of, ())


@given(ledgers)
def test_a_ledger_is_read_back(ledger: SplitLedger) -> None:
    assert SplitLedger.from_json(json.loads(json.dumps(ledger.to_json()))) == ledger


@pytest.mark.parametrize(
    "value", [{}, {"version": 1}, {"version": "1", "splits": {}}, {"version": 1, "splits": {"a": "x"}}]
)
def test_what_is_not_a_ledger(value: dict[str, object]) -> None:
    with pytest.raises(ArtifactCorrupt, match="not a split ledger"):
        SplitLedger.from_json(value)


def test_classes_are_spread_over_the_splits() -> None:
    """100 groups; `rare` is in ten of them only."""
    weights = {(f"g{i:03d}",): [1, 5, int(i % 10 == 0)] for i in range(100)}
    made = assign_splits(weights, shares=SHARES, seed=0)
    per_split = {split: [g for g, s in made.split_of.items() if s == split] for split in Split}
    assert {split: len(groups) for split, groups in per_split.items()} == {"train": 60, "val": 20, "test": 20}
    assert [sum(weights[g][2] for g in per_split[split]) for split in Split] == [6, 2, 2]


def test_shares_are_met_by_images_and_by_every_class() -> None:
    drawn = np.random.default_rng(0).poisson([1, 11, 1], (292, 3))
    weights = {(f"g{i:03d}",): [1, *map(int, counts)] for i, counts in enumerate(drawn)}
    made = assign_splits(weights, shares=SHARES, seed=0)
    held = [np.sum([weights[g] for g, s in made.split_of.items() if s == split], axis=0) for split in Split]
    shares = np.array(held) / np.sum(held, axis=0)
    assert np.abs(shares - np.array(SHARES)[:, None]).max() < 0.01


@pytest.mark.parametrize(
    ("groups", "filled"),
    [(1, {"train"}), (2, {"train", "val"}), (3, {"train", "val", "test"}), (4, {"train", "val", "test"})],
)
def test_no_split_is_empty_where_that_can_be(groups: int, filled: set[str]) -> None:
    made = assign_splits({(str(i),): [1, 1] for i in range(groups)}, shares=(0.9, 0.05, 0.05), seed=0)
    assert set(made.split_of.values()) == filled


def test_new_groups_go_where_they_are_missing() -> None:
    old = assign_splits({(f"a{i}",): [1] for i in range(10)}, shares=SHARES, seed=0).ledger
    weights = {(f"{kind}{i}",): [1] for kind in "ab" for i in range(10)}
    made = assign_splits(weights, shares=SHARES, seed=0, ledger=old)
    assert made.ledger.version == 2
    assert {base: made.ledger.splits[base] for base in old.splits} == dict(old.splits)
    assert [list(made.split_of.values()).count(split) for split in Split] == [12, 4, 4]


def test_a_near_duplicate_across_splits_moves_to_the_held_out_side() -> None:
    ledger = SplitLedger(3, {"a": "train", "b": "test", "c": "val"})
    made = assign_splits({("a", "b"): [2], ("c",): [1]}, shares=SHARES, seed=0, ledger=ledger)
    assert (made.moved, made.ledger.version) == (("a: train -> test",), 4)
    assert made.ledger.splits == {"a": "test", "b": "test", "c": "val"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, ["d/cam1_3.jpg", "d/cam1_4.jpg", "e/x.jpg", "t1"]),  # an image each; a video knows its own
        ({"group_by": "folder"}, ["d", "d", "e", "clip.mp4"]),
        ({"group_by": "pattern", "group_pattern": "(cam[0-9]+)_"}, ["cam1", "cam1", "e/x.jpg", "clip.mp4/f.png"]),
    ],
)
def test_base_groups(config: dict[str, str], expected: list[str]) -> None:
    ids = ["d/cam1_3.jpg", "d/cam1_4.jpg", "e/x.jpg", "clip.mp4/f.png"]
    found = base_groups(ids, IngestConfig(**config), known={"clip.mp4/f.png": "t1"})
    assert list(found.values()) == expected


@pytest.mark.parametrize("pattern", ["", "cam", "(cam"])  # empty, without a group, not an expression
def test_group_patterns_that_are_refused(pattern: str) -> None:
    with pytest.raises(RecipeError, match="group_pattern"):
        base_groups(["a"], IngestConfig(group_by="pattern", group_pattern=pattern), known={})
