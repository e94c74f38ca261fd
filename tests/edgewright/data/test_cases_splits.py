"""Sources as strangers bring them: their own splits are kept and told, and come back out of our exports."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.data.dataset import Dataset
from edgewright.data.export import export_dataset
from edgewright.data.ingest_report import IngestReport
from edgewright.recipe.data import IngestConfig
from edgewright.report.understood import understood

Take = Callable[..., tuple[IngestReport, Dataset]]
pytestmark = pytest.mark.real


def found(dataset: Dataset) -> dict[str, list[tuple[str, list[int]]]]:
    """Image => its objects, as the truth of a case has them."""
    return {
        row.id: sorted(
            (dataset.classes[label.class_id], [round(value) for value in label.xyxy]) for label in row.labels
        )
        for row in dataset.usable
    }


def truth(cases: Path, case: str) -> dict[str, list[tuple[str, list[int]]]]:
    images = json.loads((cases / "truth" / f"{case}.json").read_bytes())["images"]
    return {name: sorted((box[0], box[1:]) for box in boxes) for name, boxes in images.items()}


@pytest.mark.parametrize(
    ("case", "counts", "origin"),
    [
        ("y01_roboflow_split", (60, 6, 6), "the source: data.yaml"),
        (
            "v04_imagesets",
            (14, 4, 6),
            "the source: ImageSets/Main/train.txt, ImageSets/Main/val.txt, ImageSets/Main/test.txt",
        ),
    ],
)
def test_the_split_of_the_source_is_kept_and_told(
    cases: Path, take: Take, case: str, counts: tuple[int, int, int], origin: str
) -> None:
    report, dataset = take(cases / "src" / case, IngestConfig())
    assert found(dataset) == truth(cases, case)
    assert tuple(count.images for count in report.splits.values()) == counts
    assert report.split_source == origin
    train, val, test = counts
    lines = understood(report.to_json()).lines()
    assert any(line.split() == ["splits", "train", f"{train},", "val", f"{val},", "test", f"{test}"] for line in lines)
    assert any(origin in line for line in lines)
    assert report.leaks == ()
    anew, divided = take(cases / "src" / case, IngestConfig(splits="new"))
    assert anew.split_source.startswith("divided anew as asked, by group")
    assert {row.id: row.split for row in divided.usable} != {row.id: row.split for row in dataset.usable}


def test_siblings_of_one_photograph_stand_on_one_side(cases: Path, take: Take) -> None:
    _, dataset = take(cases / "src" / "y01_roboflow_split", IngestConfig(splits="new"))
    sides = Counter((row.id.rpartition("/")[2].partition(".rf.")[0], row.split) for row in dataset.usable)
    assert len(sides) == 32, "one side for each of 32 photographs"
    assert sum(sides.values()) == 72


@pytest.mark.parametrize("leaks", ["keep", "move"])
def test_a_sibling_on_two_sides_is_told_and_moved_where_asked(
    cases: Path, take: Take, tmp_path: Path, leaks: str
) -> None:
    folder = Path(shutil.copytree(cases / "src" / "y01_roboflow_split", tmp_path / "set"))
    for kind in ("images", "labels"):
        (moved,) = (folder / "train" / kind).glob("IMG_0003_jpg.rf.b*")
        moved.rename(folder / "test" / kind / moved.name)
    report, dataset = take(folder, IngestConfig(leaks=leaks))
    split_of = {row.id.partition(".rf.")[2]: row.split for row in dataset.usable if "IMG_0003" in row.id}
    assert len(report.leaks) == 2
    assert set(split_of.values()) == ({"train", "test"} if leaks == "keep" else {"test"})
    told = [line for line in understood(report.to_json()).lines() if "also stand in test" in line]
    assert len(told) == 1
    assert told[0].startswith(
        "2 pictures of train that also stand in test (augmented from one photograph, by its name)"
    )


@pytest.mark.parametrize("case", ["y09_yaml_on_off", "y21_duplicate_lines"])
def test_one_folder_for_train_and_val_is_no_split(cases: Path, take: Take, case: str) -> None:
    report, _ = take(cases / "src" / case, IngestConfig(layout="yolo"))
    assert report.split_source == "divided anew, by group: 60% train, 15% val, 25% test"
    told = "1 YAML file that names the same pictures for train and for val: no split, e.g. data.yaml"
    assert told in map(str, report.findings)


@pytest.mark.parametrize("layout", ["yolo", "coco", "voc", "unlabeled"])
def test_our_own_exports_come_back_with_their_splits(cases: Path, take: Take, tmp_path: Path, layout: str) -> None:
    _, dataset = take(cases / "src" / "v04_imagesets", IngestConfig())
    export_dataset(dataset, tmp_path / "out", layout=layout)
    _, again = take(tmp_path / "out", IngestConfig())
    before = {row.id.rpartition("/")[2]: row.split for row in dataset.usable}
    assert {row.id.rpartition("/")[2]: row.split for row in again.usable} == before


def test_a_test_photograph_under_another_name_stays_in_test(cases: Path, take: Take, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(cases / "src" / "v04_imagesets", tmp_path / "set"))
    shutil.rmtree(folder / "ImageSets")
    first, dataset = take(folder, IngestConfig())
    name = next(row.id for row in dataset.usable if row.split == "test")
    stem = Path(name).stem
    (folder / name).rename(folder / "JPEGImages" / "zz.jpg")
    (folder / "Annotations" / f"{stem}.xml").rename(folder / "Annotations" / "zz.xml")
    second, dataset = take(folder, IngestConfig(), seed=1, ledger=first.ledger)
    assert {row.id: row.split for row in dataset.usable}["JPEGImages/zz.jpg"] == "test"
    assert f"JPEGImages/zz.jpg was {name}" in " ".join(map(str, second.findings))
