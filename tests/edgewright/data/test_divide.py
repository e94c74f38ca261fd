"""Who is asked for a split: the project, then the source, then the draw."""

from __future__ import annotations

import pytest

from edgewright.artifacts import sha256_bytes
from edgewright.data.divide import Division, divide
from edgewright.data.rows import Label, Row, Split
from edgewright.data.source_splits import SourceSplits
from edgewright.data.splits import KnownPicture, SplitLedger
from edgewright.recipe.data import IngestConfig


def row(name: str, *, sha256: str = "", phash: str = "", labeled: bool = True) -> Row:
    """Hashes that are far apart unless they are given."""
    labels = (Label(0, 0, (1, 2, 9, 9)),) if labeled else ()
    return Row(
        name,
        sha256 or name,
        phash or sha256_bytes(name.encode())[:16],
        10,
        10,
        labels=labels,
        state="human" if labeled else "unlabeled",
    )


def divided(rows: list[Row], said: dict[str, str], *, ledger: SplitLedger | None = None, **settings: str) -> Division:
    brought = SourceSplits({name: Split(split) for name, split in said.items()}, "folders" if said else "")
    return divide(rows, IngestConfig(**settings), n_classes=1, known={}, brought=brought, seed=0, ledger=ledger)


def sides(division: Division, rows: list[Row]) -> dict[str, str]:
    return {one.id: division.place(one).split for one in rows}


NAMES = [f"{split}/{number:02d}.jpg" for split in ("train", "val", "test") for number in range(10)]
SAID = {name: name.split("/")[0] for name in NAMES}


def test_the_source_decides() -> None:
    rows = [row(name) for name in NAMES]
    division = divided(rows, SAID)
    assert sides(division, rows) == SAID
    assert (division.origin, division.findings) == ("the source: folders", ())
    anew = divided(rows, SAID, splits="new")
    assert sides(anew, rows) != SAID
    assert anew.origin == "divided anew as asked, by group: 60% train, 15% val, 25% test"


@pytest.mark.parametrize(
    ("held", "drawn"), [(("val",), ["test"]), (("test",), ["val"]), (("val", "test"), []), ((), ["val", "test"])]
)
def test_what_the_source_does_not_hold_out_is_drawn_from_its_train(held: tuple[str, ...], drawn: list[str]) -> None:
    said = {name: split for name, split in SAID.items() if split in ("train", *held)}
    rows = [row(name) for name in said]
    division = divided(rows, said)
    found = sides(division, rows)
    assert set(found.values()) == {"train", "val", "test"}
    assert all(found[name] == split for name, split in said.items() if split in held)
    told = [f"for {split}: the source brings none" for split in drawn]
    assert all(any(sentence in one.what for one in division.findings) for sentence in told)
    assert len(division.findings) == len(told)


def test_a_test_split_without_labels_is_no_test_split() -> None:
    rows = [row(name, labeled=not name.startswith("test")) for name in NAMES]
    division = divided(rows, SAID)
    found = sides(division, rows)
    assert [found[name] for name in NAMES if name.startswith("test")] == ["test"] * 10, "they are not trained on"
    assert [one.count for one in division.findings if "drawn for test" in one.what] == [
        sum(found[name] == "test" for name in NAMES if name.startswith("train"))
    ]


def test_the_project_decides_before_the_source() -> None:
    rows = [row(name) for name in NAMES]
    ledger = SplitLedger(2, {"train/00.jpg": "test"}, (KnownPicture("train/00.jpg", "train/00.jpg"),))
    division = divided(rows, SAID, ledger=ledger)
    assert sides(division, rows) == {**SAID, "train/00.jpg": "test"}
    (told,) = division.findings
    assert told.what == (
        "photographs that the source puts elsewhere than the project had them: the project's split stays"
    )
    assert told.example == "train/00.jpg: train in the source, test in the project"
    assert division.origin == "the source: folders, earlier ingests of the project"


def test_a_renamed_test_photograph_stays_in_test() -> None:
    rows = [row(f"{number:02d}.jpg") for number in range(20)]
    first = divided(rows, {})
    test = next(one for one in rows if first.place(one).split == "test")
    new = [row("new/zz.jpg", sha256=test.sha256, phash=test.phash) if one is test else one for one in rows]
    second = divided(new, {}, ledger=first.assignment.ledger)
    assert sides(second, new)["new/zz.jpg"] == "test"
    (told,) = second.findings
    assert told.what == "photographs that the project knows under another name: they stay in their split"
    assert (told.count, told.example) == (1, f"new/zz.jpg was {test.id}")


@pytest.mark.parametrize(
    ("twin", "why"),
    [
        ({"sha256": "train/00.jpg"}, "the same file"),
        ({}, "a near-duplicate"),
    ],
)
@pytest.mark.parametrize("leaks", ["keep", "move"])
def test_a_leak_that_the_source_brings(twin: dict[str, str], why: str, leaks: str) -> None:
    rows = [row(name) for name in NAMES]
    rows = [row(one.id, phash=rows[0].phash, **twin) if one.id == "test/00.jpg" else one for one in rows]
    division = divided(rows, SAID, leaks=leaks)
    assert [(leak.image, leak.twin, leak.why) for leak in division.leaks] == [("train/00.jpg", "test/00.jpg", why)]
    assert sides(division, rows)["train/00.jpg"] == ("train" if leaks == "keep" else "test")
    (told,) = division.findings
    assert told.what.startswith(f"pictures of train that also stand in test ({why}): ")
    assert (told.count, "ingest.leaks=move" in told.next_step) == (1, leaks == "keep")
    again = divided(rows, SAID, leaks=leaks, ledger=division.assignment.ledger)
    assert sides(again, rows) == sides(division, rows), "and so it stays"


def test_offline_augmented_siblings() -> None:
    names = [f"IMG_{number:02d}_jpg.rf.{tag}{number:030x}.jpg" for number in range(12) for tag in "abc"]
    rows = [row(name) for name in names]
    found = sides(divided(rows, {}), rows)
    assert all(len({found[name] for name in names[start : start + 3]}) == 1 for start in range(0, 36, 3))
    said = {name: ("train", "test")[number % 3 == 0] for number, name in enumerate(names)}
    kept, moved = (divided(rows, said, leaks=leaks) for leaks in ("keep", "move"))
    assert {leak.why for leak in kept.leaks} == {"augmented from one photograph, by its name"}
    assert [len(kept.leaks), [one.count for one in kept.findings if "also stand" in one.what]] == [24, [24]]
    assert set(sides(moved, rows).values()) == {"test"}


def test_a_group_that_the_source_cuts_is_held_out_whole() -> None:
    rows = [row(name) for name in NAMES]
    division = divided(rows, SAID, group_by="pattern", group_pattern="([0-9]{2})[.]jpg")
    assert set(sides(division, rows).values()) == {"test"}
    assert "10 groups that the source's split cuts: each is held out whole, e.g. 00" in map(str, division.findings)
