"""COCO as tools and hands write it: read, told or refused, never taken for something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.data.formats import Labels, coco
from edgewright.data.formats.json_head import HEAD_BYTES
from edgewright.data.sources import Source
from edgewright.errors import SourceError
from tests.sources import source_of

Change = Callable[[dict[str, list[dict[str, object]]]], None]
COCO = {
    "images": [
        {"id": 7, "file_name": "b.jpg", "width": 64, "height": 48},
        {"id": 9, "file_name": "a.jpg"},
        {"id": 11, "file_name": "gone.jpg"},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 90, "bbox": [1, 2, 3, 4]},
        {"id": 2, "image_id": 7, "category_id": 4, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"id": 3, "image_id": 7, "category_id": 5, "bbox": [0, 0, 9, 9]},
        {"id": 4, "image_id": 7, "category_id": 4, "bbox": [0, 0, 9]},
    ],
    "categories": [{"id": 90, "name": "nut"}, {"id": 4, "name": "bolt"}],
}


def document(*bboxes: object, **annotation: object) -> dict[str, object]:
    """One picture of 64 × 48 px and one class."""
    items = [{"id": i, "image_id": 1, "category_id": 1, "bbox": box, **annotation} for i, box in enumerate(bboxes, 1)]
    images = [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}]
    return {"images": images, "annotations": items, "categories": [{"id": 1, "name": "bolt"}]}


def read(root: Path, **files: object) -> Labels:
    named: dict[str, str | bytes] = {f"{stem}.json": json.dumps(value) for stem, value in files.items()}
    return coco.read(source_of(root, {**named, "a.jpg": "", "b.jpg": ""}), ())


def test_ids_are_mapped(tmp_path: Path) -> None:
    source = source_of(tmp_path, {"x/instances.json": json.dumps(COCO), "x/a.jpg": "", "imgs/b.jpg": ""})
    labels = coco.read(source, ())
    boxes = labels.by_image["imgs/b.jpg"].boxes
    assert (labels.classes, labels.class_source) == (("bolt", "nut"), "x/instances.json")
    assert [(box.name, box.xyxy, box.ignore) for box in boxes[:2]] == [
        ("nut", (1, 2, 4, 6), False),
        ("bolt", (0, 0, 9, 9), True),
    ]
    assert [box.reason for box in boxes[2:]] == [
        "category 5 is not in the file (annotation 3)",
        "bbox is not four numbers (annotation 4)",
    ]
    assert labels.by_image["imgs/b.jpg"].wh == (64, 48)
    assert labels.by_image["x/a.jpg"].boxes == ()  # listed without annotations: background
    assert list(labels.unpaired) == ["x/instances.json#gone.jpg"]
    assert labels.listed_in == {"imgs/b.jpg": "x/instances.json", "x/a.jpg": "x/instances.json"}


def test_an_image_that_two_files_annotate(tmp_path: Path) -> None:
    alike = read(tmp_path / "alike", one=document([1, 2, 30, 40]), two=document([1, 2, 30, 40]))
    assert [box.xyxy for box in alike.by_image["a.jpg"].boxes] == [(1, 2, 31, 42)]
    assert [str(finding) for finding in alike.findings] == [
        "1 pictures that two files annotate alike, e.g. a.jpg in two.json"
    ]
    differing = read(tmp_path / "differing", one=document([1, 2, 30, 40]), two=document([1, 2, 30, 41]))
    assert differing.by_image["a.jpg"].reason == "annotated twice, once in two.json"


@pytest.mark.parametrize(
    "change",
    [
        {"images": []},  # annotations of no image
        {"categories": [{"name": "a"}]},
        {"annotations": 3},
        {"images": [{"id": [], "file_name": "a.jpg"}]},
        {"categories": [{"id": 90, "name": "nut"}, {"id": 90, "name": "bolt"}, {"id": 4, "name": "screw"}]},
    ],
)
def test_what_is_not_coco(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(SourceError):
        read(tmp_path, one={**COCO, **change})


@pytest.mark.parametrize(
    ("bbox", "xyxy"),
    [
        (["1", " 2.0", 30, "4e1"], (1, 2, 31, 42)),
        ([31, 42, -30, -40], (1, 2, 31, 42)),  # drawn from the other corner
        ([31, 2, -30, 40], (1, 2, 31, 42)),
    ],
)
def test_numbers_as_people_write_them(tmp_path: Path, bbox: object, xyxy: tuple[float, ...]) -> None:
    made = document(bbox, segmentation=None)
    made["images"] = [{"id": "1.0", "file_name": "a.jpg", "width": "64.0", "height": 48.0}]
    annotation = read(tmp_path, one=made).by_image["a.jpg"]
    assert (annotation.boxes[0].xyxy, annotation.wh) == (xyxy, (64, 48))


@pytest.mark.parametrize("bbox", [None, [], [1, 2, "x", 4], [1, 2, 3, True], {"x": 1}, [float("nan"), 1, 2, 3]])
def test_what_is_no_bbox_refuses_its_box(tmp_path: Path, bbox: object) -> None:
    good, bad = read(tmp_path, one=document([1, 2, 30, 40], bbox)).by_image["a.jpg"].boxes
    assert (good.reason, bad.reason) == ("", "bbox is not four numbers (annotation 2)")


def test_a_polygon_without_a_bbox(tmp_path: Path) -> None:
    made = document(None, segmentation=[[2, 3, 20, 3, 20, 30], [22, 5, 25, 5, 25, 9]])
    labels = read(tmp_path, one=made)
    assert labels.by_image["a.jpg"].boxes[0].xyxy == (2, 3, 25, 30)
    assert "without a bbox" in labels.findings[0].what


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ([[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.2, 0.2]], "boxes look normalized"),
        ([[10, 5, 40, 20], [30, 20, 60, 40], [2, 2, 20, 9]], r"boxes look like x1 y1 x2 y2"),
        ([[30, 20, 60, 40], [50, 40, 28, 16], [8, 8, 16, 16], [60, 24, 8, 40]], r"boxes look like x y w h .*center"),
    ],
)
def test_boxes_of_another_frame_are_noticed(tmp_path: Path, boxes: list[object], sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence) as caught:
        read(tmp_path, one=document(*boxes))
    assert caught.value.next_step


def test_one_normalized_box_among_others_is_refused(tmp_path: Path) -> None:
    boxes = read(tmp_path, one=document([1, 2, 30, 40], [9, 9, 9, 9], [0.1, 0.2, 0.3, 0.4])).by_image["a.jpg"].boxes
    assert [box.reason for box in boxes] == ["", "", "the box looks normalized (annotation 3)"]


def test_of_files_of_the_same_pictures_the_boxes_are_taken(tmp_path: Path) -> None:
    keypoints = document([1, 2, 30, 40], keypoints=[1, 1, 2])
    captions = {**document(), "annotations": [{"id": 1, "image_id": 1, "caption": "a bolt"}]}
    labels = read(tmp_path, instances=document([1, 2, 30, 40]), kp=keypoints, captions=captions)
    assert [box.xyxy for box in labels.by_image["a.jpg"].boxes] == [(1, 2, 31, 42)]
    assert {finding.what for finding in labels.findings} == {
        "COCO files with keypoints, left out",
        "COCO files with captions, left out",
    }
    alone = read(tmp_path / "alone", kp=keypoints)
    assert [box.xyxy for box in alone.by_image["a.jpg"].boxes] == [(1, 2, 31, 42)]
    with pytest.raises(SourceError, match="without boxes"):
        read(tmp_path / "captions", captions=captions)


def test_a_category_that_names_a_group_is_no_class(tmp_path: Path) -> None:
    made = document([1, 2, 30, 40])
    made["categories"] = [
        {"id": 0, "name": "parts", "supercategory": "none"},
        {"id": 1, "name": "bolt", "supercategory": "parts"},
    ]
    labels = read(tmp_path, one=made)
    assert (labels.classes, labels.findings[0].example) == (("bolt",), "parts in one.json")


def test_the_layout_is_seen_in_the_first_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of gigabytes is read whole once, by the reader."""
    made = document(*([[1, 2, 30, 40]] * 2000))
    source = source_of(tmp_path, {"x.json": json.dumps(made), "a.jpg": ""})
    asked: list[int] = []
    head = Source.head

    def counted(self: Source, name: str, *, max_bytes: int) -> bytes:
        asked.append(max_bytes)
        return head(self, name, max_bytes=max_bytes)

    monkeypatch.setattr(Source, "head", counted)
    assert coco.detect(source)
    assert set(asked) == {HEAD_BYTES}
