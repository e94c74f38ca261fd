"""Labels that are not read are named, with what converts them; they never pass for unlabeled pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.data.formats import detect_layout
from edgewright.data.formats.foreign import foreign_beside, foreign_format
from edgewright.data.reading import read_source
from edgewright.data.survey import Nowhere
from edgewright.errors import SourceError
from edgewright.recipe.data import IngestConfig
from tests.sources import source_of

VIA = '{"a.jpg1": {"filename": "a.jpg", "regions": [{"shape_attributes": {"name": "rect"}}]}}'
LABEL_STUDIO = '[{"id": 1, "annotations": [{"result": [{"from_name": "label"}]}], "data": {"image": "a.jpg"}}]'


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("a.txt", "Car 0.00 0 -1.57 1.00 2.00 30.00 40.00 1 1 1 1 1 1 0\n", "KITTI"),
        ("a.txt", "imagesource:GoogleEarth\ngsd:0.1\n1 1 9 1 9 9 1 9 small-vehicle 0\n", "DOTA"),
        ("a.txt", "bolt 10 20 30 40\n", "boxes as text"),
        ("train.txt", "images/a.jpg 10,20,30,40,0 1,2,3,4,1\n", "YOLOv3/v4"),
        ("gt/gt.txt", "1,1,10,20,30,40,1,-1,-1,-1\n", "MOT"),
        ("wider_face_train_bbx_gt.txt", "0--Parade/a.jpg\n1\n449 330 122 149 0 0 0 0 0 0\n", "WIDER FACE"),
        ("x.xml", "<?xml version='1.0'?><annotations><version>1.1</version></annotations>", "CVAT XML"),
        ("x.csv", "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n", "Open Images CSV"),
        ("x.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "TensorFlow CSV"),
        ("x.csv", "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes\n", "VIA CSV"),
        ("x.csv", "images/a.jpg,1,2,30,40,bolt\n", "RetinaNet CSV"),
        ("x.csv", "image_id,width,height,bbox,source\n", "CSV with boxes"),
        ("x.json", VIA, "VIA JSON"),
        ("ann/a.jpg.json", '{"description": "", "size": {"height": 1}, "objects": []}', "Supervisely"),
        ("x.json", '{"info": {}, "categories": {}, "items": []}', "Datumaro"),
        ("a_polygons.json", '{"imgHeight": 1, "imgWidth": 1, "objects": []}', "Cityscapes"),
        ("x.json", '[{"name": "a.jpg", "labels": [{"box2d": {"x1": 1}}]}]', "BDD100K"),
        ("x.json", '{"asset": {"name": "a.jpg"}, "regions": []}', "VoTT"),
        ("x.json", LABEL_STUDIO, "Label Studio"),
        ("x.ndjson", '{"data_row": {}, "projects": {}}', "Labelbox"),
        ("x.manifest", '{"source-ref": "s3://a.jpg", "x": {"annotations": []}}', "SageMaker"),
        ("x.ndjson", '{"type": "dataset", "task": "detect"}', "Ultralytics NDJSON"),
        ("x.tfrecord", "\x00", "TFRecord"),
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path: Path, file: str, text: str, name: str) -> None:
    with pytest.raises(SourceError, match=f"labels in a format that is not read: .*{name}") as caught:
        detect_layout(source_of(tmp_path, {"a.jpg": "", file: text}))
    assert str(caught.value.next_step).endswith("--set ingest.layout=unlabeled")


@pytest.mark.parametrize("file", ["a.txt", "a.xml", "a.jpg.json"])
def test_files_named_as_the_pictures_are_not_passed_over(tmp_path: Path, file: str) -> None:
    with pytest.raises(SourceError, match="files named as the pictures hold no labels"):
        detect_layout(source_of(tmp_path, {"a.jpg": "", "b.jpg": "", file: "0:0.5:0.5:0.2:0.4"}))


def test_a_long_line_is_looked_at_in_no_time() -> None:
    started = time.perf_counter()
    for text in ("bolt " + "1" * 5000, "bolt" + " 1" * 5000, "1," * 5000, "a." * 5000, "1.1.1 " * 2000 + "x"):
        assert foreign_format(".txt", text.encode()) is None
    assert time.perf_counter() - started < 2


def test_other_files_are_no_labels(tmp_path: Path) -> None:
    others = {"README.txt": "Car parks, 16 photographs", "scores.csv": "id,hard\na.jpg,0.5\n", "x.json": '{"a": 1}'}
    assert detect_layout(source_of(tmp_path, {"a.jpg": "", **others})) == "unlabeled"


def test_beside_labels_that_are_read_they_are_told_of(tmp_path: Path) -> None:
    """Once a format, with one example; a label file that was read is not asked again."""
    kitti = "Car 0.00 0 -1.57 1.00 2.00 30.00 40.00 1 1 1 1 1 1 0\n"
    source = source_of(tmp_path, {"a.jpg": "", "a.txt": "0 .5 .5 .2 .2", "old/a.txt": kitti, "old/b.txt": kitti})
    assert detect_layout(source) == "yolo"
    (told,) = foreign_beside(source, {"a.txt"})
    assert "not read, left out: KITTI" in told.what
    assert (told.count, told.example, told.next_step) == (2, "old/a.txt", "convert with Datumaro to COCO")
    assert foreign_beside(source, {"a.txt", "old/a.txt", "old/b.txt"}) == ()


def test_reading_a_source_tells_of_them(tmp_path: Path, picture: Callable[..., bytes]) -> None:
    names = {f"{number}.jpg": picture(number, kind="JPEG") for number in range(8)}
    labels = {f"{number}.txt": "0 .5 .5 .2 .2" for number in range(8)}
    source_of(tmp_path / "set", names | labels | {"data.yaml": "names: [bolt]", "via.json": VIA})
    with read_source(tmp_path / "set", IngestConfig(), scratch=tmp_path, sink=lambda _: Nowhere()) as reading:
        division = reading.divided(IngestConfig(), seed=0)
    told = reading.report(reading.survey.rows, division).findings
    assert [one.example for one in told if "VIA JSON" in one.what] == ["via.json"]
