"""Label files as YOLO's tools, and people who use them, write them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.strangers.scene import Box, Files, Scene, Way, clean, encoded, folder_of, ordered, picture_files, places


def write_yolo(scene: Scene, way: Way) -> Files:
    files = picture_files(scene, way)
    order = {
        folder: list(scene.names) for folder in sorted({folder_of(label) for _, label in places(scene, way).values()})
    }
    if way.lists == "by folder":
        order = {
            folder: names[index % len(names) :] + names[: index % len(names)]
            for index, (folder, names) in enumerate(order.items())
        }
    for stem, (_, label) in places(scene, way).items():
        wh, boxes = scene.pictures[stem]
        lines = [
            _yolo_line(box, wh, order[folder_of(label)], way, index // (1 + way.repeats))
            for index, box in enumerate(ordered(boxes, way))
        ]
        files[f"{label}.txt"] = encoded("".join(f"{line}{way.end}" for line in lines), way)
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
            files[clean(f"{folder}/classes.txt")] = encoded("".join(f"{name}{way.end}" for name in listed), way)
    return files
