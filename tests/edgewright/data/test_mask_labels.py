"""Masks in label files: read onto the upright picture, refused one by one, and written without loss."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image as PillowImage

from edgewright.artifacts import LocalStore
from edgewright.data.checks import MAX_VERTICES, CheckedBoxes, CheckedPicture, check_boxes, check_picture
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.export import export_dataset
from edgewright.data.formats import layout_named
from edgewright.data.formats.annotation import Annotation, RawBox, RunLengths
from edgewright.data.rle import decode_mask, encode_coco, encode_mask
from edgewright.data.rows import Label, Row
from edgewright.data.sources import Source
from tests.scenes import publish_dataset

WH = (64, 48)
BAR = (20, 5, 50, 15)
POLYGON = (20.0, 5.0, 50.0, 5.0, 50.0, 15.0, 30.0, 15.0)


def bar_mask() -> np.ndarray:
    mask = np.zeros(WH[::-1], bool)
    mask[5:15, 20:50] = True
    mask[5:9, 20:24] = False
    return mask


def check(box: RawBox, *, exif: int = 1, relative: bool = False) -> tuple[CheckedBoxes, CheckedPicture]:
    tags = PillowImage.Exif()
    tags[0x0112] = exif
    buffer = io.BytesIO()
    PillowImage.fromarray(np.repeat(bar_mask()[..., None], 3, axis=2).astype(np.uint8) * 255).save(
        buffer, "PNG", exif=tags
    )
    picture = check_picture(buffer.getvalue(), max_pixels=1_000_000)
    return check_boxes(Annotation((box,), wh=WH, relative=relative), picture, classes=("bar",)), picture


@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["polygons", "runs"])
def test_pictures_and_masks_are_turned_alike(orientation: int, kind: str) -> None:
    """The mask covers the white pixels, whatever the camera was held like."""
    outline = (24.0, 5.0, 50.0, 5.0, 50.0, 15.0, 20.0, 15.0, 20.0, 9.0, 24.0, 9.0)
    box = RawBox("bar", BAR, polygons=(outline,))
    if kind == "runs":
        box = RawBox("bar", BAR, runs=RunLengths(tuple(encode_coco(bar_mask())), WH[::-1]))
    checked, picture = check(box, exif=orientation)
    mask = decode_mask(checked.labels[0].mask, shape=picture.wh[::-1])
    white = np.asarray(PillowImage.open(io.BytesIO(picture.payload)).convert("L")) > 0
    assert (mask == white).all()


@pytest.mark.parametrize(
    "box",
    [
        RawBox("bar", BAR),  # none was given
        RawBox("bar", BAR, polygons=((20.0, 5.0, 50.0, 5.0, 50.0, 15.0, 20.0, 15.0),)),  # the box once more
        RawBox("bar", BAR, polygons=((20.0, 5.0, 50.0, 5.0),)),  # a line
        RawBox("bar", BAR, polygons=((20.0, 5.0, 20.1, 5.1, 20.0, 5.2),)),  # smaller than a pixel
        RawBox("bar", BAR, runs=RunLengths((48 * 64,), (48, 64))),  # an empty mask
    ],
)
def test_what_is_no_mask_leaves_the_box(box: RawBox) -> None:
    checked, _ = check(box)
    assert [label.mask for label in checked.labels] == [""]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (RawBox("bar", BAR, runs=RunLengths((48 * 64,), (64, 48))), "a mask of another size"),
        (RawBox("bar", BAR, runs=RunLengths((5, 5), (48, 64))), "a mask of another size"),
        (RawBox("bar", BAR, runs=RunLengths((-5, 48 * 64 + 5), (48, 64))), "a mask of another size"),
        (RawBox("bar", BAR, runs=RunLengths("~~~", (48, 64))), "compressed run lengths"),
        (RawBox("bar", BAR, polygons=((*POLYGON[:-1], float("nan")),)), "not a finite number"),
        (RawBox("bar", BAR, polygons=((0.0, 1.0) * (MAX_VERTICES + 1),)), "too many corners"),
    ],
)
def test_a_bad_mask_refuses_its_box_alone(box: RawBox, reason: str) -> None:
    checked, _ = check(box)
    assert checked.labels == ()
    assert [index for index, said in checked.refused if reason in said] == [0]


def source(root: Path, files: dict[str, str | bytes]) -> Source:
    for name, content in files.items():
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return Source(str(root), {name: root / name for name in sorted(files)})


def read_coco(root: Path, **annotation: object) -> RawBox:
    item = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 5, 30, 10], "iscrowd": 0, **annotation}
    document = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "bar"}],
        "annotations": [item],
    }
    labels = layout_named("coco").read(source(root, {"a.png": b"", "x.json": json.dumps(document)}), ())
    return labels.by_image["a.png"].boxes[0]


@pytest.mark.parametrize(
    ("shape", "polygons", "runs"),
    [
        ([list(POLYGON)], (POLYGON,), None),
        ([list(POLYGON), list(POLYGON)], (POLYGON, POLYGON), None),  # parts
        (list(POLYGON), (POLYGON,), None),  # not wrapped, as some tools write it
        ([], (), None),
        (None, (), None),
        ({"counts": "abc", "size": [48, 64]}, (), RunLengths("abc", (48, 64))),
        ({"counts": [3, 4], "size": [48, 64]}, (), RunLengths((3, 4), (48, 64))),
    ],
)
def test_coco_segmentations(tmp_path: Path, shape: object, polygons: object, runs: object) -> None:
    box = read_coco(tmp_path, segmentation=shape)
    assert (box.polygons, box.runs, box.reason) == (polygons, runs, "")


@pytest.mark.parametrize("shape", [[[1, 2, 3]], [["a", "b"]], {"counts": 5}, {"size": [1, 2]}, [{"a": 1}]])
def test_what_is_no_coco_segmentation_refuses_its_box(tmp_path: Path, shape: object) -> None:
    assert "neither polygons nor run lengths" in read_coco(tmp_path, segmentation=shape).reason


def test_a_coco_crowd_is_an_ignore_region_with_its_pixels(tmp_path: Path) -> None:
    box = read_coco(tmp_path, segmentation={"counts": [3, 4], "size": [48, 64]}, iscrowd=1)
    assert box.ignore
    assert box.runs is not None


def test_a_yolo_polygon_is_a_mask_with_the_box_around_it(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"a.png": b"", "a.txt": "0 0.25 0.25 0.75 0.25 0.5 0.75\n", "classes.txt": "bar"}
    (box,) = layout_named("yolo").read(source(tmp_path, files), ()).by_image["a.png"].boxes
    assert box.xyxy == (0.25, 0.25, 0.75, 0.75)
    checked, _ = check(box, relative=True)
    assert decode_mask(checked.labels[0].mask, shape=WH[::-1]).sum() == pytest.approx(32 * 24 / 2, abs=20)


# One pixel in the corner would look like shares of the picture, and two objects in one box like one that stands twice.
masks = npst.arrays(bool, (24, 32)).filter(lambda mask: bool(mask[2:, 2:].any()))
labels = st.lists(st.tuples(masks, st.integers(0, 1)), min_size=1, max_size=3, unique_by=lambda one: _box(one[0]))


@given(labels, st.sampled_from(["coco", "yolo"]))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_exported_masks_come_back_pixel_by_pixel(
    tmp_path_factory: pytest.TempPathFactory,
    take: Callable[..., tuple[object, Dataset]],
    drawn: list[tuple[np.ndarray, int]],
    layout: str,
) -> None:
    root = tmp_path_factory.mktemp("masks")
    made = tuple(Label(i, class_id, _box(mask), mask=encode_mask(mask)) for i, (mask, class_id) in enumerate(drawn))
    row = Row(id="a.png", sha256="", width=32, height=24, labels=made, state="human")
    black = encode_png(np.zeros((24, 32, 3), np.uint8))
    dataset = publish_dataset(LocalStore(root / "store"), [(row, black)], classes=("bar", "nut"))
    export_dataset(dataset, root / "out", layout=layout)
    _, again = take(root / "out")
    (back,) = again.usable
    for one, other in zip(back.labels, made, strict=True):
        assert one.class_id == other.class_id
        assert one.xyxy == pytest.approx(other.xyxy, abs=1e-3)
        plain_box = layout == "yolo" and _fills_its_box(decode_mask(other.mask, shape=(24, 32)))
        assert one.mask == ("" if plain_box else other.mask)  # a polygon that is a box is no mask


def _box(mask: np.ndarray) -> tuple[float, float, float, float]:
    y, x = np.nonzero(mask)
    return (float(x.min()), float(y.min()), float(x.max() + 1), float(y.max() + 1))


def _fills_its_box(mask: np.ndarray) -> bool:
    x1, y1, x2, y2 = map(int, _box(mask))
    return bool(mask[y1:y2, x1:x2].all())


def test_a_yolo_file_holds_polygons_or_boxes_never_both(
    tmp_path: Path, take: Callable[..., tuple[object, Dataset]]
) -> None:
    outlined = Label(0, 0, (20.0, 5.0, 50.0, 15.0), mask=encode_mask(bar_mask()))
    labels = (outlined, Label(1, 0, (0, 0, 9, 9)))
    row = Row(id="a.png", sha256="", width=64, height=48, labels=labels, state="human")
    black = encode_png(np.zeros((48, 64, 3), np.uint8))
    dataset = publish_dataset(LocalStore(tmp_path / "own"), [(row, black)], classes=("bar",))
    export_dataset(dataset, tmp_path / "out", layout="yolo")
    lines = (tmp_path / "out" / "labels" / "train" / "a.txt").read_text().splitlines()
    assert [len(line.split()) for line in lines] == [5, 5]
