"""Photographs of the store begin a run: what people said of them stays, what a model said does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.artifacts import Content, LocalStore, Record, sha256_bytes
from edgewright.data.dataset import Dataset
from edgewright.data.ingest_report import IngestReport
from edgewright.data.reingest import reingest
from edgewright.data.rows import Label, Row
from edgewright.data.splits import SplitLedger
from edgewright.errors import SourceError
from edgewright.recipe.data import IngestConfig
from tests.scenes import publish_dataset

CONFIG = IngestConfig(min_images=2)
REVIEWED = Label(0, 0, (1.0, 2.0, 9.0, 9.0), mask="4 8", source="reviewed", model="f", person="ann", reviewed_at="2026")
HIDDEN = Label(1, 0, (20.0, 20.0, 30.0, 30.0), ignore=True)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def publish(store: LocalStore, picture: Callable[..., bytes]) -> Callable[..., Dataset]:
    def publish_rows(*rows: Row) -> Dataset:
        pairs = [(row, picture(number)) for number, row in enumerate(rows) if not row.quarantine]
        quarantined = [row for row in rows if row.quarantine]
        return publish_dataset(store, pairs, classes=("bolt",), quarantined=quarantined, stage="review")

    return publish_rows


def row(name: str, **changes: object) -> Row:
    known = Row(id=name, sha256="", phash=sha256_bytes(name.encode())[:16], width=64, height=48, group=f"g-{name}")
    return replace(known, **changes)  # type: ignore[arg-type]


def again(dataset: Dataset, store: LocalStore, ledger: SplitLedger | None = None) -> tuple[IngestReport, Dataset]:
    with store.workspace() as work:
        report = reingest(dataset, CONFIG, workspace=work, ledger=ledger)
        assert json.loads((work / "ingest.json").read_text()) == json.loads(json.dumps(report.to_json()))
        assert SplitLedger.from_json(json.loads((work / "splits.json").read_text())) == report.ledger
        return report, Dataset.open(store, store.publish(work, Content(kind="dataset_real", stage="ingest"), Record()))


def test_scores_are_added_to_rows_that_come_again(
    publish: Callable[..., Dataset], store: LocalStore, tmp_path: Path
) -> None:
    dataset = publish(row("a", scores={"sharp": 1.0}), row("b"))
    (tmp_path / "hard.csv").write_text("id,hard\na,0.5\n")
    with store.workspace() as work:
        reingest(dataset, IngestConfig(min_images=2, scores=str(tmp_path / "hard.csv")), workspace=work)
        taken = Dataset.open(store, store.publish(work, Content(kind="dataset_real", stage="ingest"), Record()))
    assert [found.scores for found in taken.rows] == [{"sharp": 1.0, "hard": 0.5}, {}]


def test_rows_are_taken_as_they_are(publish: Callable[..., Dataset], store: LocalStore) -> None:
    before = publish(
        row("a", state="reviewed", labels=(REVIEWED, HIDDEN), split="val", scores={"hard": 2.0}),
        row("b", state="background", split="test"),
        row("c", state="unlabeled"),
        row("lost", quarantine="truncated", state="unlabeled"),
    )
    report, after = again(before, store)
    assert after.rows == before.rows
    assert [after.payload(one) for one in after.usable] == [before.payload(one) for one in before.usable]
    assert not list((store.file(after.ref.sha256, "dataset.json").parent / "shards").glob("*")), "pictures are linked"
    assert (report.images, report.unlabeled, report.background) == (3, 1, 1)
    assert report.quarantined == (("lost", "truncated"),)
    assert report.ledger.splits == {"g-a": "val", "g-b": "test", "g-c": "train"}


def test_what_a_model_labeled_is_unlabeled_again(publish: Callable[..., Dataset], store: LocalStore) -> None:
    _, after = again(publish(row("a", state="model", labels=(REVIEWED,)), row("b", state="background")), store)
    assert [(one.state, one.labels) for one in after.rows] == [("unlabeled", ()), ("background", ())]


def test_the_project_holds_out_what_it_held_out(publish: Callable[..., Dataset], store: LocalStore) -> None:
    ledger = SplitLedger(3, {"g-a": "test", "g-b": "train", "other": "val"})
    report, after = again(publish(row("a", split="train"), row("b", split="val")), store, ledger)
    assert [one.split for one in after.rows] == ["test", "val"]
    assert report.moved == ("g-b: train -> val",)
    assert (report.ledger.version, report.ledger.splits) == (4, {"g-a": "test", "g-b": "val", "other": "val"})
    assert [(one.group, one.sha256) for one in report.ledger.pictures] == [
        (one.group, one.sha256) for one in after.rows
    ]


def test_synthetic_and_too_few_pictures_are_refused(publish: Callable[..., Dataset], store: LocalStore) -> None:
    with pytest.raises(SourceError, match="synthetic pictures are no photographs"):
        again(publish(row("a"), row("b", origin="synthetic")), store)
    with pytest.raises(SourceError, match=r"too few usable images.*1 × truncated"):
        again(publish(row("a"), row("b", quarantine="truncated")), store)
