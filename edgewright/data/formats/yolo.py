"""YOLO: one text file an image, `labels/x.txt` for `images/x.jpg` (or beside it), a line a box: class x y w h.

Decides: the class list by the folder of the labels (`yolo_classes`); what a line's columns mean for the whole set
(`yolo_kinds`); polygon lines are read as masks with the box around them; an empty label file is a background picture; a
confidence, keypoints and the turn of a rotated box are left out, which is told. Refuses line by line what is not
clearly one of these, and as a whole a set in px, in corners, or whose ids count from 1. Written are polygons where
every label of a picture has a mask, else boxes: a reader takes a file for one or the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from edgewright.data.dataset import Dataset
from edgewright.data.findings import Findings
from edgewright.data.formats.annotation import (
    MAX_LABEL_BYTES,
    NOWHERE,
    Annotation,
    Labels,
    RawBox,
    class_list,
    without_repeats,
)
from edgewright.data.formats.foreign import foreign_format
from edgewright.data.formats.frames import Frame, as_corners, refuse_frame
from edgewright.data.formats.pairing import Pairs, pair_by_name, require_a_pair
from edgewright.data.formats.yolo_classes import ClassList, find_lists, is_name_file, names_for
from edgewright.data.formats.yolo_kinds import Kind, Kinds, judge_columns
from edgewright.data.formats.yolo_lines import MAX_SHARE, Line, is_number, looks_like_labels, read_lines
from edgewright.data.polygons import outline_of
from edgewright.data.rle import decode_mask
from edgewright.data.rows import Label, LabelState, Row, Split
from edgewright.data.sources import Source, Unusable
from edgewright.errors import SourceError

_HEAD_BYTES = 65_536
_LEFT_OUT = {
    Kind.SCORED: "label lines with a sixth column, taken for a confidence and left out",
    Kind.POSE: "label lines with keypoints, of which the box is taken",
    Kind.ROTATED: "label lines of four corners, of which the upright box around them is taken",
}
Files = Mapping[str, tuple[Line, ...]]


def detect(source: Source) -> bool:
    """A text file that pairs with an image and is empty, or any with a label line."""
    pairs = pair_by_name(source.images, _texts(source))
    paired = sorted(pairs.label_of.values())
    return any(_is_blank(source, file) or _is_label_file(source, file) for file in paired) or any(
        _is_label_file(source, file) for file in sorted(pairs.unpaired)
    )


def read(source: Source, configured: tuple[str, ...]) -> Labels:
    told = Findings()
    pairs = pair_by_name(source.images, _texts(source), told=told)
    unpaired = {file: why for file, why in pairs.unpaired.items() if _is_label_file(source, file)}
    require_a_pair(pairs.taken, source.images, unpaired, where=source.where)
    lines, unreadable = _read_all(source, pairs)
    lists = find_lists(source)
    list_of = names_for(lines, lists, configured=configured, where=source.where)
    used = _distinct([*list_of.values()] or lists, told)
    read = {file: Annotation(reason=reason) for file, reason in unreadable.items()}
    for one in used:
        read |= _annotations({file: lines[file] for file, its in list_of.items() if its == one}, one, told)
    written = list(dict.fromkeys(name for one in used for name in class_list(one.names, (), where=one.file)))
    return Labels(
        class_list(written, configured, where=source.where),
        {image: Annotation(reason=reason) for image, reason in pairs.refused.items()}
        | {image: read[file] for image, file in pairs.label_of.items()},
        frozenset(pairs.label_of.values()),
        unpaired,
        class_source=", ".join(one.file for one in used) or "ingest.classes",
        class_files=frozenset(one.file for one in lists),
        findings=tuple(told),
    )


def write(dataset: Dataset, named: Sequence[tuple[str, Row]], out: Path) -> None:
    """`images/<split>/`, `labels/<split>/`, `data.yaml`. YOLO knows no ignore regions: they are not written.

    `data.yaml` has no `path`: ultralytics then looks beside the file, wherever the command is given and the folder
    lies.
    """
    for split in Split:
        for folder in ("images", "labels"):
            (out / folder / split).mkdir(parents=True)
    outlined = False
    for name, row in named:
        (out / "images" / row.split / name).write_bytes(dataset.payload(row))
        if row.state != LabelState.UNLABELED:
            file = out / "labels" / row.split / f"{PurePosixPath(name).stem}.txt"
            file.write_text("".join(_lines(row)))
            outlined = outlined or _has_outlines(row)
    splits = "".join(f"{split}: images/{split}\n" for split in Split)
    entries = "".join(f"  {index}: {json.dumps(name)}\n" for index, name in enumerate(dataset.classes))
    names = f"names:\n{entries}" if entries else "names: {}\n"
    (out / "data.yaml").write_text(f"task: {'segment' if outlined else 'detect'}\n{splits}{names}")


@dataclass(frozen=True)
class _Scale:
    """What a set's lines mean, all of one class list."""

    names: tuple[str, ...]
    kinds: Kinds

    def box(self, line: Line) -> RawBox:
        """One line, or why it is refused."""
        if line.fault:
            return _refused(line, line.fault)
        class_id = _class_id(line.name, self.names)
        if isinstance(class_id, str):
            return _refused(line, class_id)
        kind = self.kinds[line.columns]
        if not isinstance(kind, Kind):
            return _refused(line, kind)
        if _in_px(line, kind):
            return _refused(line, "numbers in px, not shares of the picture")
        if kind in (Kind.POLYGON, Kind.ROTATED):
            xs, ys = line.numbers[::2], line.numbers[1::2]
            polygons = (line.numbers,) if kind is Kind.POLYGON else ()
            return RawBox(self.names[class_id], (min(xs), min(ys), max(xs), max(ys)), polygons=polygons)
        x, y, w, h = line.numbers[:4]
        return RawBox(self.names[class_id], as_corners((x, y, w, h), Frame.CENTER))


