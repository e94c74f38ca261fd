"""Labels that were read and look wrong."""

from __future__ import annotations

import pytest

from edgewright.data.rows import Label, Row
from edgewright.data.suspects import find_suspects


def row(name: str, *corners: tuple[float, float, float, float], class_id: int = 0) -> Row:
    labels = tuple(Label(number, class_id, xyxy) for number, xyxy in enumerate(corners))
    return Row(name, "", width=200, height=100, labels=labels, state="human" if labels else "unlabeled")


SOUND = [row(f"{number}.jpg", (10, 10, 60, 60)) for number in range(20)]


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ([], []),
        ([row("a.jpg", (1, 1, 2.5, 50))], [("boxes narrower than 1% of their picture", 1)]),
        ([row("a.jpg", (0, 0, 200, 100))], [("boxes as large as their picture", 1)]),
        ([row("a.jpg", (1, 1, 50, 50), (1, 1, 50, 50), (1, 1, 50, 50))], [("boxes that stand twice", 2)]),
        ([row("a.jpg", (1, 1, 50, 50), (40, 1, 90, 50))], []),  # two things side by side
        ([row("a.jpg")], [("pictures that nobody labeled", 1)]),
        (
            [row("a.jpg", (1, 1, 50, 50), class_id=1)],
            [("classes with fewer than 20 objects: too few to learn from and to test on", 1)],
        ),
    ],
)
def test_what_is_worth_a_look(odd: list[Row], told: list[tuple[str, int]]) -> None:
    found = list(find_suspects([*SOUND, *odd], ("bolt", "nut")))
    assert [(one.finding.what, one.finding.count) for one in found] == told
    assert all(one.images == ("a.jpg",) for one in found if one.images)


def test_a_source_that_nobody_labeled_is_no_suspect() -> None:
    assert list(find_suspects([row("a.jpg"), row("b.jpg")], ())) == []
