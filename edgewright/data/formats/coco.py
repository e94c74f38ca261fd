"""COCO: JSON files with `images`, `annotations` and `categories`.

Decides: classes are the categories in order of their id, over all files by name; `iscrowd` is an ignore region; an
image that is listed without annotations is a background picture. A file name is looked up beside its JSON file, then as
it stands, then by its last part where that is the only one. `segmentation` is read as a mask, be it polygons or run
lengths (plain or compressed), and written as plain run lengths, which lose nothing. Refuses an image that two files
annotate.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edgewright.data.dataset import Dataset
from edgewright.data.formats.annotation import Annotation, Labels, RawBox, RunLengths, class_list
from edgewright.data.rle import decode_mask, encode_coco
from edgewright.data.rows import LabelState, Row, Split
from edgewright.data.sources import Source, Unusable
from edgewright.errors import SourceError

MAX_JSON_BYTES = 1_000_000_000
_KEYS = ("images", "annotations", "categories")


def detect(source: Source) -> bool:
    return any(_is_coco(source, file) for file in source.named(".json"))


def read(source: Source, configured: tuple[str, ...]) -> Labels:
    files = [file for file in source.named(".json") if _is_coco(source, file)]
    documents = [_document(source, file) for file in files]
    lookup = _Lookup.over(source.images)
    by_image: dict[str, Annotation] = {}
    unpaired: dict[str, str] = {}
    for document in documents:
        for entry in document.images:
            name = lookup.find(entry.file_name, beside=document.file)
            if name is None:
                unpaired[f"{document.file}#{entry.file_name}"] = "an entry without an image, or with several"
            elif name in by_image:
                by_image[name] = Annotation(reason=f"annotated twice, once in {document.file}")
            else:
                by_image[name] = entry.annotation
    names = list(dict.fromkeys(name for document in documents for name in document.classes))
    return Labels(class_list(names, configured, where=source.where), by_image, frozenset(files), unpaired)


def write(dataset: Dataset, named: Sequence[tuple[str, Row]], out: Path) -> None:
    """`images/<split>/`, `annotations/instances_<split>.json`; unlabeled pictures are not listed in it."""
    (out / "annotations").mkdir(parents=True)
    for split in Split:
        (out / "images" / split).mkdir(parents=True)
        chosen = [(name, row) for name, row in named if row.split == split]
        for name, row in chosen:
            (out / "images" / split / name).write_bytes(dataset.payload(row))
        listed = [(name, row) for name, row in chosen if row.state != LabelState.UNLABELED]
        text = json.dumps(_instances(dataset.classes, listed), indent=1, ensure_ascii=False)
        (out / "annotations" / f"instances_{split}.json").write_text(text)


@dataclass(frozen=True)
class _Entry:
    file_name: str
    annotation: Annotation


@dataclass(frozen=True)
class _Document:
    file: str
    classes: tuple[str, ...]
    images: tuple[_Entry, ...]


@dataclass(frozen=True)
class _Lookup:
    """Image names by themselves and by their last part."""

    names: frozenset[str]
    by_last_part: Mapping[str, Sequence[str]]

    @classmethod
    def over(cls, images: Sequence[str]) -> _Lookup:
        by_last_part: defaultdict[str, list[str]] = defaultdict(list)
        for name in images:
            by_last_part[PurePosixPath(name).name].append(name)
        return cls(frozenset(images), by_last_part)

    def find(self, file_name: str, *, beside: str) -> str | None:
        file_name = file_name.replace("\\", "/")
        near = (PurePosixPath(beside).parent / file_name).as_posix()
        for name in (near, PurePosixPath(file_name).as_posix()):
            if name in self.names:
                return name
        same = self.by_last_part.get(PurePosixPath(file_name).name, ())
        return same[0] if len(same) == 1 else None


def _is_coco(source: Source, file: str) -> bool:
    payload = source.head(file, max_bytes=MAX_JSON_BYTES)
    return all(f'"{key}"'.encode() in payload for key in _KEYS)


def _document(source: Source, file: str) -> _Document:
    """Raises SourceError where the file is not COCO: its class ids mean nothing then, for any image."""
    try:
        document = json.loads(source.read(file, max_bytes=MAX_JSON_BYTES))
        categories = {int(item["id"]): str(item["name"]) for item in document["categories"]}
        boxes: defaultdict[Any, list[RawBox]] = defaultdict(list)
        for item in document["annotations"]:
            boxes[item["image_id"]].append(_box(item, categories))
        images = tuple(
            _Entry(str(item["file_name"]), Annotation(tuple(boxes.pop(item["id"], ())), _size(item)))
            for item in document["images"]
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Unusable) as error:
        raise SourceError(
            "not a COCO file", expected="images, annotations, categories", got=repr(error)[:200], where=file
        ) from error
    if boxes:
        raise SourceError("annotations of images that are not listed", got=str(list(boxes)[:5]), where=file)
    return _Document(file, tuple(name for _, name in sorted(categories.items())), images)


def _box(item: Mapping[str, Any], categories: Mapping[int, str]) -> RawBox:
    ignore = bool(item.get("iscrowd", 0) or item.get("ignore", 0))
    name = categories.get(item["category_id"], "")
    if not name:
        return RawBox("", (math.nan,) * 4, ignore, reason=f"category {item['category_id']} is not in the file")
    try:
        x, y, w, h = (float(value) for value in item["bbox"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return RawBox(name, (math.nan,) * 4, ignore, reason="bbox is not four numbers")
    shape = item.get("segmentation")
    try:
        polygons, runs = _polygons(shape), _run_lengths(shape)
    except (KeyError, TypeError, ValueError, OverflowError):
        return RawBox(name, (math.nan,) * 4, ignore, reason="segmentation is neither polygons nor run lengths")
    return RawBox(name, (x, y, x + w, y + h), ignore, polygons=polygons, runs=runs)


def _polygons(shape: object) -> tuple[tuple[float, ...], ...]:
    """`[[x, y, x, y…], …]`, or one polygon that is not wrapped in a list."""
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
    wh = (int(item.get("width") or 0), int(item.get("height") or 0))
    return wh if min(wh) > 0 else None


def _instances(classes: tuple[str, ...], listed: Sequence[tuple[str, Row]]) -> dict[str, object]:
    annotations: list[dict[str, object]] = []
    for image_id, (_, row) in enumerate(listed, 1):
        for label in row.labels:
            x1, y1, x2, y2 = label.xyxy
            mask = decode_mask(label.mask, shape=(row.height or 0, row.width or 0)) if label.mask else None
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": label.class_id + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1) if mask is None else int(mask.sum()),
                    "iscrowd": int(label.ignore),
                    "segmentation": [] if mask is None else {"counts": encode_coco(mask), "size": list(mask.shape)},
                }
            )
    return {
        "images": [
            {"id": image_id, "file_name": f"images/{row.split}/{name}", "width": row.width, "height": row.height}
            for image_id, (name, row) in enumerate(listed, 1)
        ],
        "annotations": annotations,
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(classes)],
    }
