"""Label Studio: a labeling configuration, tasks with predictions pre-filled, and the JSON that the tool exports.

Decides: pictures are served from the project's own folder through Label Studio's local files; a prediction carries the
model's digest and every box its score. Read back: the newest annotation that was not canceled, a ground-truth one
first; a task without any was not looked at. Rectangles alone are read, a rotated one as the box around it.
"""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from edgewright.data.rows import Label
from edgewright.errors import InputError
from edgewright.review.formats.annotated import (
    AnnotatedImage,
    Box,
    ReviewFile,
    ReviewTask,
    Xyxy,
    iso_time,
    key_in,
)

CONFIG_FILE = "label_config.xml"
TASKS_FILE = "tasks.json"
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_READ_ME = """\
Label Studio project: {n} pictures, the most doubtful first.

1. Start it with the folder that holds this one as its document root:
   LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=<that folder> label-studio
2. New project: paste {config} under Labeling Setup, Code.
3. Settings, Cloud Storage: add a source "Local files" with the full path of this folder; it need not be synced.
4. Import {tasks}. Predictions are pre-filled: correct them, submit every picture that you have looked at.
5. Export as JSON (not JSON-MIN): that file is what is imported again.
"""


def write(folder: Path, tasks: Sequence[ReviewTask], classes: Sequence[str]) -> None:
    (folder / CONFIG_FILE).write_bytes(_config(classes))
    documents = [_task(folder.name, task, classes) for task in tasks]
    (folder / TASKS_FILE).write_text(json.dumps(documents, indent=1, ensure_ascii=False), encoding="utf-8")
    read_me = _READ_ME.format(n=len(tasks), config=CONFIG_FILE, tasks=TASKS_FILE)
    (folder / "README.txt").write_text(read_me, encoding="utf-8")


def read(document: Any) -> ReviewFile:
    """What Label Studio exported. Raises KeyError, TypeError, ValueError or InputError where it is something else."""
    answered = [(task, _chosen(task)) for task in document]
    images = tuple(_image(task, annotation) for task, annotation in answered if annotation is not None)
    return ReviewFile(images, untouched=len(answered) - len(images))


def _config(classes: Sequence[str]) -> bytes:
    view = ET.Element("View")
    ET.SubElement(view, "Header", value="$why")
    ET.SubElement(view, "Image", name="image", value="$image", zoom="true", zoomControl="true")
    labels = ET.SubElement(view, "RectangleLabels", name="label", toName="image")
    for index, name in enumerate(classes):
        ET.SubElement(labels, "Label", value=name, background=_COLORS[index % len(_COLORS)])
    ET.indent(view)
    config: bytes = ET.tostring(view, encoding="utf-8")
    return config


def _task(folder: str, task: ReviewTask, classes: Sequence[str]) -> dict[str, Any]:
    item = task.item
    path = quote(f"{folder}/images/{task.file}")
    models = sorted({label.model for label in item.shown if label.model})
    return {
        "data": {
            "image": f"/data/local-files/?d={path}",
            "row_id": item.row.id,
            "why": item.why,
            "confidence": round(item.confidence, 6),
        },
        "predictions": [
            {
                "model_version": models[0] if models else "labels",
                "score": round(item.confidence, 6),
                "result": [_result(label, task, classes) for label in item.shown],
            }
        ],
    }


def _result(label: Label, task: ReviewTask, classes: Sequence[str]) -> dict[str, Any]:
    width, height = task.item.row.width or 1, task.item.row.height or 1
    x1, y1, x2, y2 = label.xyxy
    return {
        "id": f"box{label.instance_id}",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": round(label.confidence, 6),
        "value": {
            "x": 100 * x1 / width,
            "y": 100 * y1 / height,
            "width": 100 * (x2 - x1) / width,
            "height": 100 * (y2 - y1) / height,
            "rotation": 0,
            "rectanglelabels": [classes[label.class_id]],
        },
    }


def _chosen(task: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if "annotations" not in task:
        raise InputError(
            "a task without its annotations",
            expected="Label Studio's JSON export",
            next_step="export the project as JSON, not as JSON-MIN",
        )
    answers = [answer for answer in task["annotations"] if not answer.get("was_cancelled")]
    ranked = sorted(answers, key=lambda answer: (bool(answer.get("ground_truth")), str(answer.get("updated_at", ""))))
    return ranked[-1] if ranked else None


def _image(task: Mapping[str, Any], annotation: Mapping[str, Any]) -> AnnotatedImage:
    name = unquote(str(task["data"]["image"]))
    drawn = [result for result in annotation["result"] if result.get("type") != "relation"]
    return AnnotatedImage(
        image=name,
        key=key_in(name),
        boxes=tuple(_box(result, name) for result in drawn),
        relative=True,
        person=_person(annotation.get("completed_by")),
        reviewed_at=iso_time(annotation.get("updated_at") or annotation.get("created_at")),
    )


def _box(result: Mapping[str, Any], image: str) -> Box:
    if result.get("type") not in ("rectanglelabels", "rectangle"):
        raise InputError("not a rectangle", expected="rectanglelabels", got=result.get("type"), where=image)
    value = result["value"]
    names = value.get("rectanglelabels") or []
    if len(names) != 1:
        raise InputError("a box without a class, or with several", expected="one", got=names or "none", where=image)
    name = names[0]
    turn = float(value.get("rotation", 0) or 0) + float(result.get("image_rotation", 0) or 0)
    corners = tuple(float(value[key]) / 100 for key in ("x", "y", "width", "height"))
    if turn:
        aspect = float(result["original_width"]) / float(result["original_height"])
        return Box(str(name), _around(corners, degrees=turn, aspect=aspect))
    x, y, width, height = corners
    return Box(str(name), (x, y, x + width, y + height))


def _around(xywh: Sequence[float], *, degrees: float, aspect: float) -> Xyxy:
    """The box around a rectangle that was turned clockwise about its first corner; shares of the picture."""
    x, y, width, height = xywh
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    points = [
        (dx * cosine - dy / aspect * sine, dx * aspect * sine + dy * cosine) for dx in (0, width) for dy in (0, height)
    ]
    xs, ys = zip(*points, strict=True)
    return x + min(xs), y + min(ys), x + max(xs), y + max(ys)


def _person(value: object) -> str:
    """`completed_by` is an id, or an object with an address."""
    if isinstance(value, dict):
        return str(value.get("email") or "") or _person(value.get("id"))
    return f"label-studio:{value}" if value not in (None, "") else ""
