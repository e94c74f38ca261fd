"""Rows and their one Arrow schema."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.data.rows import (
    _LABEL,
    SCHEMA,
    Label,
    LabelSource,
    LabelState,
    Origin,
    Row,
    Split,
    count_by_class,
    labels_of,
    rows_from_table,
)
from edgewright.data.rows import rows_to_table as to_table
from edgewright.errors import ArtifactCorrupt
from tests.goldens import Golden

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.floats(-1e6, 1e6)
labels = st.builds(
    Label,
    instance_id=st.integers(0, 1000),
    class_id=st.integers(0, 9),
    xyxy=st.tuples(numbers, numbers, numbers, numbers),
    mask=text,
    ignore=st.booleans(),
    confidence=st.floats(0, 1),
    source=st.sampled_from(LabelSource),
    model=text,
    person=text,
    reviewed_at=text,
    replaced_xyxy=st.just(()) | st.tuples(numbers, numbers, numbers, numbers),
)
rows = st.builds(
    Row,
    id=text,
    sha256=text,
    phash=text,
    width=st.none() | st.integers(1, 10_000),
    height=st.none() | st.integers(1, 10_000),
    split=st.sampled_from(Split),
    group=text,
    origin=st.sampled_from(Origin),
    parents=st.lists(text, max_size=3).map(tuple),
    shard_digest=text,
    offset=st.integers(0, 2**40),
    bytes=st.integers(0, 2**40),
    labels=st.lists(labels, max_size=3).map(tuple),
    state=st.sampled_from(LabelState),
    scores=st.dictionaries(text, numbers, max_size=3),
    quarantine=text,
)


def test_the_columns_of_an_index(golden: Golden) -> None:
    """Every index that was ever written has these, or lacks the last ones."""
    columns = {"": SCHEMA, "labels.": _LABEL}
    golden("columns.txt", "".join(f"{of}{one.name}: {one.type}\n" for of, part in columns.items() for one in part))


@given(st.lists(rows, max_size=4))
def test_a_table_gives_back_its_rows(some: list[Row]) -> None:
    assert rows_from_table(to_table(some)) == some


def test_ignored_labels_are_neither_truth_nor_counted() -> None:
    seen, crowd = Label(0, 1, (0, 0, 4, 4)), Label(1, 1, (5, 5, 9, 9), ignore=True)
    row = Row(id="a", sha256="", labels=(seen, crowd))
    assert row.boxes.xyxy.tolist() == [[0, 0, 4, 4]]
    assert row.ignored.xyxy.tolist() == [[5, 5, 9, 9]]
    assert count_by_class([row], 3) == [0, 1, 0]


def test_boxes_become_labels_in_order() -> None:
    row = Row(id="a", sha256="", labels=(Label(0, 2, (0, 0, 4, 4)), Label(1, 0, (1, 1, 3, 3))))
    made = labels_of(row.boxes, source=LabelSource.LABELER, model="m1")
    assert [(label.instance_id, label.class_id, label.source, label.model) for label in made] == [
        (0, 2, "labeler", "m1"),
        (1, 0, "labeler", "m1"),
    ]


def test_an_index_of_before_reviews_is_still_read() -> None:
    """Label columns that a release did not have yet are filled with their defaults."""
    row = Row(id="a", sha256="", labels=(Label(0, 2, (0.0, 0.0, 4.0, 4.0), person="ann"),))
    record = to_table([row]).to_pylist()[0]
    for label in record["labels"]:
        del label["reviewed_at"], label["replaced_xyxy"]
    record["scores"] = list(record["scores"])
    old_label = pa.struct([field for field in _LABEL if field.name not in ("reviewed_at", "replaced_xyxy")])
    schema = SCHEMA.set(SCHEMA.get_field_index("labels"), pa.field("labels", pa.list_(old_label)))
    assert rows_from_table(pa.Table.from_pylist([record], schema=schema)) == [row]


def test_words_are_written_as_they_always_were() -> None:
    """Digests hang on the bytes of an index: a member is its word."""
    record = to_table([Row("a", "", labels=(Label(0, 0, (0, 0, 1, 1), source=LabelSource.PHANTOM),))]).to_pylist()[0]
    assert [type(record[name]) for name in ("split", "origin", "state")] == [str, str, str]
    assert (record["split"], record["origin"], record["state"]) == ("train", "real", "unlabeled")
    assert record["labels"][0]["source"] == "phantom"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Row("a.jpg", "", split="dev"), "unknown split of an image (expected train | val | test, got dev, in a.jpg)"),
        (Row("a.jpg", "", origin="drawn"), "unknown origin of an image (expected real | synthetic, got drawn"),
        (Row("a.jpg", "", state="guessed"), "unknown state of an image"),
        (Row("a.jpg", "", labels=(Label(0, 0, (0, 0, 1, 1), source="oracle"),)), "unknown source of a label"),
    ],
)
def test_an_index_with_an_unknown_word_is_refused(row: Row, said: str) -> None:
    with pytest.raises(ArtifactCorrupt, match=re.escape(said)):
        rows_from_table(to_table([row]))
