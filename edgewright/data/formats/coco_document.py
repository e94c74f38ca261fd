"""One COCO file, read: `images`, `annotations` and `categories` as values.

Decides what a number may look like (`12`, `12.0`, `"12"`), that a negative width is a box drawn from the right, and
that a polygon without a bbox has the box around it. Refuses, as a whole, a file whose ids stand twice, whose boxes are
shares instead of px or two corners instead of x y w h; anything else box by box.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from edgewright.data.findings import Findings
from edgewright.data.formats.annotation import NOWHERE, Annotation, RawBox, RunLengths, without_repeats
from edgewright.data.formats.frames import Frame, Xyxy, as_corners, refuse_frame, refuse_shares
from edgewright.data.sources import Source, Unusable
from edgewright.errors import SourceError

MAX_JSON_BYTES = 1_000_000_000


class Content(StrEnum):
    """What a file annotates."""

    INSTANCES = "boxes"
    KEYPOINTS = "keypoints"
    CAPTIONS = "captions"
    PANOPTIC = "panoptic segments"
    NOTHING = "no annotations"


@dataclass(frozen=True)
class Entry:
    file_name: str
    annotation: Annotation


@dataclass(frozen=True)
class Document:
    """Attributes: classes: in order of their ids."""

    file: str
    content: Content
    classes: tuple[str, ...]
    images: tuple[Entry, ...]


def read_document(source: Source, file: str, told: Findings) -> Document:
    """Raises SourceError where the file is not COCO: its class ids mean nothing then, for any image."""
    try:
        document = json.loads(source.read(file, max_bytes=MAX_JSON_BYTES))
        content = _content(document)
        if content in (Content.NOTHING, Content.CAPTIONS, Content.PANOPTIC):
            return Document(file, content, (), tuple(_Entries(document).bare()))
        return _document(file, document, content, told)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, Unusable) as error:
        raise SourceError(
            "not a COCO file", expected="images, annotations, categories", got=repr(error)[:200], where=file
        ) from error


@dataclass(frozen=True)
class _Entries:
    document: Mapping[str, Any]

    def bare(self) -> list[Entry]:
        return [Entry(str(item["file_name"]), Annotation()) for item in self.document["images"]]

    def by_id(self, file: str) -> dict[Hashable, Mapping[str, Any]]:
        """Raises SourceError where two images have one id: whose box is whose cannot be known."""
        found: dict[Hashable, Mapping[str, Any]] = {}
        for item in self.document["images"]:
            key = _id(item["id"])
            if key in found and found[key] != item:
                raise SourceError(
                    f"image id {key} stands twice",
                    got=f"{found[key]['file_name']} and {item['file_name']}",
                    where=file,
                    next_step="give the images of files that were merged ids of their own, in `annotations` too",
                )
            found[key] = item
        return found


def _content(document: Mapping[str, Any]) -> Content:
    annotations = document.get("annotations")
    if annotations is None:
        return Content.NOTHING
    some = annotations[:50]
    for key, content in (("segments_info", Content.PANOPTIC), ("keypoints", Content.KEYPOINTS)):
        if any(key in item for item in some):
            return content
    captions = some and all("caption" in item and "bbox" not in item for item in some)
    return Content.CAPTIONS if captions else Content.INSTANCES


def _document(file: str, document: Mapping[str, Any], content: Content, told: Findings) -> Document:
    categories = _categories(document, file)
    images = _Entries(document).by_id(file)
    annotated: defaultdict[Hashable, list[Mapping[str, Any]]] = defaultdict(list)
    for item in document["annotations"]:
        annotated[_id(item["image_id"])].append(item)
    strangers = [key for key in annotated if key not in images]
    if strangers:
        raise SourceError("annotations of images that are not listed", got=str(strangers[:5]), where=file)
    _refuse_other_frames(file, images, annotated)
    entries = []
    for key, item in images.items():
        boxes = [_box(each, categories, told, file) for each in annotated.get(key, ())]
        annotation = Annotation(without_repeats(boxes, told, where=f"{file}#{item['file_name']}"), _size(item))
        entries.append(Entry(str(item["file_name"]), annotation))
    classes = _used(document["categories"], categories, annotated, told, file)
    return Document(file, content, classes, tuple(entries))


def _categories(document: Mapping[str, Any], file: str) -> dict[Hashable, str]:
    """By id, in order of the ids. Raises SourceError where two names have one id."""
    found: dict[Hashable, str] = {}
    for item in sorted(document["categories"], key=lambda item: (str(type(_id(item["id"]))), _id(item["id"]))):
        key, name = _id(item["id"]), str(item["name"])
        if found.setdefault(key, name) != name:
            raise SourceError(
                f"category id {key} stands twice",
                got=f"{found[key]} and {name}",
                where=file,
                next_step="give each category an id of its own, in `annotations` too",
            )
    return found


def _used(
    items: Sequence[Mapping[str, Any]],
    categories: Mapping[Hashable, str],
    annotated: Mapping[Hashable, Sequence[Mapping[str, Any]]],
    told: Findings,
    file: str,
) -> tuple[str, ...]:
    """Without categories that only name a group of the others, as some exports put one first."""
    groups = {str(item.get("supercategory", "")) for item in items if item.get("supercategory") != item["name"]}
    met = {categories.get(_id(item["category_id"])) for boxes in annotated.values() for item in boxes}
    left_out = [name for name in categories.values() if name in groups and name not in met]
    for name in left_out:
        told.add("categories without an object that only name a group of others, left out", example=f"{name} in {file}")
    return tuple(name for name in categories.values() if name not in left_out)


def _refuse_other_frames(
    file: str,
    images: Mapping[Hashable, Mapping[str, Any]],
    annotated: Mapping[Hashable, Sequence[Mapping[str, Any]]],
) -> None:
    boxes, sizes = [], []
    for key, items in annotated.items():
        wh = _size(images[key])
        for item in items:
            numbers = _numbers(item.get("bbox"))
            if numbers is not None and not item.get("iscrowd") and min(numbers[2:]) > 0:
                boxes.append(numbers)
                sizes.append(wh or (math.inf, math.inf))
    if not boxes:
        return
    refuse_shares(np.array(boxes), where=file)
    next_step = "write bbox as [x, y, width, height]"
    refuse_frame(np.array(boxes), np.array(sizes, dtype=np.float64), Frame.TOP_LEFT, where=file, next_step=next_step)


def _box(item: Mapping[str, Any], categories: Mapping[Hashable, str], told: Findings, file: str) -> RawBox:
    where = f"annotation {item.get('id', '?')}"
    ignore = bool(_whole(item.get("iscrowd")) or _whole(item.get("ignore")))
    name = categories.get(_id(item["category_id"]), "")
    if not name:
        return RawBox("", NOWHERE, ignore, reason=f"category {item['category_id']} is not in the file ({where})")
    try:
        polygons, runs = _polygons(item.get("segmentation")), _run_lengths(item.get("segmentation"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return RawBox(name, NOWHERE, ignore, reason=f"segmentation is neither polygons nor run lengths ({where})")
    xyxy = _corners(item.get("bbox"), polygons, told, f"{where} in {file}")
    if xyxy is None:
        return RawBox(name, NOWHERE, ignore, reason=f"bbox is not four numbers ({where})")
    if max(map(abs, xyxy)) <= 1:
        return RawBox(name, NOWHERE, ignore, reason=f"the box looks normalized ({where})")
    return RawBox(name, xyxy, ignore, polygons=polygons, runs=runs)


def _corners(bbox: object, polygons: Sequence[Sequence[float]], told: Findings, where: str) -> Xyxy | None:
    numbers = _numbers(bbox)
    if numbers is None:
        if bbox not in (None, [], "") or not any(polygons):
            return None
        told.add("annotations without a bbox, taken as the box around their polygon", example=where)
        xs = [value for part in polygons for value in part[::2]]
        ys = [value for part in polygons for value in part[1::2]]
        return (min(xs), min(ys), max(xs), max(ys))
    x1, y1, x2, y2 = as_corners(numbers, Frame.TOP_LEFT)
    if x2 < x1 or y2 < y1:
        told.add("boxes of negative width or height, taken as drawn from the other corner", example=where)
    return (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def _numbers(bbox: object) -> Xyxy | None:
    """Four finite numbers, be they written as text."""
    if not isinstance(bbox, list) or len(bbox) != 4 or any(isinstance(value, bool) for value in bbox):
        return None
    try:
        a, b, c, d = (float(value) for value in bbox)
    except (TypeError, ValueError, OverflowError):
        return None
    return (a, b, c, d) if all(map(math.isfinite, (a, b, c, d))) else None


def _polygons(shape: object) -> tuple[tuple[float, ...], ...]:
    """`[[x, y, x, y…]…]`; some tools leave the outer list out where there is one part."""
    if not isinstance(shape, list) or not shape:
        return ()
    parts = shape if isinstance(shape[0], list) else [shape]
    polygons = tuple(tuple(float(value) for value in part) for part in parts)
    if any(len(part) % 2 for part in polygons):
        raise ValueError("a polygon with half a corner")
    return polygons


def _run_lengths(shape: object) -> RunLengths | None:
    """`{"counts": text or numbers, "size": [h, w]}`."""
    if not isinstance(shape, dict):
        return None
    height, width = (int(value) for value in shape["size"])
    counts = shape["counts"]
    return RunLengths(counts if isinstance(counts, str) else tuple(int(run) for run in counts), (height, width))


def _size(item: Mapping[str, Any]) -> tuple[int, int] | None:
    wh = (_whole(item.get("width")), _whole(item.get("height")))
    return wh if min(wh) > 0 else None


def _whole(value: object) -> int:
    """`160`, `160.0`, `"160.0"`; 0 where nothing is said. Raises ValueError for anything else."""
    return int(float(str(value))) if value not in (None, "", False, True) else int(bool(value))


def _id(value: Any) -> Hashable:
    """Ids as tools mix them up: `7`, `7.0` and `"7"` are one. Raises TypeError for a list."""
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        raise TypeError(f"not an id: {value!r}")
    text = str(value).strip()
    whole = text.removesuffix(".0")
    return int(whole) if whole.removeprefix("-").isdecimal() else text
