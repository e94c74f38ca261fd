"""LabelMe: one JSON file an image, beside it, with `shapes` of points in px. Read, not written.

Decides: a rectangle is its two corners in whichever order, a polygon a mask with the box around it, polygons of one
group the parts of one object; of circles, rotated rectangles and painted masks the box is taken, which is told.
`imageData`, the picture once more, is ignored. Refuses points and lines one by one: they have no box.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from edgewright.data.findings import Findings
from edgewright.data.formats.annotation import (
    NOWHERE,
    Annotation,
    Labels,
    RawBox,
    class_list,
    class_names,
    named_by,
    without_repeats,
)
from edgewright.data.formats.frames import Xyxy
from edgewright.data.formats.json_head import json_head
from edgewright.data.formats.pairing import pair_by_name, require_a_pair
from edgewright.data.sources import Source, Unusable

MAX_FILE_BYTES = 256_000_000
"""`imageData` may hold the whole picture as text."""
Points: TypeAlias = Sequence[tuple[float, float]]


def detect(source: Source) -> bool:
    return any(_is_labelme(source, file) for file in source.named(".json"))


def read(source: Source, configured: tuple[str, ...]) -> Labels:
    told = Findings()
    files = [file for file in source.named(".json") if _is_labelme(source, file)]
    pairs = pair_by_name(source.images, files, told=told, named_in=lambda file: _picture_named_in(source, file))
    require_a_pair(pairs.taken, source.images, pairs.unpaired, where=source.where)
    by_image = {image: Annotation(reason=reason) for image, reason in pairs.refused.items()}
    for image, file in pairs.label_of.items():
        try:
            by_image[image] = _annotation(_document(source, file), told, file)
        except Unusable as error:
            by_image[image] = Annotation(reason=f"{file}: {error}")
    return Labels(
        class_list(class_names(by_image), configured, where=source.where),
        by_image,
        frozenset(pairs.label_of.values()),
        pairs.unpaired,
        class_source=named_by(configured),
        findings=tuple(told),
    )


def _is_labelme(source: Source, file: str) -> bool:
    opened, keys = json_head(source, file)
    return opened == "{" and "shapes" in keys


def _document(source: Source, file: str) -> Mapping[str, Any]:
    """Raises Unusable where the file is not LabelMe's."""
    try:
        document = json.loads(source.read(file, max_bytes=MAX_FILE_BYTES))
    except (ValueError, RecursionError) as error:
        raise Unusable("not JSON", got=str(error)[:200]) from error
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        raise Unusable("not a LabelMe file", expected="a list of `shapes`")
    return document


def _picture_named_in(source: Source, file: str) -> str:
    try:
        return str(_document(source, file).get("imagePath") or "")
    except Unusable:
        return ""


def _annotation(document: Mapping[str, Any], told: Findings, file: str) -> Annotation:
    boxes: list[RawBox] = []
    groups: defaultdict[tuple[str, str], list[RawBox]] = defaultdict(list)
    for index, shape in enumerate(document["shapes"]):
        box = _box(shape, told, f"{file} shape {index}")
        if box.polygons and isinstance(shape.get("group_id"), int):
            groups[box.name, str(shape["group_id"])].append(box)
        else:
            boxes.append(box)
    for parts in groups.values():
        if len(parts) > 1:
            told.add("objects made of several polygons of one group", example=file)
        boxes.append(_joined(parts))
    return Annotation(without_repeats(boxes, told, where=file), _size(document))


def _box(shape: object, told: Findings, where: str) -> RawBox:
    if not isinstance(shape, dict):
        return RawBox("", NOWHERE, reason=f"not a shape ({where})")
    name, kind = str(shape.get("label") or "").strip(), str(shape.get("shape_type") or "polygon")
    points = _points(shape.get("points"))
    least, box_of = _KINDS.get(kind, (0, None))
    if box_of is None:
        return RawBox(name, NOWHERE, reason=f"a {kind} has no box ({where})")
    if points is None or len(points) < least:
        return RawBox(name, NOWHERE, reason=f"a {kind} needs {least} points of two numbers ({where})")
    if kind in _LEFT_OUT:
        told.add(_LEFT_OUT[kind], example=where)
    polygons = (tuple(value for point in points for value in point),) if kind == "polygon" else ()
    return RawBox(name, box_of(points), bool(shape.get("difficult")), polygons=polygons)


def _around(points: Points) -> Xyxy:
    xs, ys = zip(*points, strict=True)
    return (min(xs), min(ys), max(xs), max(ys))


def _around_circle(points: Points) -> Xyxy:
    """The first point is the middle, the second lies on the circle."""
    (x, y), edge = points[0], points[1]
    radius = math.dist((x, y), edge)
    return (x - radius, y - radius, x + radius, y + radius)


_KINDS: Mapping[str, tuple[int, Callable[[Points], Xyxy]]] = {
    "rectangle": (2, _around),
    "polygon": (3, _around),
    "circle": (2, _around_circle),
    "rotation": (4, _around),
    "mask": (2, _around),
}
"""Kinds of shapes that have a box: the least number of points, and the box of them."""
_LEFT_OUT = {
    "circle": "circles, of which the box around them is taken",
    "rotation": "rotated rectangles, of which the upright box around them is taken",
    "mask": "painted masks, of which the box is taken",
}


def _joined(parts: Sequence[RawBox]) -> RawBox:
    """Several polygons as the parts of one object."""
    corners = [(box.xyxy[0], box.xyxy[1]) for box in parts] + [(box.xyxy[2], box.xyxy[3]) for box in parts]
    polygons = tuple(polygon for box in parts for polygon in box.polygons)
    return RawBox(parts[0].name, _around(corners), any(box.ignore for box in parts), polygons=polygons)


def _points(value: object) -> list[tuple[float, float]] | None:
    try:
        return [(float(x), float(y)) for x, y in value]  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        return None


def _size(document: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = document.get("imageWidth"), document.get("imageHeight")
    if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
        return (width, height)
    return None
