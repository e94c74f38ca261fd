"""The division that a source brings: where it is said, what is no division, what is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edgewright.data.formats import Labels
from edgewright.data.rows import Split
from edgewright.data.source_splits import SourceSplits, read_splits, split_word
from edgewright.data.sources import Source


def source_of(tmp_path: Path, files: Mapping[str, str]) -> Source:
    """Names and texts; a picture needs none."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return Source("here", {name: tmp_path / name for name in sorted(files)})


def pictures(*folders: str, n: int = 2) -> dict[str, str]:
    return {f"{folder}/{folder[:2]}{number}.jpg".lstrip("/"): "" for folder in folders for number in range(n)}


def by_split(found: SourceSplits) -> dict[str, list[str]]:
    return {split: sorted(name for name, own in found.split_of.items() if own == split) for split in Split}


ANEW = "Next: `--set ingest.splits=new` divides all of them anew"
THREE = pictures("train/images", "valid/images", "test/images")
LISTED = {f"JPEGImages/p{number}.jpg": "" for number in range(5)}


@pytest.mark.parametrize(
    ("files", "counts", "origin"),
    [
        (THREE, (2, 2, 2), "folders test, train, valid"),
        (pictures("images/train2017", "images/val2017"), (2, 2, 0), "folders images/train2017, images/val2017"),
        (pictures("bolts_train", "bolts-Test"), (2, 0, 2), "folders bolts-Test, bolts_train"),
        (pictures("a/training", "a/testing", "b"), (4, 0, 2), "folders a/testing, a/training"),  # b: told
        ({**THREE, "data.yaml": "train: ../train/images\nval: ../valid/images\n"}, (4, 2, 0), "data.yaml"),
        ({**THREE, "data.yaml": "path: /x/y\ntrain: train/images\nval: [valid]\ntest: test"}, (2, 2, 2), "data.yaml"),
        ({**THREE, "data.yaml": "train: C:\\x\\train\\images\nvalid: valid\\images\n"}, (4, 2, 0), "data.yaml"),
        (
            {
                **pictures("images", n=3),
                "cfg/data.yaml": "path: ..\ntrain: lists/a.txt\nval: lists/b.txt\n",
                "lists/a.txt": "./images/im0.jpg\n/elsewhere/images/im1.jpg\n",
                "lists/b.txt": "\ufeffimages/im2.jpg\r\n",
            },
            (2, 1, 0),
            "cfg/data.yaml",
        ),
        (
            {
                **LISTED,
                "ImageSets/Main/train.txt": "p0\n",
                "ImageSets/Main/trainval.txt": "p0\np1\np2\n",
                "ImageSets/Main/val.txt": "p1\n",
                "ImageSets/Main/test.txt": "p3\np4\n",
                "ImageSets/Main/bolt_train.txt": "p3 -1\np4 1\n",
                "ImageSets/Segmentation/train.txt": "p3\n",
            },
            (2, 1, 2),
            "ImageSets/Main/train.txt, ImageSets/Main/trainval.txt, ImageSets/Main/val.txt, ImageSets/Main/test.txt",
        ),
        ({**LISTED, "train.txt": "data/JPEGImages/p0.jpg\n", "test.txt": "p1.jpg"}, (4, 0, 1), "train.txt, test.txt"),
    ],
)  # fmt: skip
def test_where_a_division_is_said(
    tmp_path: Path, files: dict[str, str], counts: tuple[int, int, int], origin: str
) -> None:
    found = read_splits(source_of(tmp_path, files), Labels(()))
    assert tuple(len(names) for names in by_split(found).values()) == counts
    assert found.origin == origin


@pytest.mark.parametrize(
    "files",
    [
        pictures("images"),
        pictures("train/images"),  # all of it: nothing is held out
        pictures("images/train", "images/bus", "images/car"),  # a class of trains
        pictures("test_tube", "train_station"),  # no sides of one thing
        {**pictures("images"), "train.txt": "to do\n", "test.txt": "later\n"},
        {**pictures("images"), "docker.yaml": "a: &a 1\nb: *a\n", "other.yml": "train: [1, 2]\nval: {a: 1}\n"},
        {**pictures("images"), "data.yaml": "train: images\nval: images\n"},
        {**pictures("images"), "data.yaml": "train: elsewhere/train\nval: elsewhere/val\n"},
    ],
)
def test_what_is_no_division(tmp_path: Path, files: dict[str, str]) -> None:
    assert read_splits(source_of(tmp_path, files), Labels(())).split_of == {}


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {**pictures("images"), "data.yaml": "train: images\nval: images\n"},
            "1 YAML file that names the same pictures for train and for val: no split, e.g. data.yaml",
        ),
        (
            {**THREE, "data.yaml": "train: train\nval: valid\ntest: gone\n"},
            "1 places that data.yaml names and the source does not have, e.g. test: gone",
        ),
        (
            {**LISTED, "train.txt": "p0\np1\nlost\n", "val.txt": "p1\n"},
            "1 pictures that the source names for train and val: val alone has them, e.g. JPEGImages/p1.jpg",
        ),
        (
            {**LISTED, "train.txt": "p0\nlost\n", "val.txt": "p1\n"},
            "1 lines of split lists that name no picture of the source, e.g. train.txt: lost",
        ),
        (
            {**LISTED, "train.txt": "p0\n", "val.txt": "p1\n"},
            "3 pictures that the source's split does not name: they are in train, e.g. JPEGImages/p2.jpg. " + ANEW,
        ),
    ],
)
def test_what_is_told(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    assert sentence in [str(one) for one in read_splits(source_of(tmp_path, files), Labels(())).findings]


def test_a_coco_file_a_split(tmp_path: Path) -> None:
    names = [f"images/{number}.jpg" for number in range(3)]
    files = (
        "annotations/instances_train2017.json",
        "annotations/instances_val2017.json",
        "test/_annotations.coco.json",
    )
    labels = Labels((), listed_in=dict(zip(names, files, strict=True)))
    found = read_splits(source_of(tmp_path, dict.fromkeys(names, "")), labels)
    assert list(found.split_of.values()) == ["train", "val", "test"]
    assert found.origin == ", ".join(files)


def test_one_coco_file_says_nothing(tmp_path: Path) -> None:
    labels = Labels((), listed_in={"images/0.jpg": "train.json", "images/1.jpg": "train.json"})
    assert read_splits(source_of(tmp_path, {"images/0.jpg": "", "images/1.jpg": ""}), labels).split_of == {}


def test_files_that_were_read_are_named(tmp_path: Path) -> None:
    files = {**THREE, "data.yaml": "train: train\nval: lists/v.txt\n", "lists/v.txt": "va0.jpg\nva1.jpg\n"}
    assert read_splits(source_of(tmp_path, files), Labels(())).files == {"data.yaml", "lists/v.txt"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("TEST", ("test", "")),
        ("val2017", ("val", "2017")),
        ("autosplit_train", ("train", "autosplit")),
        ("train_val", None),  # two
        ("contest", None),
        ("", None),
    ],
)
def test_words(text: str, found: tuple[str, str] | None) -> None:
    assert split_word(text) == found
