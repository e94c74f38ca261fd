"""COCO JSON, as CVAT and most tools read and write it: one file for all pictures of a review.

Decides: boxes carry `score` and `why`; `iscrowd` is a region to ignore. The file says nothing about which pictures
somebody looked at: every picture that it lists counts as reviewed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgewright.review.formats.annotated import AnnotatedImage, Box, ReviewFile, ReviewTask, iso_time, key_in

FILE = "annotations.json"
_READ_ME = """\
COCO annotations of {n} pictures, the most doubtful first (file names begin with their rank).

CVAT: create a task with the labels of {file} and the pictures of images/, then Upload annotations, COCO 1.0, {file}.
Remove the pictures that you have not looked at before you export: every picture in the file counts as reviewed.
"""


def write(folder: Path, tasks: Sequence[ReviewTask], classes: Sequence[str]) -> None:
    document = {
        "info": {"contributor": "", "date_created": "", "description": "labels to review"},
        "images": [
            {"id": index, "file_name": task.file, "width": task.item.row.width, "height": task.item.row.height}
            for index, task in enumerate(tasks, 1)
        ],
        "categories": [{"id": index, "name": name} for index, name in enumerate(classes, 1)],
        "annotations": _annotations(tasks),
    }
    (folder / FILE).write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    (folder / "README.txt").write_text(_READ_ME.format(n=len(tasks), file=FILE), encoding="utf-8")


def read(document: Any) -> ReviewFile:
    """Raises KeyError, TypeError or ValueError where the document is something else."""
    info = document.get("info") or {}
    categories = {int(one["id"]): str(one["name"]) for one in document["categories"]}
    boxes: defaultdict[int, list[Box]] = defaultdict(list)
    for one in document["annotations"]:
        x, y, width, height = (float(value) for value in one["bbox"])
        name = categories.get(int(one["category_id"]), f"category {one['category_id']}")
        boxes[int(one["image_id"])].append(Box(name, (x, y, x + width, y + height), bool(one.get("iscrowd", 0))))
    images = tuple(
        AnnotatedImage(
            image=str(one["file_name"]),
            key=key_in(str(one["file_name"])),
            boxes=tuple(boxes.pop(int(one["id"]), ())),
            person=str(info.get("contributor") or ""),
            reviewed_at=iso_time(info.get("date_created")),
        )
        for one in document["images"]
    )
    if boxes:
        raise ValueError(f"annotations of images that are not listed: {sorted(boxes)[:5]}")
    return ReviewFile(images)


def _annotations(tasks: Sequence[ReviewTask]) -> list[dict[str, Any]]:
    shown = [(image_id, label) for image_id, task in enumerate(tasks, 1) for label in task.item.shown]
    return [
        {
            "id": index,
            "image_id": image_id,
            "category_id": label.class_id + 1,
            "bbox": [label.xyxy[0], label.xyxy[1], label.xyxy[2] - label.xyxy[0], label.xyxy[3] - label.xyxy[1]],
            "area": (label.xyxy[2] - label.xyxy[0]) * (label.xyxy[3] - label.xyxy[1]),
            "iscrowd": 0,
            "score": round(label.confidence, 6),
            "attributes": {"why": label.source},
        }
        for index, (image_id, label) in enumerate(shown, 1)
    ]
