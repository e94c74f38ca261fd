"""YOLO: one text file an image, `labels/x.txt` for `images/x.jpg` (or beside it), a line a box: class x y w h.

Decides: class names come from a YAML file with `names`, else `classes.txt` or `obj.names`, else the recipe; polygon
lines are read as masks with the box around them; an empty label file is a background picture. A class id out of range
and a line that is neither are refused one by one, with their line. Written are polygons where every label of a picture
has a mask, else boxes: a reader takes a file for one or the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from edgewright.data.dataset import Dataset
from edgewright.data.formats.annotation import (
    MAX_LABEL_BYTES,
    Annotation,
    Labels,
    RawBox,
    class_list,
    pair_by_name,
    read_yaml,
)
from edgewright.data.polygons import outline_of
from edgewright.data.rle import decode_mask
from edgewright.data.rows import Label, LabelState, Row, Split
from edgewright.data.sources import Source, Unusable
from edgewright.errors import SourceError

_NAME_FILES = ("classes.txt", "obj.names")
_NOWHERE = (math.nan,) * 4


def detect(source: Source) -> bool:
    """A text file that pairs with an image and is empty, or any that begins with a label line."""
    pairs = pair_by_name(source.images, _texts(source))
    paired = sorted(pairs.label_of.values())[:200]
    if any(not source.head(file, max_bytes=1) for file in paired):
        return True
    return any(_looks_like_labels(source, file) for file in [*paired, *sorted(pairs.unpaired)[:200]])


def read(source: Source, configured: tuple[str, ...]) -> Labels:
    written = _written_names(source)
    names = written or list(configured)
    if not names:
        raise SourceError(
            "YOLO labels without class names",
            expected="data.yaml with `names`, or classes.txt",
            where=source.where,
            next_step="--set ingest.classes='[a, b]'",
        )
    pairs = pair_by_name(source.images, _texts(source))
    by_image = {image: Annotation(reason=reason) for image, reason in pairs.refused.items()}
    for image, file in pairs.label_of.items():
        try:
            by_image[image] = parse(source.read(file, max_bytes=MAX_LABEL_BYTES), names)
        except Unusable as error:
            by_image[image] = Annotation(reason=f"{file}: {error}")
    unpaired = {file: why for file, why in pairs.unpaired.items() if _looks_like_labels(source, file)}
    classes = class_list(written, configured, where=source.where)
    return Labels(classes, by_image, frozenset(pairs.label_of.values()), unpaired)


def parse(payload: bytes, names: Sequence[str]) -> Annotation:
    """One label file. Raises Unusable where it is not text."""
    try:
        text = payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable("not a text file", got=error) from error
    lines = [line.split() for line in text.splitlines() if line.strip()]
    return Annotation(tuple(_box(line, names) for line in lines), relative=True)


def write(dataset: Dataset, named: Sequence[tuple[str, Row]], out: Path) -> None:
    """`images/<split>/`, `labels/<split>/`, `data.yaml`. YOLO knows no ignore regions: they are not written."""
    for split in Split:
        for folder in ("images", "labels"):
            (out / folder / split).mkdir(parents=True)
    for name, row in named:
        (out / "images" / row.split / name).write_bytes(dataset.payload(row))
        if row.state != LabelState.UNLABELED:
            file = out / "labels" / row.split / f"{PurePosixPath(name).stem}.txt"
            file.write_text("".join(_lines(row)))
    head = "".join(f"{split}: images/{split}\n" for split in Split)
    entries = "".join(f"  {index}: {json.dumps(name)}\n" for index, name in enumerate(dataset.classes))
    (out / "data.yaml").write_text(f"path: .\n{head}names:\n{entries}" if entries else f"path: .\n{head}names: {{}}\n")


def _lines(row: Row) -> list[str]:
    counting = [label for label in row.labels if not label.ignore]
    metrics_of = _polygon if counting and all(label.mask for label in counting) else _center_box
    return [
        f"{label.class_id} " + " ".join(f"{number:.8f}" for number in metrics_of(label, row)) + "\n"
        for label in counting
    ]


def _center_box(label: Label, row: Row) -> list[float]:
    """x y w h, shares of the picture."""
    corners = np.array(label.xyxy).reshape(2, 2) / (row.width or 1, row.height or 1)
    return [*corners.mean(axis=0).tolist(), *(corners[1] - corners[0]).tolist()]


def _polygon(label: Label, row: Row) -> list[float]:
    """x y x y…, shares of the picture; parts and holes hang together by lines of no width."""
    width, height = row.width or 1, row.height or 1
    points = outline_of(decode_mask(label.mask, shape=(height, width))) / (width, height)
    numbers: list[float] = points.reshape(-1).tolist()
    return numbers


def _box(words: Sequence[str], names: Sequence[str]) -> RawBox:
    line = " ".join(words)[:80]
    try:
        class_id, numbers = int(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        return RawBox("", _NOWHERE, reason=f"not a label line: {line!r}")
    if not 0 <= class_id < len(names):
        reason = f"class id {class_id} is out of range: there are {len(names)} classes"
        return RawBox("", _NOWHERE, reason=reason)
    if len(numbers) == 4:
        x, y, w, h = numbers
        return RawBox(names[class_id], (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        xs, ys = numbers[::2], numbers[1::2]
        return RawBox(names[class_id], (min(xs), min(ys), max(xs), max(ys)), polygons=(tuple(numbers),))
    return RawBox(names[class_id], _NOWHERE, reason=f"a line of neither 5 numbers nor a polygon: {line!r}")


def _texts(source: Source) -> list[str]:
    return [name for name in source.named(".txt") if PurePosixPath(name).name not in _NAME_FILES]


def _looks_like_labels(source: Source, file: str) -> bool:
    """A first line of a whole number and four numbers or more; not a README, not a list of files."""
    words = source.head(file, max_bytes=4096).split(b"\n")[0].split()
    try:
        return len([float(word) for word in words]) >= 5 and words[0].isdigit()
    except ValueError:
        return False


def _written_names(source: Source) -> list[str]:
    for file in source.named(".yaml", ".yml"):
        document = read_yaml(source.read(file, max_bytes=MAX_LABEL_BYTES), where=file)
        if isinstance(document, dict) and "names" in document:
            return _yaml_names(document["names"], file)
    for file in source.files:
        if PurePosixPath(file).name in _NAME_FILES:
            text = source.read(file, max_bytes=MAX_LABEL_BYTES).decode("utf-8-sig", "replace")
            return [line.strip() for line in text.splitlines() if line.strip()]
    return []


def _yaml_names(value: object, file: str) -> list[str]:
    """`names: [a, b]` or `names: {0: a, 1: b}`."""
    if isinstance(value, dict) and sorted(value, key=str) == sorted(range(len(value)), key=str):
        value = [value[index] for index in range(len(value))]
    if not isinstance(value, list) or not all(isinstance(name, str | int) for name in value):
        raise SourceError("`names` is not a class list", expected="[a, b] or {0: a, 1: b}", where=file)
    return [str(name) for name in value]
