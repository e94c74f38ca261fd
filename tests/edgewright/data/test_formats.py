"""Labels find their images by name; what cannot be read is said, not guessed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.data.formats import detect_layout, layout_named, voc, yolo
from edgewright.data.formats.annotation import class_list, pair_key, read_yaml, read_yaml_as_written
from edgewright.data.formats.pairing import pair_by_name
from edgewright.data.sources import Unusable
from edgewright.errors import InputError, SourceError
from tests.sources import source_of

BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{i} "{f"&lol{i - 1 or str()};" * 10}">' for i in range(1, 10))
    + "]><annotation><object><name>&lol9;</name></object></annotation>"
)
ALIAS_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("JPEGImages/x.jpg", "Annotations/x.xml"),  # Pascal VOC
        ("images/train/x.jpg", "labels/train/x.txt"),  # ultralytics
        ("train/images/x.jpg", "train/labels/x.txt"),  # Roboflow
        ("a/x.jpg", "a/x.txt"),  # beside it
        ("x.tar.png", "x.tar.txt"),  # only the last suffix goes
    ],
)
def test_pairs(image: str, label: str) -> None:
    assert pair_key(image) == pair_key(label)
    assert pair_by_name([image], [label]).label_of == {image: label}


def test_pairs_that_are_not_one_to_one() -> None:
    pairs = pair_by_name(["a/x.jpg", "b/x.jpg", "c.jpg", "c.png", "d.jpg"], ["b/x.txt", "c.txt", "e.txt"])
    assert pairs.label_of == {"b/x.jpg": "b/x.txt"}  # not a/x.jpg: another folder
    assert set(pairs.refused) == {"c.jpg", "c.png"}
    assert pairs.unpaired == {"e.txt": "a label file without an image"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])  # a scan for the bytes `<!DOCTYPE` would miss the second
def test_entities_are_never_expanded(encoding: str) -> None:
    started = time.perf_counter()
    with pytest.raises(Unusable, match="DOCTYPE"):
        voc.parse(BILLION_LAUGHS.encode(encoding))
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "payload", [b"", b"<annotation>", b"<html/>", b"\x00\x01", b'<?xml version="1.0" encoding="x"?><a/>']
)
def test_what_is_not_a_voc_annotation(payload: bytes) -> None:
    with pytest.raises(Unusable):
        voc.parse(payload)


def test_voc_corners_sizes_and_difficult_objects() -> None:
    annotation = voc.parse(
        b"<annotation><size><width>64</width><height>0</height></size>"
        b"<object><name> a </name><difficult>1</difficult><bndbox><xmin>1.5</xmin><ymin>2</ymin><xmax>3</xmax>"
        b"<ymax>4</ymax></bndbox></object><object><name>b</name><bndbox><xmin>x</xmin></bndbox></object></annotation>"
    )
    first, second = annotation.boxes
    assert (annotation.wh, first.name, first.xyxy, first.ignore) == (None, "a", (1.5, 2, 3, 4), True)
    assert second.reason == "a corner is missing or not a number"


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"data.yaml": "names: [a, b]"}, ("a", "b")),
        ({"data.yaml": "names: {1: b, 0: a}"}, ("a", "b")),
        ({"classes.txt": "a\nb\n"}, ("a", "b")),
        ({"x/obj.names": "a\r\nb\r\n"}, ("a", "b")),
        ({"data.yaml": "names: [a, b]", "classes.txt": "a\nb\nc\n"}, ("a", "b", "c")),  # one goes on
        ({"data.yaml": "names: [on, off, yes, no, 007, ~]"}, ("on", "off", "yes", "no", "007", "~")),  # as written
    ],
)
def test_yolo_class_names(tmp_path: Path, files: dict[str, str], names: tuple[str, ...]) -> None:
    assert yolo.read(source_of(tmp_path, {**files, "i.jpg": "", "i.txt": ""}), ()).classes == names


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "without class names"),
        ({"data.yaml": ALIAS_BOMB}, "aliases"),
        ({"data.yaml": "names: !!python/object/apply:os.system [true]"}, "not YAML"),
        ({"data.yaml": "[" * 200_000}, "nested too deeply"),
        ({"data.yaml": "names: 3"}, "not a class list"),
        ({"data.yaml": "names: {0: a, 2: b}"}, "not a class list"),  # a gap
        ({"data.yaml": "nc: 3\nnames: [a, b]"}, "`nc` and `names` differ"),
        ({"data.yaml": "names: [a, b]", "classes.txt": "c"}, r"data.yaml: \[a, b\]|classes.txt: \[c\]"),
        ({"classes.txt": "a\n\nb\n"}, "a blank line between names"),
        ({"classes.txt": b"caf\xe9\n"}, "not a class list"),  # Latin-1: the name would be another one
        ({"data.yaml": "names: [a]\nkpt_shape: [4]"}, "not a shape"),
        ({"data.yaml": "names: [a, a]"}, "not a class list"),
        ({"data.yaml": "x: " + "y" * 300_000}, "too large"),
    ],
)
def test_class_names_that_are_refused(tmp_path: Path, files: dict[str, str | bytes], sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence) as caught:
        yolo.read(source_of(tmp_path, {**files, "i.jpg": "", "i.txt": ""}), ())
    assert caught.value.exit_code == 2


def test_yaml_is_read_and_class_lists_are_checked() -> None:
    assert read_yaml(b"{a: 1}", where="x") == {"a": 1}
    assert read_yaml_as_written(b"{a: 1, b: [no, 'x']}", where="x") == {"a": "1", "b": ["no", "x"]}
    assert class_list(["a"], ("b", "c"), where="x") == ("b", "c")
    with pytest.raises(SourceError):
        class_list(["a\nb"], (), where="x")


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        ({"a.jpg": "", "a.xml": "<annotation/>"}, "voc"),
        ({"a.jpg": "", "a.txt": "0 0.1 0.1 0.1 0.1"}, "yolo"),
        ({"a.jpg": "", "a.txt": ""}, "yolo"),  # a background picture
        ({"a.jpg": "", "x.json": '{"images": [], "annotations": [], "categories": []}'}, "coco"),
        ({"a.jpg": "", "README.txt": "0 photographs, all of them good", "x.json": "{}"}, "unlabeled"),
        ({"a.jpg": "", "a.xml": "<annotation/>", "README.txt": "", "train.txt": "a\n"}, "voc"),
        ({"a.jpg": "", "a.xml": "<annotation/>".encode("utf-16")}, "voc"),
        ({"a.jpg": "", "a.txt": "\r\n\r\n0 0.1 0.1 0.1 0.1".encode("utf-16")}, "yolo"),
        ({"a.jpg": "", "a.txt": "bolt 0.1 0.1 0.1 0.1"}, "yolo"),
        ({"a.jpg": "", "a.json": '{"version": "5", "flags": {}, "shapes": []}'}, "labelme"),
        ({"a.jpg": "", "x.json": '[{"image": "a.jpg", "annotations": []}]'}, "createml"),
    ],
)
def test_layouts_are_recognized(tmp_path: Path, files: dict[str, str | bytes], layout: str) -> None:
    assert detect_layout(source_of(tmp_path, files)) == layout


def test_two_layouts_are_not_guessed_between(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="more than one layout"):
        detect_layout(source_of(tmp_path, {"a.jpg": "", "a.xml": "<annotation/>", "a.txt": "0 1 1 1 1"}))
    with pytest.raises(InputError, match="unknown layout"):
        layout_named("darknet")


def test_voc_masks_are_no_photographs(tmp_path: Path, voc_xml: Callable[..., str]) -> None:
    files = {"JPEGImages/a.jpg": "", "SegmentationClass/a.png": "", "Annotations/a.xml": voc_xml([("b", (1, 1, 2, 2))])}
    labels = layout_named("voc").read(source_of(tmp_path, files), ())
    assert labels.not_photographs == {"SegmentationClass/a.png"}
    assert list(labels.by_image) == ["JPEGImages/a.jpg"]
