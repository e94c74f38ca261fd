"""What ingest understood, as a person reads it; and as an older version wrote it."""

from __future__ import annotations

from dataclasses import asdict

from edgewright.data.findings import Finding
from edgewright.report.understood import told_as_json, understood

SPLITS = {
    split: {"images": n, "groups": n, "objects": {"bolt": 2 * n, "nut": 1}}
    for split, n in (("train", 6), ("val", 2), ("test", 2))
}
OLD = {
    "layout": "voc",
    "classes": ["bolt", "nut"],
    "images": 10,
    "unlabeled": 1,
    "background": 2,
    "splits": SPLITS,
    "quarantined": [["a.jpg#box0", "zero-area box [1, 1, 1, 1]"]],
    "passed_over": {".md": 1},
    "warnings": ["class 'nut' has no object in val"],
}
NEW = {
    **OLD,
    "label_folders": ["Annotations", "."],
    "class_source": "data.yaml",
    "split_source": "the source: folders train, val, test",
    "passed_over_examples": {".md": "README.md"},
    "findings": [asdict(Finding("lines | twice", 3, "x\ny.txt", "`--set ingest.leaks=move`"))],
}


def test_what_a_terminal_shows() -> None:
    assert understood(NEW).lines() == [
        "labels    voc, in Annotations/, the source's own folder",
        "images    10: 7 labeled, 2 background, 1 unlabeled",
        "objects   23: bolt 20, nut 3",
        "classes   2, from data.yaml",
        "splits    train 6, val 2, test 2",
        "split by  the source: folders train, val, test",
        "1 boxes left out: zero-area box, e.g. a.jpg#box0. Next: draw them again: such a box has no inside",
        "1 files passed over, neither pictures nor labels: .md, e.g. README.md",
        "3 lines | twice, e.g. x\ny.txt. Next: `--set ingest.leaks=move`",
        "class 'nut' has no object in val",
    ]


def test_what_an_older_version_wrote() -> None:
    lines = understood(OLD).lines()
    assert lines[0] == "labels   voc"
    assert lines[-2:] == ["1 files passed over, neither pictures nor labels: .md", "class 'nut' has no object in val"]
    assert told_as_json(OLD)["split_source"] is None


def test_long_lists_are_counted() -> None:
    many = {**NEW, "quarantined": [[f"{n}.jpg", f"reason {n}"] for n in range(100)]}
    lines = understood(many).lines(most=20)
    assert len(lines) == 21
    assert lines[-1] == "and 89 more, on the page"


def test_markdown_stays_one_table_whatever_a_file_is_called() -> None:
    assert "- 3 lines \\| twice, e.g. x y.txt." in understood(NEW).markdown()


def test_the_numbers_for_machines() -> None:
    told = told_as_json(NEW)
    assert (told["labeled"], told["objects"]) == (7, {"bolt": 20, "nut": 3})
    assert told["left_out"][0]["count"] == 1
