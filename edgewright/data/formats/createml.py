"""CreateML: a JSON list of pictures, each with its labels and boxes by their middle, in px. Read, not written.

Decides: the class list is sorted by name unless the recipe gives one; a picture is looked up as COCO's are. Refuses a
set whose boxes are shares instead of px, and anything else box by box.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

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
from edgewright.data.formats.coco_document import MAX_JSON_BYTES
from edgewright.data.formats.frames import Frame, Xyxy, as_corners, refuse_shares
from edgewright.data.formats.json_head import json_head
from edgewright.data.formats.pairing import Lookup, require_a_pair
from edgewright.data.sources import Source, Unusable
from edgewright.errors import SourceError

_PICTURE_KEYS = ("image", "imagefilename", "filename")
_BOXES_KEYS = ("annotations", "annotation")
_SIDES = ("x", "y", "width", "height")


def detect(source: Source) -> bool:
    return any(_is_createml(source, file) for file in source.named(".json"))


def read(source: Source, configured: tuple[str, ...]) -> Labels:
    told, lookup = Findings(), Lookup.over(source.images)
    files = [file for file in source.named(".json") if _is_createml(source, file)]
    by_image: dict[str, Annotation] = {}
    listed_in: dict[str, str] = {}
    unpaired: dict[str, str] = {}
    for file in files:
        items = _document(source, file)
        _refuse_shares(items, file)
        for item in items:
            named = str(next((item[key] for key in _PICTURE_KEYS if key in item), ""))
            image = lookup.find(named, beside=file)
            if image is None:
                unpaired[f"{file}#{named}"] = "an entry without an image, or with several"
            elif image in by_image:
                by_image[image] = Annotation(reason=f"annotated twice, once in {file}")
            else:
                by_image[image] = _annotation(item, told, f"{file}#{named}")
                listed_in[image] = file
    require_a_pair(by_image, source.images, unpaired, where=source.where)
    return Labels(
        class_list(class_names(by_image), configured, where=source.where),
        by_image,
        frozenset(files),
        unpaired,
        class_source=named_by(configured),
        listed_in=listed_in,
        findings=tuple(told),
    )


def _is_createml(source: Source, file: str) -> bool:
    opened, keys = json_head(source, file)
    return opened == "[" and bool(keys & {*_PICTURE_KEYS}) and bool(keys & {*_BOXES_KEYS})


def _document(source: Source, file: str) -> list[Mapping[str, Any]]:
    """Raises SourceError where the file is not CreateML's."""
    try:
        document = json.loads(source.read(file, max_bytes=MAX_JSON_BYTES))
    except (ValueError, RecursionError, Unusable) as error:
        raise SourceError("not a CreateML file", got=str(error)[:200], where=file) from error
    if not isinstance(document, list) or not all(isinstance(item, dict) for item in document):
        raise SourceError("not a CreateML file", expected="a list of pictures with `annotations`", where=file)
    return document


def _refuse_shares(items: list[Mapping[str, Any]], file: str) -> None:
    """Raises SourceError where most boxes are shares of the picture."""
    numbers = [_numbers(each) for item in items for each in _boxes(item)]
    known = [each for each in numbers if each is not None]
    refuse_shares(np.array(known, dtype=np.float64).reshape(-1, 4), where=file)


def _boxes(item: Mapping[str, Any]) -> list[Any]:
    found: Any = next((item[key] for key in _BOXES_KEYS if key in item), [])
    return found if isinstance(found, list) else [found]


def _annotation(item: Mapping[str, Any], told: Findings, where: str) -> Annotation:
    return Annotation(without_repeats([_box(each) for each in _boxes(item)], told, where=where))


def _box(item: object) -> RawBox:
    numbers = _numbers(item)
    if numbers is None or not isinstance(item, dict) or not isinstance(item.get("label"), str):
        return RawBox("", NOWHERE, reason=f"not a label with coordinates x, y, width, height ({str(item)[:80]})")
    name = item["label"].strip()
    if max(map(abs, numbers)) <= 1:
        return RawBox(name, NOWHERE, reason=f"the box looks normalized ({str(item)[:80]})")
    return RawBox(name, as_corners(numbers, Frame.CENTER))


def _numbers(item: Any) -> Xyxy | None:
    """x y of the middle, width, height; None where they are not four finite numbers."""
    try:
        x, y, w, h = (float(item["coordinates"][side]) for side in _SIDES)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (x, y, w, h) if all(map(math.isfinite, (x, y, w, h))) else None
