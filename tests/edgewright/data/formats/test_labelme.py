"""LabelMe's shapes as boxes; what has none is refused, what is left out is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.data.formats import Labels, labelme
from tests.sources import source_of


def read(root: Path, *shapes: object, **more: object) -> Labels:
    document = {"version": "5.4.1", "imagePath": "a.jpg", "imageWidth": 64, "imageHeight": 48, "shapes": shapes, **more}
    return labelme.read(source_of(root, {"a.jpg": "", "a.json": json.dumps(document)}), ())


def shape(kind: str, *points: tuple[object, object], **more: object) -> dict[str, object]:
    return {"label": "bolt", "shape_type": kind, "points": points, **more}


@pytest.mark.parametrize(
    ("kind", "points", "expected"),
    [
        ("rectangle", [(30, 2), (1, 40)], (1, 2, 30, 40)),  # from any corner
        ("polygon", [(1, 2), (30, 2), (15, 40)], (1, 2, 30, 40)),
        ("circle", [(20, 20), (23, 24)], (15, 15, 25, 25)),
        ("rotation", [(10, 0), (20, 10), (10, 20), (0, 10)], (0, 0, 20, 20)),
        ("mask", [(1, 2), (30, 40)], (1, 2, 30, 40)),
        ("point", [(1, 2)], "a point has no box"),
        ("line", [(1, 2), (3, 4)], "a line has no box"),
        ("rectangle", [(1, 2)], "a rectangle needs 2 points of two numbers"),
        ("polygon", [(1, 2), (3, "x"), (4, 5)], "a polygon needs 3 points of two numbers"),
    ],
)
def test_shapes(tmp_path: Path, kind: str, points: list[tuple[object, object]], expected: object) -> None:
    labels = read(tmp_path, shape(kind, *points))
    [box] = labels.by_image["a.jpg"].boxes
    assert (box.reason.partition(" (")[0] or box.xyxy) == expected
    assert bool(labels.findings) == (kind in ("circle", "rotation", "mask"))
    assert len(box.polygons) == (kind == "polygon" and not box.reason)


def test_a_file_says_its_size_and_its_class(tmp_path: Path) -> None:
    labels = read(tmp_path, shape("rectangle", (1, 2), (30, 40), difficult=True), "no shape", imageData="QUJD" * 9999)
    annotation = labels.by_image["a.jpg"]
    assert (labels.classes, annotation.wh) == (("bolt",), (64, 48))
    assert [(box.ignore, box.reason) for box in annotation.boxes] == [
        (True, ""),
        (False, "not a shape (a.json shape 1)"),
    ]


def test_polygons_of_one_group_are_one_object(tmp_path: Path) -> None:
    parts = [shape("polygon", (x, 0), (x + 5, 0), (x, 5), group_id=3) for x in (0, 10)]
    labels = read(tmp_path, *parts, shape("rectangle", (0, 0), (9, 9), group_id=3))
    assert [(box.xyxy, len(box.polygons)) for box in labels.by_image["a.jpg"].boxes] == [
        ((0, 0, 9, 9), 0),
        ((0, 0, 15, 5), 2),
    ]
    assert [finding.what for finding in labels.findings] == ["objects made of several polygons of one group"]


@pytest.mark.parametrize("text", ['{"shapes": 3}', '{"shapes": [', '{"shapes": []', "\x00"])
def test_a_file_that_is_broken_refuses_its_picture(tmp_path: Path, text: str) -> None:
    files = {"a.jpg": "", "a.json": '{"shapes": []}', "b.jpg": "", "b.json": text}
    labels = labelme.read(source_of(tmp_path, files), ())
    assert labels.by_image["a.jpg"].reason == ""
    assert text == "\x00" or labels.by_image["b.jpg"].reason.startswith("b.json: not ")
