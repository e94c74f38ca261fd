"""CVAT for images 1.1: one XML file for all pictures of a review.

Decides: boxes alone are read, a rotated one as the box around it; any other shape is refused by name. Who annotated is
the task's or the job's assignee: the owner of a task only made it. The file says nothing about which pictures somebody
looked at: every picture that it lists counts as reviewed.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

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

FILE = "annotations.xml"
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_SHAPES = ("polygon", "polyline", "points", "ellipse", "cuboid", "skeleton", "mask", "tag")
_READ_ME = """\
CVAT for images 1.1: {n} pictures, the most doubtful first (file names begin with their rank).

Create a task with the labels named in {file} and the pictures of images/, then Upload annotations, CVAT 1.1, {file}.
Remove the pictures that you have not looked at before you export: every picture in the file counts as reviewed.
"""


def write(folder: Path, tasks: Sequence[ReviewTask], classes: Sequence[str]) -> None:
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    task_node = ET.SubElement(ET.SubElement(root, "meta"), "task")
    ET.SubElement(task_node, "mode").text = "annotation"
    labels = ET.SubElement(task_node, "labels")
    for name in classes:
        ET.SubElement(ET.SubElement(labels, "label"), "name").text = name
    for index, task in enumerate(tasks):
        size = {"width": str(task.item.row.width), "height": str(task.item.row.height)}
        image = ET.SubElement(root, "image", {"id": str(index), "name": task.file, **size})
        for label in task.item.shown:
            ET.SubElement(image, "box", _attributes(label, classes))
    ET.indent(root)
    ET.ElementTree(root).write(folder / FILE, encoding="utf-8", xml_declaration=True)
    (folder / "README.txt").write_text(_READ_ME.format(n=len(tasks), file=FILE), encoding="utf-8")


def read(root: ET.Element) -> ReviewFile:
    """Raises InputError, TypeError or ValueError where the document is something else."""
    if root.tag != "annotations" or root.find("track") is not None:
        raise InputError("not a CVAT for images file", expected="<annotations> with <image>", got=f"<{root.tag[:40]}>")
    person, when = _assignee(root), iso_time(root.findtext("meta/task/updated") or root.findtext("meta/job/updated"))
    return ReviewFile(tuple(_image(node, person, when) for node in root.findall("image")))


def _attributes(label: Label, classes: Sequence[str]) -> dict[str, str]:
    corners = {name: f"{value:.4f}" for name, value in zip(_CORNERS, label.xyxy, strict=True)}
    return {"label": classes[label.class_id], "occluded": "0", "source": "auto", **corners, "z_order": "0"}


def _image(node: ET.Element, person: str, when: str) -> AnnotatedImage:
    name = node.get("name") or ""
    for child in node:
        if child.tag in _SHAPES:
            raise InputError("not a box", expected="<box>", got=f"<{child.tag}>", where=name[:200])
    boxes = tuple(_box(child) for child in node.findall("box"))
    return AnnotatedImage(image=name, key=key_in(name), boxes=boxes, person=person, reviewed_at=when)


def _box(node: ET.Element) -> Box:
    x1, y1, x2, y2 = (float(node.get(corner) or "") for corner in _CORNERS)
    turn = math.radians(float(node.get("rotation") or 0))
    corners = _around((x1, y1, x2, y2), cosine=abs(math.cos(turn)), sine=abs(math.sin(turn))) if turn else None
    return Box(node.get("label") or "", corners or (x1, y1, x2, y2))


def _around(xyxy: Xyxy, *, cosine: float, sine: float) -> Xyxy:
    """The box around a rectangle that was turned about its center; px."""
    x1, y1, x2, y2 = xyxy
    x, y, width, height = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    half_w, half_h = (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2
    return x - half_w, y - half_h, x + half_w, y + half_h


def _assignee(root: ET.Element) -> str:
    for path in ("meta/job/assignee", "meta/task/assignee"):
        found = root.findtext(f"{path}/email") or root.findtext(f"{path}/username")
        if found and found.strip():
            return found.strip()
    return ""