def _annotations(files: Files, one: ClassList, told: Findings) -> dict[str, Annotation]:
    """The files of one class list, judged together. Raises SourceError where all of them mean something else."""
    located = [(file, line) for file, lines in files.items() for line in lines if not line.fault]
    scale = _Scale(one.names, judge_columns([line for _, line in located], one.declared))
    _refuse_ids_from_1(located, one)
    _refuse_px(located, scale.kinds)
    _refuse_other_frames(located, scale.kinds)
    for file, line in located:
        kind = scale.kinds[line.columns]
        if isinstance(kind, Kind) and kind in _LEFT_OUT:
            told.add(_LEFT_OUT[kind], example=f"{file} line {line.number}")
    return {
        file: Annotation(without_repeats(_one_kind(lines, scale), told, where=file), relative=True)
        for file, lines in files.items()
    }


def _one_kind(lines: Sequence[Line], scale: _Scale) -> list[RawBox]:
    """A file of polygons holds no boxes: a line of five columns may be a polygon of two points there."""
    polygons = any(scale.kinds.get(line.columns) is Kind.POLYGON for line in lines if not line.fault)
    mixed = "five columns in a file of polygons: a box, or a polygon of two points"
    return [
        _refused(line, mixed) if polygons and not line.fault and line.columns == 5 else scale.box(line)
        for line in lines
    ]


def _refuse_ids_from_1(located: Sequence[tuple[str, Line]], one: ClassList) -> None:
    ids = {float(line.name): (file, line) for file, line in located if is_number(line.name)}
    if not ids or min(ids) < 1 or max(ids) < len(one.names):
        return
    file, line = ids[max(ids)]
    raise SourceError(
        f"no id 0, id {max(ids):g} out of range: are ids counted from 1?",
        expected=f"ids from 0 to {len(one.names) - 1} for {', '.join(one.names)}",
        got=repr(line.text),
        where=f"{file} line {line.number}",
        next_step=f"subtract 1 from every id, or name what id 0 is in {one.file}",
    )


