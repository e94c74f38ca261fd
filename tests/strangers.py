"""Random small data sets, and the label files that a stranger would bring of them, in every format and many ways.

A `Scene` is what is true. Each format has its `ways`, a table of what people and tools do otherwise; `write_*` takes
one way and gives the files, by name. Pictures are empty files: readers of labels never open them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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


# ---------------------------------------------------------------- what all formats share

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
        found[stem] = (_clean(f"{split}{images}/{stem}"), _clean(f"{split}{labels}/{stem}"))
    return found


def picture_names(scene: Scene, way: Way) -> dict[str, str]:
    return {stem: f"{image}.jpg" for stem, (image, _) in places(scene, way).items()}


def _clean(path: str) -> str:
    return path.replace("./", "")


def _pictures(scene: Scene, way: Way) -> Files:
    files = dict.fromkeys(picture_names(scene, way).values(), b"")
    if way.clutter:
        files |= {
            "README.roboflow.txt": b"bolts - v1\n\nThe dataset includes 72 images.\n",
            "train.txt": b"images/p00.jpg\n",
        }
        files |= {"notes.json": b"{}", "args.yaml": b"epochs: 3\n", "pom.xml": b"<project/>"}
    return files


def _ordered(boxes: tuple[Box, ...], way: Way) -> list[Box]:
    found = boxes[::-1] if way.reverse else boxes
    return [box for box in found for _ in range(1 + way.repeats)]


def _encoded(text: str, way: Way) -> bytes:
    return (way.before + text).encode(way.encoding, "replace")


# ---------------------------------------------------------------- YOLO


def write_yolo(scene: Scene, way: Way) -> Files:
    files = _pictures(scene, way)
    order = {
        folder: list(scene.names) for folder in sorted({_folder(label) for _, label in places(scene, way).values()})
    }
    if way.lists == "by folder":
        order = {
            folder: names[index % len(names) :] + names[: index % len(names)]
            for index, (folder, names) in enumerate(order.items())
        }
    for stem, (_, label) in places(scene, way).items():
        wh, boxes = scene.pictures[stem]
        lines = [
            _yolo_line(box, wh, order[_folder(label)], way, index // (1 + way.repeats))
            for index, box in enumerate(_ordered(boxes, way))
        ]
        files[f"{label}.txt"] = _encoded("".join(f"{line}{way.end}" for line in lines), way)
    return files | _class_files(scene, way, order)


def _yolo_line(box: Box, wh: tuple[int, int], names: list[str], way: Way, index: int) -> str:
    name, *corners = box
    index_of = names.index(name)
    written = {"float": f"{index_of}.0", "text": name, "from 1": str(index_of + 1)}.get(way.ids, str(index_of))
    shares = [value / side for value, side in zip(corners, wh * 2, strict=True)]
    decimal = "," if way.other == "decimal comma" else "."
    numbers = [f"{number:.7g}".replace(".", decimal) for number in _columns(shares, corners, way, index)]
    return way.separator.join([written, *numbers])


def _columns(shares: list[float], corners: list[int], way: Way, index: int) -> list[float]:
    x1, y1, x2, y2 = shares
    box = {
        "own": [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1],
        "corners": shares,
        "top left": [x1, y1, x2 - x1, y2 - y1],
        "px": [
            (corners[0] + corners[2]) / 2,
            (corners[1] + corners[3]) / 2,
            corners[2] - corners[0],
            corners[3] - corners[1],
        ],
    }[way.frame]
    outline = [x1, y1, x2, y1, x2, y2, x1, y2]
    long = [*outline, x1, (y1 + y2) / 2] * (1 + index % 3) if index % 4 else outline
    inside = [(x1 + x2) / 2, (y1 + y2) / 2]
    return {
        "": box,
        "confidence": [*box, 0.25 + 0.5 * (index % 2)],
        "angle": [*box, 30.0 + index],
        "track": [*box, 0.5, 3],
        "pose2": [*box, x1, y1, x2, y2, *inside],
        "pose3": [*box, x1, y1, 2, x2, y2, 1, *inside, 0],
        "pose3 of four": [*box, x1, y1, 2, x2, y2, 1, *inside, 0, *inside, 1],
        "polygon": long,
        "obb": outline,
        "mixture": long if index % 2 else box,
        "points": [x1, y1, x2, y2] if index % 2 else [*outline, x1, (y1 + y2) / 2],
    }[way.columns]  # fmt: skip


_SAID = {
    "pose2": "kpt_shape: [3, 2]\n",
    "pose3": "kpt_shape: [3, 3]\ntask: pose\n",
    "pose3 of four": "kpt_shape: [4, 3]\n",
    "polygon": "task: segment\n",
    "obb": "task: obb\n",
    "mixture": "task: segment\n",
    "points": "task: segment\n",
}


def _class_files(scene: Scene, way: Way, order: Mapping[str, list[str]]) -> Files:
    said = _SAID.get(way.columns, "") if way.told else ""
    entries = "".join(f"  {index}: {name}\n" for index, name in enumerate(scene.names))
    text = {
        "yaml": f"names: [{', '.join(scene.names)}]\n",
        "dict": f"nc: {len(scene.names)}\nnames:\n{entries}",
        "nested": f"names:\n{entries}",
        "against": f"names: [{', '.join(scene.names)}]\n",
    }
    files: Files = {}
    if way.lists in text:
        name = "config/data.yaml" if way.lists == "nested" else "data.yaml"
        files[name] = f"path: /data/mine\ntrain: images\nval: images\n{said}{text[way.lists]}".encode()
    if way.lists in ("beside", "by folder", "against"):
        for folder, names in order.items():
            listed = names[::-1] if way.lists == "against" else names
            files[_clean(f"{folder}/classes.txt")] = _encoded("".join(f"{name}{way.end}" for name in listed), way)
    return files


def _folder(name: str) -> str:
    return name.rpartition("/")[0] or "."


# ---------------------------------------------------------------- COCO, CreateML


def write_coco(scene: Scene, way: Way) -> Files:
    files = _pictures(scene, way)
    stems = list(scene.pictures)
    parts = {"a": stems[::2], "b": stems[1::2]} if way.other == "two files" else {"instances": stems}
    for name, chosen in parts.items():
        files[f"annotations/{name}.json"] = _encoded(json.dumps(_coco(scene, way, chosen), ensure_ascii=False), way)
    if way.other == "keypoints":
        document = _coco(scene, way, stems)
        document["annotations"] = [{**item, "keypoints": [0, 0, 0]} for item in document["annotations"][:1]]
        files["annotations/person_keypoints.json"] = _encoded(json.dumps(document), way)
    return files


def _coco(scene: Scene, way: Way, stems: list[str]) -> dict[str, list[dict[str, object]]]:
    ids = {
        name: index * (3 if way.ids == "gaps" else 1) + (0 if way.reverse else 1)
        for index, name in enumerate(scene.names)
    }
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for index, stem in enumerate(stems):
        wh, boxes = scene.pictures[stem]
        image_id = index % max(1, len(stems) // 2) if way.ids == "twice" else index
        images.append(
            {"id": _as(image_id, way), "file_name": _file_name(scene, way, stem), "width": wh[0], "height": wh[1]}
        )
        for box in _ordered(boxes, way):
            item = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": _as(ids[box[0]], way),
                "iscrowd": 0,
            }
            annotations.append(item | _coco_box(box, wh, way, len(annotations)))
    categories: list[dict[str, object]] = [
        {"id": ids[name], "name": name, "supercategory": "parts"} for name in scene.names
    ]
    if way.other == "group":
        categories.append({"id": 99, "name": "parts", "supercategory": "none"})
    return {"images": images, "annotations": annotations, "categories": categories[::-1] if way.reverse else categories}


def _coco_box(box: Box, wh: tuple[int, int], way: Way, index: int) -> dict[str, object]:
    _, x1, y1, x2, y2 = box
    numbers: list[float] = {
        "own": [x1, y1, x2 - x1, y2 - y1],
        "corners": [x1, y1, x2, y2],
        "center": [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1],
        "shares": [x1 / wh[0], y1 / wh[1], (x2 - x1) / wh[0], (y2 - y1) / wh[1]],
    }[way.frame]
    polygon = [[x1, y1, x2, y1, x2, y2, x1, y2]]
    if way.other == "no bbox" and index % 2:
        return {"segmentation": polygon}
    if way.other == "negative" and index % 2:
        numbers = [x2, y2, x1 - x2, y1 - y2]
    bbox = [str(value) for value in numbers] if way.ids == "strings" else numbers
    return {"bbox": bbox, "segmentation": None if way.other == "null" else polygon if way.other == "polygons" else []}


def _file_name(scene: Scene, way: Way, stem: str) -> str:
    name = picture_names(scene, way)[stem]
    last = name.rpartition("/")[2]
    forms = {"windows": "C:\\data\\" + name.replace("/", "\\"), "absolute": f"/data/{name}", "last part": last}
    return forms.get(way.other, name)


def _as(value: int, way: Way) -> object:
    return {"strings": str(value), "float": float(value)}.get(way.ids, value)


def write_createml(scene: Scene, way: Way) -> Files:
    items = []
    for stem, (wh, boxes) in scene.pictures.items():
        found = []
        for name, x1, y1, x2, y2 in _ordered(boxes, way):
            numbers = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
            if way.frame == "shares":
                numbers = [value / side for value, side in zip(numbers, wh * 2, strict=True)]
            values = [str(value) if way.ids == "strings" else value for value in numbers]
            found.append({"label": name, "coordinates": dict(zip(("x", "y", "width", "height"), values, strict=True))})
        items.append({"image": _file_name(scene, way, stem), "annotations": found})
    text = json.dumps(items[::-1] if way.reverse else items, ensure_ascii=False)
    return _pictures(scene, way) | {"_annotations.createml.json": _encoded(text, way)}


# ---------------------------------------------------------------- VOC, LabelMe


def write_voc(scene: Scene, way: Way) -> Files:
    files = _pictures(scene, way)
    for index, (stem, (image, label)) in enumerate(places(scene, way).items()):
        wh, boxes = scene.pictures[stem]
        objects = "".join(_voc_object(box, wh, way) for box in _ordered(boxes, way))
        size = f"<size><width>{wh[0]}</width><height>{wh[1]}</height></size>" if way.other != "no size" else ""
        declared = f'<?xml version="1.0" encoding="{way.encoding}"?>' if way.other == "declared" else ""
        named = f"<filename>{image.rpartition('/')[2]}.jpg</filename>"
        text = f"{declared}<annotation>{named}{size}{objects}</annotation>"
        place = {"full name": f"{label}.jpg.xml", "renamed": f"{_folder(label)}/n{index}.xml"}.get(
            way.other, f"{label}.xml"
        )
        files[_clean(place)] = _encoded(text, way)
    return files


def _voc_object(box: Box, wh: tuple[int, int], way: Way) -> str:
    name, *corners = box
    numbers: list[float] = list(corners)
    if way.frame == "shares":
        numbers = [value / side for value, side in zip(corners, wh * 2, strict=True)]
    tags = zip(("xmin", "ymin", "xmax", "ymax"), numbers, strict=True)
    inner = "".join(f"<{tag}>{float(value) if way.ids == 'float' else value}</{tag}>" for tag, value in tags)
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    escaped = name.replace("&", "&amp;")
    return f"<object><name>{escaped}</name><bndbox>{inner}</bndbox>{part if way.other == 'parts' else ''}</object>"


def write_labelme(scene: Scene, way: Way) -> Files:
    files = _pictures(scene, way)
    for index, (stem, (image, label)) in enumerate(places(scene, way).items()):
        wh, boxes = scene.pictures[stem]
        document = {
            "version": "5.4.1",
            "shapes": [_shape(box, way) for box in _ordered(boxes, way)],
            "imagePath": f"..\\x\\{image.rpartition('/')[2]}.jpg",
            "imageData": "QUJD" * 9000 if way.other == "data" else None,
            "imageHeight": wh[1],
            "imageWidth": wh[0],
        }
        place = f"{_folder(label)}/n{index}.json" if way.other == "renamed" else f"{label}.json"
        files[_clean(place)] = _encoded(json.dumps(document, ensure_ascii=False), way)
    return files


def _shape(box: Box, way: Way) -> dict[str, object]:
    name, x1, y1, x2, y2 = box
    points: list[list[float]] = [[x2, y1], [x1, y2]] if way.other == "flipped" else [[x1, y1], [x2, y2]]
    kind = "rectangle"
    if way.other == "polygon":
        kind, points = "polygon", [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
    return {"label": name, "points": points, "shape_type": kind, "group_id": None}


# ---------------------------------------------------------------- the tables

Write = Callable[[Scene, Way], Files]
_COMMON: tuple[dict[str, object], ...] = (
    *({"folders": folders} for folders in FOLDERS),
    *({"encoding": encoding} for encoding in ENCODINGS),
    *({key: True} for key in ("repeats", "reverse", "splits", "clutter")),
    {"before": "\n \r\n"},
)
_YOLO: tuple[dict[str, object], ...] = (
    *({"separator": separator} for separator in ("\t", "  ", ",", ";", ", ", " ;", ":")),
    *({"end": end} for end in ("\r\n", "\r", "\n\n", " \n")),
    *({"ids": ids} for ids in ("float", "text", "from 1")),
    *({"lists": lists} for lists in ("dict", "nested", "beside", "by folder", "against")),
    *({"frame": frame} for frame in ("corners", "top left", "px")),
    *(
        {"columns": columns, "told": told}
        for columns in ("confidence", "angle", "track", "pose2", "pose3", "pose3 of four", "polygon", "obb", "mixture")
        for told in (True, False)
    ),
    {"columns": "points"},
    *({"other": "decimal comma", "separator": separator} for separator in (" ", ";", ",")),
)
_COCO: tuple[dict[str, object], ...] = (
    *({"ids": ids} for ids in ("strings", "float", "twice", "gaps")),
    *({"frame": frame} for frame in ("corners", "center", "shares")),
    *({"other": other} for other in ("two files", "keypoints", "group", "no bbox", "negative", "null", "polygons")),
    *({"other": other} for other in ("windows", "absolute", "last part")),
)
_VOC: tuple[dict[str, object], ...] = (
    {"ids": "float"},
    {"frame": "shares"},
    *({"other": other} for other in ("no size", "full name", "renamed", "parts", "declared")),
    *({"other": "declared", "encoding": encoding} for encoding in ("latin-1", "gb18030", "shift_jis", "utf-16")),
)
_LABELME: tuple[dict[str, object], ...] = (*({"other": other} for other in ("data", "flipped", "polygon", "renamed")),)
_CREATEML: tuple[dict[str, object], ...] = ({"ids": "strings"}, {"frame": "shares"}, {"other": "windows"})
FORMATS: Mapping[str, tuple[Write, tuple[dict[str, object], ...]]] = {
    "yolo": (write_yolo, _YOLO + _COMMON),
    "coco": (write_coco, _COCO + _COMMON),
    "voc": (write_voc, _VOC + _COMMON),
    "labelme": (write_labelme, _LABELME + _COMMON),
    "createml": (write_createml, _CREATEML + _COMMON),
}
