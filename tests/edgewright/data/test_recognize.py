"""A photograph is known by what it shows, not by what it is called."""

from __future__ import annotations

import pytest

from edgewright.data.recognize import recognize
from edgewright.data.rows import Row
from edgewright.data.splits import KnownPicture, SplitLedger

LEDGER = SplitLedger(
    3,
    {"a.jpg": "train", "b.jpg": "test", "c.jpg": "train", "d.jpg": "val", "old.jpg": "test"},
    (
        KnownPicture("a.jpg", "A", "00000000000000ff"),
        KnownPicture("b.jpg", "B", "ffffffff00000000"),
        KnownPicture("c.jpg", "B", "ffffffff00000000"),  # the same photograph in train: the source has it twice
        KnownPicture("d.jpg", "D", "0f0f0f0f0f0f0f0f"),
    ),
)


@pytest.mark.parametrize(
    ("name", "sha256", "phash", "known_as"),
    [
        ("b.jpg", "B", "ffffffff00000000", None),  # itself
        ("c.jpg", "B", "ffffffff00000000", None),  # itself too
        ("z.jpg", "B", "ffffffff00000000", "b.jpg"),  # renamed: the more held-out one
        ("a.jpg", "B", "ffffffff00000000", "b.jpg"),  # renamed to a name that another one had
        ("z.jpg", "Z", "ffffffff00000003", "b.jpg"),  # encoded again: 2 bits
        ("z.jpg", "Z", "ffffffff000000ff", None),  # 8 bits
        ("a.jpg", "Z", "0f0f0f0f0f0f0f0f", None),  # a photograph that was edited keeps its name's split
        ("old.jpg", "Z", "ffffffff00000000", None),  # an older ledger knows names alone
    ],
)
def test_content_before_names(name: str, sha256: str, phash: str, known_as: str | None) -> None:
    found = recognize([Row(name, sha256, phash)], {name: name}, LEDGER, threshold_bits=4)
    assert found.get(name) == known_as


def test_without_a_threshold_the_same_bytes_alone_count() -> None:
    rows = [Row("y.jpg", "Z", "ffffffff00000000"), Row("z.jpg", "D", "0000000000000000")]
    assert recognize(rows, {"y.jpg": "y.jpg", "z.jpg": "z.jpg"}, LEDGER, threshold_bits=-1) == {"z.jpg": "d.jpg"}
