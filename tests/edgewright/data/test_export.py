"""What is exported comes back the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewright.artifacts import LocalStore
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.export import export_dataset, name_files
from edgewright.data.ingest_report import IngestReport
from edgewright.data.rle import encode_mask
from edgewright.data.rows import Label, Row, Split
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.errors import InputError
from tests.goldens import Golden
from tests.scenes import publish_dataset

Take = Callable[..., tuple[IngestReport, Dataset]]
Exported = Callable[[str], tuple[Dataset, Path]]


def described(dataset: Dataset) -> list[tuple[str, str, list[tuple[str, tuple[float, ...]]]]]:
    """(digest, state, (class name, corners)…) of every image, in order of the digest."""
    return sorted(
        (row.sha256, row.state, [(dataset.classes[label.class_id], label.xyxy) for label in row.labels])
        for row in dataset.usable
    )


@pytest.mark.parametrize("layout", ["yolo", "coco", "voc"])
def test_an_export_read_again_is_the_dataset(voc_folder: Path, tmp_path: Path, take: Take, layout: str) -> None:
    (voc_folder / "Annotations" / "p05.xml").unlink()  # unlabeled
    (voc_folder / "Annotations" / "p06.xml").write_text("<annotation/>")  # background
    _, dataset = take(voc_folder)
    out = tmp_path / "out"
    assert export_dataset(dataset, out, layout=layout) == 14
    report, again = take(out)
    assert (report.layout, report.quarantined, again.classes) == (layout, (), dataset.classes)
    before, after = described(dataset), described(again)
    assert [item[:2] for item in after] == [item[:2] for item in before]
    for (_, _, old), (_, _, new) in zip(before, after, strict=True):
        assert [name for name, _ in new] == [name for name, _ in old]
        assert [xyxy for _, xyxy in new] == [pytest.approx(xyxy, abs=1e-3) for _, xyxy in old]


def test_unlabeled_pictures_by_split(voc_folder: Path, tmp_path: Path, take: Take) -> None:
    shutil.rmtree(voc_folder / "Annotations")
    report, dataset = take(voc_folder)
    assert (report.layout, report.unlabeled, dataset.classes) == ("unlabeled", 14, ())
    export_dataset(dataset, tmp_path / "out", layout="unlabeled")
    found = {path.parent.name: len(list(path.parent.iterdir())) for path in (tmp_path / "out").rglob("*.jpg")}
    assert found == {split: count.images for split, count in report.splits.items()}


@pytest.mark.parametrize("layout", ["yolo", "coco", "voc"])
def test_ignore_regions_survive_where_the_layout_has_them(
    voc_folder: Path, tmp_path: Path, take: Take, layout: str
) -> None:
    file = voc_folder / "Annotations" / "p01.xml"
    file.write_text(file.read_text().replace("<name>nut</name>", "<name>nut</name><difficult>1</difficult>"))
    _, dataset = take(voc_folder)
    export_dataset(dataset, tmp_path / "out", layout=layout)
    _, again = take(tmp_path / "out")
    ignored = sum(label.ignore for row in again.rows for label in row.labels)
    assert ignored == (0 if layout == "yolo" else 1)


@pytest.mark.parametrize(
    ("layout", "name"), [("yolo", "export_yolo.txt"), ("coco", "export_coco.txt"), ("voc", "export_voc.txt")]
)
def test_the_files_of_a_layout(tmp_path: Path, golden: Golden, layout: str, name: str) -> None:
    """Their names and texts; of a picture its name alone."""
    export_dataset(mixed_dataset(LocalStore(tmp_path / "store")), tmp_path / "out", layout=layout)
    files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    texts = [
        f"== {path.relative_to(tmp_path / 'out').as_posix()}\n" + ("" if path.suffix == ".png" else path.read_text())
        for path in files
    ]
    golden(name, "\n".join(texts))


def mixed_dataset(store: LocalStore) -> Dataset:
    """Two classes, three splits; a box with halves of px, an ignore region, a mask, background, nothing known."""
    mask = np.zeros((24, 32), np.bool_)
    mask[4:12, 6:20] = True
    mask[8:12, 14:20] = False
    bolt, nut = Label(0, 0, (2.5, 3.0, 10.0, 20.25)), Label(1, 1, (6.0, 4.0, 20.0, 12.0), mask=encode_mask(mask))
    rows = [
        Row("line/a.png", "", split="train", labels=(bolt, nut), state="human"),
        Row("line/b.png", "", split="val", labels=(replace(bolt, ignore=True),), state="human"),
        Row("c.png", "", split="test", state="background"),
        Row("d.png", "", split="train", state="unlabeled"),
    ]
    black = encode_png(np.zeros((24, 32, 3), np.uint8))
    pairs = [(replace(row, width=32, height=24), black) for row in rows]
    return publish_dataset(store, pairs, classes=("bolt", "nut & <washer>"))


@pytest.fixture
def clashing(tmp_path: Path, picture: Callable[..., bytes]) -> Dataset:
    """Ids whose file names would clash, in two encodings."""
    pairs = []
    for index, name in enumerate(["a/x.jpg", "a__x.jpg", "images/A__X.png"]):
        labels = (Label(0, 0, (1.2, 1.4, 1.3, 9.0)),)
        payload = picture(index, kind="PNG" if index == 2 else "JPEG")
        pairs.append((Row(id=name, sha256="", width=64, height=48, labels=labels, state="human"), payload))
    return publish_dataset(LocalStore(tmp_path / "store"), pairs, classes=("bolt",))


def test_file_names_never_clash(clashing: Dataset) -> None:
    assert [name for name, _ in name_files(clashing, clashing.rows)] == ["a__x.jpg", "a__x-2.jpg", "A__X-3.png"]


def test_rounding_leaves_no_zero_area_box(clashing: Dataset, tmp_path: Path, take: Take) -> None:
    export_dataset(clashing, tmp_path / "out", layout="voc")
    report, again = take(tmp_path / "out")
    assert report.quarantined == ()
    assert {row.labels[0].xyxy for row in again.rows} == {(1, 1, 2, 9)}


def test_exports_that_are_refused(clashing: Dataset, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        export_dataset(clashing, tmp_path / "out", layout="yolo")
    with pytest.raises(InputError, match="unknown layout"):
        export_dataset(clashing, tmp_path / "other", layout="darknet")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


Known = dict[str, list[tuple[str, tuple[float, ...]]]]


def known_of(dataset: Dataset, split: str) -> Known:
    """File stem => the objects of a split's labeled pictures."""
    return {
        Path(name).stem: sorted((dataset.classes[label.class_id], label.xyxy) for label in row.labels)
        for name, row in name_files(dataset, dataset.usable)
        if row.split == split
    }