def _refuse_px(located: Sequence[tuple[str, Line]], kinds: Kinds) -> None:
    known = [(file, line, kind) for file, line in located if isinstance(kind := kinds[line.columns], Kind)]
    in_px = [(file, line) for file, line, kind in known if _in_px(line, kind)]
    if not in_px or len(in_px) < 0.5 * len(known):
        return
    file, line = in_px[0]
    raise SourceError(
        "boxes in px, not in shares of the picture",
        expected="numbers in [0, 1]",
        got=repr(line.text),
        where=f"{file} line {line.number}",
        next_step="divide x and w by the picture's width, y and h by its height, or bring COCO or VOC",
    )


def _refuse_other_frames(located: Sequence[tuple[str, Line]], kinds: Kinds) -> None:
    kept = (Kind.BOX, Kind.SCORED, Kind.POSE)
    boxes = [(file, line.numbers[:4]) for file, line in located if kinds[line.columns] in kept]
    boxes = [(file, numbers) for file, numbers in boxes if max(map(abs, numbers)) <= MAX_SHARE]
    if boxes:
        numbers = np.array([numbers for _, numbers in boxes])
        next_step = "write x y w h with x y in the middle of the box, all as shares of the picture"
        refuse_frame(numbers, np.ones((len(boxes), 2)), Frame.CENTER, where=boxes[0][0], next_step=next_step)


def _in_px(line: Line, kind: Kind) -> bool:
    numbers = line.numbers[:4] if kind in (Kind.BOX, Kind.SCORED, Kind.POSE) else line.numbers
    return max(map(abs, numbers)) > MAX_SHARE


def _class_id(word: str, names: Sequence[str]) -> int | str:
    """An id, `0` or `0.0`, or the class's name; else why it is neither."""
    if not is_number(word):
        return names.index(word) if word in names else f"unknown class {word!r}"
    value = float(word)
    if not value.is_integer():
        return f"class id {word} is not a whole number"
    return (
        int(value) if 0 <= value < len(names) else f"class id {value:g} is out of range: there are {len(names)} classes"
    )


def _refused(line: Line, why: str) -> RawBox:
    return RawBox("", NOWHERE, reason=line.refuse(why))


def _read_all(source: Source, pairs: Pairs) -> tuple[dict[str, tuple[Line, ...]], dict[str, str]]:
    """The paired label files' lines, and why some files have none."""
    lines: dict[str, tuple[Line, ...]] = {}
    unreadable: dict[str, str] = {}
    for file in pairs.label_of.values():
        try:
            lines[file] = read_lines(source.read(file, max_bytes=MAX_LABEL_BYTES))
        except Unusable as error:
            unreadable[file] = f"{file}: {error}"
    return lines, unreadable


def _distinct(lists: Sequence[ClassList], told: Findings) -> list[ClassList]:
    """Each list once, by its file. That they differ is told."""
    by_file = {one.file: one for one in lists}
    found = [by_file[file] for file in sorted(by_file)]
    if len({one.names for one in found}) > 1:
        example = " and ".join(f"{one.file}: [{', '.join(one.names)}]" for one in found[:2])
        told.add("class lists, each for the labels of its folder", example=example, count=len(found))
    return found


def _texts(source: Source) -> list[str]:
    return [name for name in source.named(".txt") if not is_name_file(name)]


def _is_blank(source: Source, file: str) -> bool:
    return not source.head(file, max_bytes=_HEAD_BYTES).strip()


def _is_label_file(source: Source, file: str) -> bool:
    head = source.head(file, max_bytes=_HEAD_BYTES)
    return looks_like_labels(head, cut=len(head) == _HEAD_BYTES) and foreign_format(".txt", head) is None


def _has_outlines(row: Row) -> bool:
    counting = [label for label in row.labels if not label.ignore]
    return bool(counting) and all(label.mask for label in counting)


def _lines(row: Row) -> list[str]:
    metrics_of = _polygon if _has_outlines(row) else _center_box
    return [
        f"{label.class_id} " + " ".join(f"{number:.8f}" for number in metrics_of(label, row)) + "\n"
        for label in row.labels
        if not label.ignore
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
