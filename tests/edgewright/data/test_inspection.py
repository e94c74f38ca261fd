"""What ingest would make of a source, without writing it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.data.dataset import Dataset
from edgewright.data.ingest_report import IngestReport
from edgewright.data.inspection import Inspection, inspect_source
from edgewright.recipe.data import IngestConfig

Take = Callable[..., tuple[IngestReport, Dataset]]


@pytest.fixture
def inspected(tmp_path: Path) -> Callable[..., Inspection]:
    def inspect(source: Path, **settings: object) -> Inspection:
        found = inspect_source(source, IngestConfig(**settings), scratch=tmp_path / "scratch")  # type: ignore[arg-type]
        assert list((tmp_path / "scratch").iterdir()) == []
        return found

    return inspect


def test_it_says_what_ingest_says(voc_folder: Path, take: Take, inspected: Callable[..., Inspection]) -> None:
    report, dataset = take(voc_folder)
    found = inspected(voc_folder)
    assert found.report.to_json() == report.to_json()
    assert [(row.id, row.split, row.labels) for row in found.rows] == [
        (row.id, row.split, row.labels) for row in dataset.usable
    ]
    assert (found.would_end, found.proposals, len(found.samples)) == ("", (), 12)
    assert found.samples[0].image.shape == (48, 64, 3)


def test_it_proposes_what_cures(voc_folder: Path, inspected: Callable[..., Inspection]) -> None:
    (voc_folder / "Annotations/p05.xml").unlink()
    found = inspected(voc_folder)
    assert found.proposals == ("ingest.missing_label=background",)
    assert [one.caption for one in found.odd] == ["pictures that nobody labeled: JPEGImages/p05.jpg"]
    assert inspected(voc_folder, missing_label="background").proposals == ()


def test_near_duplicates_are_shown(
    voc_folder: Path, picture: Callable[..., bytes], inspected: Callable[..., Inspection]
) -> None:
    (voc_folder / "JPEGImages/copy.jpg").write_bytes(picture(3, wh=(128, 96)))
    (pair,) = inspected(voc_folder).pairs
    assert "JPEGImages/copy.jpg, JPEGImages/p03.jpg" in pair[0].caption


def test_what_would_end_a_run_is_told(voc_folder: Path, inspected: Callable[..., Inspection]) -> None:
    for path in (voc_folder / "JPEGImages").glob("p0[0-8].jpg"):
        path.unlink()
    assert inspected(voc_folder).would_end.startswith("too few usable images (expected at least 10, got 5")