def require_alike(found: Known, known: Known) -> None:
    assert found.keys() == known.keys()
    for stem, objects in known.items():
        assert [name for name, _ in sorted(found[stem])] == [name for name, _ in objects]
        assert [xyxy for _, xyxy in sorted(found[stem])] == [pytest.approx(xyxy, abs=1e-3) for _, xyxy in objects]


@pytest.fixture
def exported(voc_folder: Path, tmp_path: Path, take: Take, monkeypatch: pytest.MonkeyPatch) -> Exported:
    """In a folder that was moved after the export, seen from another one."""
    _, dataset = take(voc_folder)

    def export(layout: str) -> tuple[Dataset, Path]:
        export_dataset(dataset, tmp_path / "out", layout=layout)
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        return dataset, (tmp_path / "out").rename(tmp_path / "moved")

    return export


@pytest.mark.parametrize("split", list(Split))
def test_a_yolo_export_opens_in_ultralytics_from_any_folder(exported: Exported, split: str) -> None:
    """By the two that `yolo train data=…/data.yaml` calls: one resolves the paths, one reads pictures and labels."""
    dataset, out = exported("yolo")
    data = open_ultralytics("data.utils").check_det_dataset(str(out / "data.yaml"), autodownload=False)
    opened = open_ultralytics("data.dataset").YOLODataset(img_path=data[split], data=data, task="detect", augment=False)
    found = {}
    for label in opened.labels:
        height, width = label["shape"]
        corners = (
            label["bboxes"][:, [0, 1, 0, 1]] + label["bboxes"][:, [2, 3, 2, 3]] * [-0.5, -0.5, 0.5, 0.5]
        ).tolist()
        names = [data["names"][int(class_id)] for class_id in label["cls"][:, 0]]
        boxes = [(x1 * width, y1 * height, x2 * width, y2 * height) for x1, y1, x2, y2 in corners]
        found[Path(label["im_file"]).stem] = list(zip(names, boxes, strict=True))
    require_alike(found, known_of(dataset, split))


@pytest.mark.parametrize("split", list(Split))
def test_a_coco_export_opens_in_pycocotools_and_torchvision(exported: Exported, split: str) -> None:
    from torchvision.datasets import CocoDetection

    dataset, out = exported("coco")
    opened = CocoDetection(str(out), str(out / "annotations" / f"instances_{split}.json"))
    names = {item["id"]: item["name"] for item in opened.coco.dataset["categories"]}
    found = {}
    for index, image_id in enumerate(opened.ids):
        picture, items = opened[index]
        entry = opened.coco.loadImgs([image_id])[0]
        assert picture.size == (entry["width"], entry["height"])
        boxes = [(x, y, x + w, y + h) for x, y, w, h in (item["bbox"] for item in items)]
        found[Path(entry["file_name"]).stem] = list(
            zip((names[item["category_id"]] for item in items), boxes, strict=True)
        )
    require_alike(found, known_of(dataset, split))


@pytest.mark.parametrize("split", list(Split))
def test_a_voc_export_opens_in_torchvision(exported: Exported, split: str) -> None:
    """Which looks for the year's folder of the challenge below its root."""
    from torchvision.datasets import VOCDetection

    dataset, out = exported("voc")
    (out.parent / "root" / "VOCdevkit").mkdir(parents=True)
    (out.parent / "root" / "VOCdevkit" / "VOC2007").symlink_to(out)
    opened = VOCDetection(str(out.parent / "root"), year="2007", image_set=split)
    found = {}
    for picture, target in opened:
        described = target["annotation"]
        assert picture.size == tuple(int(described["size"][side]) for side in ("width", "height"))
        found[Path(described["filename"]).stem] = [
            (item["name"], tuple(float(item["bndbox"][corner]) for corner in ("xmin", "ymin", "xmax", "ymax")))
            for item in described["object"]
        ]
    require_alike(found, known_of(dataset, split))


def test_layouts_that_are_only_read_are_not_written(clashing: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"read, not written \(expected coco \| voc \| yolo"):
        export_dataset(clashing, tmp_path / "out", layout="labelme")
    assert not (tmp_path / "out").exists()
