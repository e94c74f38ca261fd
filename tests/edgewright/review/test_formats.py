"""Files as labeling tools write them: turned boxes, times, archives, boxes without a class."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.artifacts import Store
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Label, Row
from edgewright.errors import InputError
from edgewright.review.formats import REVIEW_FORMATS, read_review
from edgewright.review.formats.annotated import key_of
from edgewright.review.round_trip import import_review

NAME = f"00001_{key_of('scene-001')}__x.png"
SIDES = 'xtl="10" ytl="40" xbr="30" ybr="60"'


def cvat(box: str) -> str:
    return f'<annotations><image name="{NAME}"><box label="disk" {box}/></image></annotations>'


def label_studio(*, updated_at: str = "2026-05-04T10:00:00.5Z", kind: str = "rectanglelabels", **value: object) -> str:
    corners = {"x": 10, "y": 40, "width": 20, "height": 20, "rectanglelabels": ["disk"]}
    result = {"type": kind, "value": {**corners, **value}, "original_width": 64, "original_height": 64}
    answer = {"completed_by": 7, "updated_at": updated_at, "result": [result]}
    return json.dumps([{"data": {"image": NAME}, "annotations": [answer]}])


COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": NAME}],
        "categories": [{"id": 1, "name": "disk"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [10, 40, 20, 20]}],
    }
)
DOCUMENTS = {"label-studio": label_studio(), "coco": COCO, "cvat": cvat(SIDES)}


@pytest.fixture(scope="module")
def dataset(publish: Callable[..., Dataset], scene: Callable[..., tuple[Row, bytes]]) -> Dataset:
    return publish([scene(1, split="train")])


@pytest.fixture
def take(store: Store, dataset: Dataset) -> Callable[..., Label]:
    """`take(file, …) -> the first label of the picture`."""

    def take_label(path: Path, **options: Any) -> Label:
        with store.workspace() as work:
            writer = DatasetWriter(work, classes=dataset.classes)
            import_review(dataset, path, writer=writer, person="ann", **options)
            return writer.finish()[0].labels[0]

    return take_label


@pytest.mark.parametrize(
    ("corners", "rotation", "around"),
    [
        ((10, 40, 90, 60), "90", (40, 10, 60, 90)),
        ((10, 40, 90, 60), "180", (10, 40, 90, 60)),
        ((10, 40, 90, 60), "270", (40, 10, 60, 90)),
        ((40, 40, 60, 60), "45", (50 - 200**0.5, 50 - 200**0.5, 50 + 200**0.5, 50 + 200**0.5)),
        ((10, 40, 90, 60), "0.0", (10, 40, 90, 60)),
    ],
)
def test_a_box_that_cvat_turned_about_its_center_is_the_box_around_it(
    tmp_path: Path, corners: tuple[float, ...], rotation: str, around: tuple[float, ...]
) -> None:
    sides = " ".join(f'{name}="{value}"' for name, value in zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True))
    (tmp_path / "a.xml").write_text(cvat(f'rotation="{rotation}" {sides}'))
    assert read_review(tmp_path / "a.xml").images[0].boxes[0].xyxy == pytest.approx(around)


@pytest.mark.parametrize("kind", REVIEW_FORMATS)
def test_when_is_what_is_told_else_what_the_file_says_else_when_it_was_written(
    tmp_path: Path, take: Callable[..., Label], kind: str
) -> None:
    path = tmp_path / "answers"
    path.write_text(DOCUMENTS[kind])
    os.utime(path, (0, 1_777_777_777))
    said = "2026-05-04T10:00:00.500000+00:00" if kind == "label-studio" else "2026-05-03T03:09:37+00:00"
    assert take(path).reviewed_at == said
    assert take(path, when="2025-01-02T03:04:05+02:00").reviewed_at == "2025-01-02T01:04:05+00:00"
    with pytest.raises(InputError, match="not a time"):
        take(path, when="yesterday")


@pytest.mark.parametrize(
    "change",
    [{"rectanglelabels": []}, {"rectanglelabels": None}, {"rectanglelabels": ["disk", "bar"]}, {"kind": "rectangle"}],
)
def test_a_box_without_a_class_is_refused_with_its_picture(
    tmp_path: Path, take: Callable[..., Label], change: dict[str, Any]
) -> None:
    path = tmp_path / "answers.json"
    path.write_text(label_studio(**{"rectanglelabels": None, **change}))
    with pytest.raises(InputError, match=rf"without a class.*{NAME}"):
        take(path)


def zipped(path: Path, **files: bytes | str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, payload in files.items():
            archive.writestr(name, payload)
    return path


@pytest.mark.parametrize("kind", REVIEW_FORMATS)
def test_an_export_may_be_zipped_with_its_pictures(tmp_path: Path, take: Callable[..., Label], kind: str) -> None:
    inner = "annotations.xml" if kind == "cvat" else "annotations/instances_default.json"
    others = {"images/a.png": b"png", "__MACOSX/._x.json": b"", "annotations/": b""}
    label = take(zipped(tmp_path / "export.zip", **{inner: DOCUMENTS[kind], **others}))
    assert (label.person.removeprefix("label-studio:") in ("ann", "7"), label.source) == (True, "reviewed")
    assert label.reviewed_at


def test_archives_that_hold_anything_else_are_refused(
    tmp_path: Path, take: Callable[..., Label], monkeypatch: pytest.MonkeyPatch
) -> None:
    two = zipped(tmp_path / "two.zip", **{"a.json": b"{}", "b/c.xml": b"<a/>"})
    with pytest.raises(InputError, match=r"not one review file.*2: 'a.json', 'b/c.xml'"):
        take(two)
    with pytest.raises(InputError, match=r"not one review file.*none"):
        take(zipped(tmp_path / "none.zip", **{"a.png": b"", "../x.json": b"{}"}))
    broken = tmp_path / "broken.zip"
    broken.write_bytes(two.read_bytes()[:40])
    with pytest.raises(InputError, match="not an archive"):
        take(broken)
    bomb = zipped(tmp_path / "bomb.zip", **{"a.json": b" " * 100_000})
    monkeypatch.setattr("edgewright.review.formats.document.MAX_REVIEW_BYTES", 10_000)
    with pytest.raises(InputError, match="too large"):
        take(bomb)
    assert not (tmp_path.parent / "x.json").exists()
