"""What is true of a random small data set, and how a stranger may write it: what all formats share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Files = dict[str, bytes]
Box = tuple[str, int, int, int, int]
"""Class name, x1 y1 x2 y2 px."""
NAMES = ("bolt", "nut", "traffic light", "on", "no", "007", "schraube_äö", "螺丝", "a&b")
SIZES = ((64, 48), (160, 120), (121, 333), (640, 480))


@dataclass(frozen=True)
class Scene:
    """Attributes: pictures: stem => (width, height) px and the objects."""

    names: tuple[str, ...]
    pictures: Mapping[str, tuple[tuple[int, int], tuple[Box, ...]]]

    @property
    def objects(self) -> list[tuple[tuple[int, int], Box]]:
        return [(wh, box) for wh, boxes in self.pictures.values() for box in boxes]


def draw_scene(rng: np.random.Generator) -> Scene:
    names = tuple(rng.choice(NAMES, size=int(rng.integers(1, 5)), replace=False).tolist())
    pictures = {}
    for index in range(int(rng.integers(2, 8))):
        wh = SIZES[int(rng.integers(len(SIZES)))]
        boxes = {_draw_box(rng, wh, names) for _ in range(int(rng.integers(0, 5)))}
        pictures[f"p{index:02d}"] = (wh, tuple(sorted(boxes)))
    return Scene(names, pictures)


def _draw_box(rng: np.random.Generator, wh: tuple[int, int], names: tuple[str, ...]) -> Box:
    w, h = int(rng.integers(3, wh[0] // 2)), int(rng.integers(3, wh[1] // 2))
    x, y = int(rng.integers(0, wh[0] - w + 1)), int(rng.integers(0, wh[1] - h + 1))
    return (str(names[int(rng.integers(len(names)))]), x, y, x + w, y + h)


FOLDERS: Mapping[str, tuple[str, str]] = {
    "": ("images", "labels"),
    "beside": ("shots", "shots"),
    "siblings": ("img", "txt"),
    "deeper": ("pictures", "annotations/all/files"),
    "root": (".", "."),
    "unicode": ("Aufnahmen é", "Aufnahmen e\u0301"),
}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp437")


@dataclass(frozen=True)
class Way:
    """How a stranger writes a set; every default is what the format's own tools do.

    Attributes:
        folders: key of FOLDERS.
        encoding: of every label file.
        frame: what the four numbers of a box are: `own`, `corners`, `center`, `top left`, `px`, `shares`.
        ids: `int`, `float`, `text`, `from 1`, `strings`, `twice`, `gaps`.
        columns: what follows a YOLO box: nothing, `confidence`, `angle`, `pose2`, `pose3`, or instead of it `polygon`,
            `obb`, `mixture`.
        told: whether data.yaml says what the columns are.
        lists: where YOLO's class list stands: `yaml`, `dict`, `nested`, `beside`, `by folder`, `against`.
        splits: pictures and labels in train/, valid/ and test/.
        other: one thing that a single format knows.
    """

    folders: str = ""
    encoding: str = "utf-8"
    separator: str = " "
    end: str = "\n"
    before: str = ""
    frame: str = "own"
    ids: str = "int"
    columns: str = ""
    told: bool = True
    lists: str = "yaml"
    repeats: bool = False
    reverse: bool = False
    splits: bool = False
    clutter: bool = False
    other: str = ""


def places(scene: Scene, way: Way) -> dict[str, tuple[str, str]]:
    """Stem => the picture's and the label file's place, without suffix."""
    images, labels = FOLDERS[way.folders]
    found = {}
    for index, stem in enumerate(scene.pictures):
        split = ("train", "valid", "test")[index % 3] + "/" if way.splits else ""
        found[stem] = (clean(f"{split}{images}/{stem}"), clean(f"{split}{labels}/{stem}"))
    return found


def picture_names(scene: Scene, way: Way) -> dict[str, str]:
    return {stem: f"{image}.jpg" for stem, (image, _) in places(scene, way).items()}


def clean(path: str) -> str:
    return path.replace("./", "")


def picture_files(scene: Scene, way: Way) -> Files:
    files = dict.fromkeys(picture_names(scene, way).values(), b"")
    if way.clutter:
        files |= {
            "README.roboflow.txt": b"bolts - v1\n\nThe dataset includes 72 images.\n",
            "train.txt": b"images/p00.jpg\n",
        }
        files |= {"notes.json": b"{}", "args.yaml": b"epochs: 3\n", "pom.xml": b"<project/>"}
    return files


def ordered(boxes: tuple[Box, ...], way: Way) -> list[Box]:
    found = boxes[::-1] if way.reverse else boxes
    return [box for box in found for _ in range(1 + way.repeats)]


def encoded(text: str, way: Way) -> bytes:
    return (way.before + text).encode(way.encoding, "replace")


def folder_of(name: str) -> str:
    return name.rpartition("/")[0] or "."
