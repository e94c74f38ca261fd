from __future__ import annotations

from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from edgewright.data.folds import assign_folds
from edgewright.data.rows import Label, Row


def row(index: int, group: str, class_ids: Sequence[int] = ()) -> Row:
    labels = tuple(Label(i, class_id, (0.0, 0.0, 4.0, 4.0)) for i, class_id in enumerate(class_ids))
    return Row(id=f"{index:03d}", sha256="", group=group, labels=labels)


some_rows = st.lists(st.tuples(st.sampled_from("abcdefg"), st.lists(st.integers(0, 2), max_size=3)), min_size=1).map(
    lambda pairs: [row(index, *pair) for index, pair in enumerate(pairs)]
)


@given(some_rows, st.integers(1, 6), st.integers(0, 3))
def test_a_group_stands_on_one_side(rows: list[Row], folds: int, seed: int) -> None:
    fold_of = assign_folds(rows, folds=folds, n_classes=3, seed=seed)
    groups = {each.group for each in rows}
    assert len(fold_of) == len(rows)
    assert len({(each.group, fold) for each, fold in zip(rows, fold_of, strict=True)}) == len(groups)
    assert set(fold_of) == set(range(min(folds, len(groups))))  # none is empty


@given(some_rows, st.randoms())
def test_the_order_of_the_rows_does_not_matter(rows: list[Row], random: Random) -> None:
    shuffled = random.sample(rows, len(rows))
    one, other = (
        dict(zip([each.id for each in some], assign_folds(some, folds=3, n_classes=3, seed=1), strict=True))
        for some in (rows, shuffled)
    )
    assert one == other


def test_photographs_and_a_rare_class_are_spread() -> None:
    rows = [row(i, "", [0, 0, 1] if i % 5 == 0 else [0, 0]) for i in range(20)]
    fold_of = assign_folds(rows, folds=4, n_classes=2, seed=0)
    assert [fold_of.count(fold) for fold in range(4)] == [5, 5, 5, 5]
    assert sorted(fold_of[i] for i in range(0, 20, 5)) == [0, 1, 2, 3]
