"""What was left out is told by reason: how often, one example, what cures it."""

from __future__ import annotations

import pytest

from edgewright.data.left_out import left_out, plain

PAIRED = "Next: a picture and its label share a name: images/x.jpg, labels/x.txt"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("zero-area box [5, 5, 5, 5]", "zero-area box"),
        ("picture too large (expected <= 9 px, got 3x4)", "picture too large"),
        ("labels/a b.txt: not a text file (got 'utf-8' codec)", "not a text file"),
        ("not a label line: 'x y'", "not a label line"),
        ("labels cannot be paired: a.jpg and b.txt share one name", "labels cannot be paired"),
        ("class id 7 is out of range: there are 2 classes", "class id 7 is out of range: there are 2 classes"),
        ("unknown class 'nut'", "unknown class 'nut'"),
        ("a label file without an image", "a label file without an image"),
    ],
)
def test_kinds(reason: str, kind: str) -> None:
    assert plain(reason) == kind


def test_most_frequent_first_and_what_nobody_looked_at_last() -> None:
    quarantined = [
        ("images/a.jpg", "not a picture (expected JPEG)"),
        ("images/b.jpg#box0", "zero-area box [1, 1, 1, 1]"),
        ("images/b.jpg#box3", "zero-area box [2, 1, 2, 1]"),
        ("labels/c.txt", "a label file without an image"),
    ]
    told = [str(one) for one in left_out(quarantined, {".md": 2}, {".md": "README.md"})]
    assert told == [
        "2 boxes left out: zero-area box, e.g. images/b.jpg#box0. Next: draw them again: such a box has no inside",
        "1 labels left out: a label file without an image, e.g. labels/c.txt. " + PAIRED,
        "1 pictures left out: not a picture, e.g. images/a.jpg. Next: convert them to JPEG or PNG",
        "2 files passed over, neither pictures nor labels: .md, e.g. README.md",
    ]


def test_a_reason_that_knows_its_cure_says_it_last() -> None:
    reason = "no frame can be read from the video. Next: play it, or convert it to mp4"
    (found,) = left_out([("a/broken.mp4", reason)])
    assert str(found) == (
        "1 videos left out: no frame can be read from the video, e.g. a/broken.mp4. Next: play it, or convert it to mp4"
    )
