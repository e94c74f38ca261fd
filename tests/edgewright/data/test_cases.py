"""Label files as strangers bring them: each is read as it was meant, or refused with what cures it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.data.dataset import Dataset
from edgewright.data.ingest_report import IngestReport
from edgewright.errors import SourceError

pytestmark = pytest.mark.real
Take = Callable[..., tuple[IngestReport, Dataset]]
Objects = list[tuple[str, list[float]]]
TOLERANCE_PX = 0.01


def true_objects(cases: Path, case: str) -> tuple[tuple[str, ...], dict[str, Objects]]:
    truth = json.loads((cases / "truth" / f"{case}.json").read_text())
    images = {name: sorted((box[0], box[1:]) for box in boxes) for name, boxes in truth["images"].items()}
    return tuple(truth["names"]), images


def read_objects(dataset: Dataset) -> dict[str, Objects]:
    return {
        row.id: sorted((dataset.classes[label.class_id], list(label.xyxy)) for label in row.labels)
        for row in dataset.usable
    }


def require_equal(dataset: Dataset, cases: Path, case: str) -> None:
    names, images = true_objects(cases, case)
    found = read_objects(dataset)
    assert (dataset.classes, found.keys()) == (names, images.keys())
    for image, objects in images.items():
        assert [name for name, _ in found[image]] == [name for name, _ in objects]
        assert [xyxy for _, xyxy in found[image]] == [pytest.approx(xyxy, abs=TOLERANCE_PX) for _, xyxy in objects]


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("y02_float_class_id", []),
        ("y03_bom_crlf", []),
        ("y04_pose_kpt2", ["32 label lines with keypoints, of which the box is taken"]),
        ("y07_two_classes_txt", ["2 class lists, each for the labels of its folder"]),
        ("y09_yaml_on_off", []),
        ("y14_img_txt_folders", ["16 labels in txt/ paired by name with the pictures in img/"]),
        ("y21_duplicate_lines", ["32 objects that stand twice in one label file, each taken once"]),
        ("v03_xmls_subfolder", ["16 labels in annotations/xmls/ paired by name with the pictures in images/"]),
        ("v05_sibling_folders", ["16 labels in annots/ paired by name with the pictures in pictures/"]),
        (
            "c06_odd_numbers",
            [
                "1 boxes of negative width or height, taken as drawn from the other corner",
                "1 annotations without a bbox, taken as the box around their polygon",
            ],
        ),
        ("c09_instances_and_keypoints", ["1 COCO files with keypoints, left out"]),
    ],
)
def test_labels_are_read_as_they_were_meant(cases: Path, take: Take, case: str, told: list[str]) -> None:
    report, dataset = take(cases / "src" / case)
    require_equal(dataset, cases, case)
    assert report.quarantined == ()
    said = [f"{finding.count} {finding.what}" for finding in report.findings]
    assert [sentence for sentence in told if sentence not in said] == []
    assert report.class_source


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("y06_one_based_ids", "no id 0, id 2 out of range: are ids counted from 1"),
        ("c01_dup_image_ids", "image id 1 stands twice"),
        ("c02_normalised_bbox", "boxes look normalized"),
        ("f03_kitti", "labels in a format that is not read: KITTI"),
    ],
)
def test_labels_that_cannot_be_meant_so_are_refused(cases: Path, take: Take, case: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence) as caught:
        take(cases / "src" / case)
    assert (caught.value.exit_code, bool(caught.value.next_step)) == (2, True)


def test_labels_beside_screenshots(cases: Path, tmp_path: Path, take: Take) -> None:
    """Names with a narrow no-break space, as macOS gives them."""
    with zipfile.ZipFile(cases / "src" / "y17_nnbsp" / "shots.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    _, dataset = take(tmp_path / "unpacked")
    require_equal(dataset, cases, "y17_nnbsp")


def test_labelme_is_read(cases: Path, take: Take) -> None:
    """Its pictures and boxes are those of the VOC case that is painted from the same numbers."""
    report, dataset = take(cases / "src" / "f01_labelme")
    _, painted = true_objects(cases, "v03_xmls_subfolder")
    named = {"cat": "bolt", "dog": "nut"}
    expected = {
        name.removeprefix("images/"): sorted((named[label], box) for label, box in boxes)
        for name, boxes in painted.items()
    }
    assert (report.layout, read_objects(dataset)) == ("labelme", expected)
