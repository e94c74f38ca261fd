"""What the columns of a YOLO set's label lines are: boxes, polygons, poses or rotated boxes, with a confidence or not.

Decides for a whole set, because one line of 13 columns is a polygon of six corners as well as a box and four keypoints:
by what `data.yaml` says (`kpt_shape`, `task`), else by how many columns all lines have. Refuses lines that are not
clearly of one kind, with the words that would say so, and lines of another kind than the set's.

>>> said = Declared(kpt_shape=(4, 2))
>>> judge_columns([Line(1, "", "0", (0.5,) * 12)], said)[13]
<Kind.POSE: 'a box and keypoints'>
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from edgewright.data.formats.frames import Frame, as_corners, fitting_share
from edgewright.data.formats.yolo_lines import Line
from edgewright.data.rows import spread

TASKS = ("detect", "segment", "pose", "obb")
LIKE_A_BOX_SHARE = 0.9
"""Of lines whose first four numbers are a box in the picture: of keypoint labels nearly all, of polygons about half."""
REGULAR_SHARE = 0.9
"""Of lines that have one of the two most frequent lengths: polygons drawn by hand have many lengths."""
HOLDING_SHARE = 0.5
"""Of lines whose box holds all their keypoints: some keypoints lie outside of their box."""
_LOOKED_AT = 1000
_BOX, _SCORED, _ROTATED = 5, 6, 9


class Kind(StrEnum):
    BOX = "a box"
    SCORED = "a box and a confidence"
    POLYGON = "a polygon"
    POSE = "a box and keypoints"
    ROTATED = "four corners"


@dataclass(frozen=True)
class Declared:
    """What `data.yaml` says of the labels. Attributes: kpt_shape: keypoints a box, numbers a keypoint."""

    task: str = ""
    kpt_shape: tuple[int, int] | None = None


Kinds: TypeAlias = Mapping[int, Kind | str]
"""Columns => what they are, or why it cannot be said."""


def judge_columns(lines: Sequence[Line], declared: Declared) -> Kinds:
    """By the number of columns, for all that occur."""
    counts = Counter(line.columns for line in lines)
    if declared.kpt_shape is not None:
        keypoints, numbers = declared.kpt_shape
        return _all_but(counts, {_BOX + keypoints * numbers: Kind.POSE}, f"kpt_shape is [{keypoints}, {numbers}]")
    if declared.task == "obb":
        return _all_but(counts, {_ROTATED: Kind.ROTATED}, "the task is obb")
    if declared.task == "pose":
        return _poses(counts)
    kinds = {_BOX: Kind.BOX, _SCORED: _scored(lines)}
    if declared.task in ("detect", "segment"):
        return {columns: kinds.get(columns) or _polygon(columns) for columns in counts}
    long = {columns: count for columns, count in counts.items() if columns > _SCORED}
    if sum(long.values()) > counts[_BOX] + counts[_SCORED]:
        return {**_long(lines, Counter(long)), **_others(counts, long, "longer lines")}
    return {**{columns: kinds[columns] for columns in counts.keys() - long}, **_others(long, (), "boxes")}


def _all_but(counts: Mapping[int, int], kinds: Mapping[int, Kind], said: str) -> Kinds:
    expected = " or ".join(map(str, kinds))
    return {columns: kinds.get(columns) or f"{columns} columns instead of {expected}: {said}" for columns in counts}


def _others(counts: Mapping[int, int], long: Mapping[int, int] | tuple[()], most: str) -> dict[int, str]:
    """The lines of a mixture that are the fewer."""
    return {
        columns: f"{columns} columns in a set of {most}: say `task: detect`, `segment`, `pose` or `obb` in data.yaml"
        for columns in counts
        if columns not in long
    }


def _polygon(columns: int) -> Kind | str:
    if columns >= 7 and columns % 2:
        return Kind.POLYGON
    return f"{columns} columns are neither a box nor a polygon"


def _scored(lines: Sequence[Line]) -> Kind | str:
    """A sixth column may be an angle or a track: of those some are no share."""
    last = [line.numbers[-1] for line in lines if line.columns == _SCORED]
    return Kind.SCORED if all(0 <= value <= 1 for value in last) else "the sixth column is no confidence in [0, 1]"


def _poses(counts: Counter[int]) -> Kinds:
    """`task: pose` without `kpt_shape`: all lines have one length."""
    columns = next(iter(counts), 0)
    one = len(counts) == 1 and columns > _BOX and ((columns - _BOX) % 2 == 0 or (columns - _BOX) % 3 == 0)
    if one:
        return {columns: Kind.POSE}
    return dict.fromkeys(counts, "lines of several lengths for `task: pose`: say `kpt_shape` in data.yaml")


def _long(lines: Sequence[Line], counts: Counter[int]) -> Kinds:
    """Seven columns and more, and nobody says what they are."""
    chosen = [line for line in lines if line.columns in counts]
    if _may_be_poses(chosen, counts):
        return {columns: _pose_or_doubt(columns, chosen) for columns in counts}
    if list(counts) == [_ROTATED]:
        return {_ROTATED: Kind.ROTATED}
    return {columns: _polygon(columns) for columns in counts}


def _may_be_poses(lines: Sequence[Line], counts: Counter[int]) -> bool:
    """Lines as regular as keypoints make them, which begin with a box that holds the rest, whatever its frame."""
    if sum(count for _, count in counts.most_common(2)) < REGULAR_SHARE * len(lines):
        return False
    boxes = np.array([line.numbers[:4] for line in lines])
    fitting = [frame for frame in Frame if fitting_share(boxes, np.ones((len(boxes), 2)), frame) >= LIKE_A_BOX_SHARE]
    some = spread(lines, _LOOKED_AT)
    return any(sum(_holds_the_rest(line, frame) for line in some) >= HOLDING_SHARE * len(some) for frame in fitting)


def _holds_the_rest(line: Line, frame: Frame) -> bool:
    """Whether the first four numbers are a box around the points that follow; one at 0 0 is missing."""
    a, b, c, d = line.numbers[:4]
    x1, y1, x2, y2 = as_corners((a, b, c, d), frame)
    slack = 0.1 * max(x2 - x1, y2 - y1)
    return any(
        all(
            (x1 - slack <= x <= x2 + slack and y1 - slack <= y <= y2 + slack) or x == y == 0
            for x, y in zip(line.numbers[4::stride], line.numbers[5::stride], strict=True)
        )
        for stride in (2, 3)
        if (line.columns - _BOX) % stride == 0
    )


def _pose_or_doubt(columns: int, lines: Sequence[Line]) -> Kind | str:
    """Clear where every third number behind the box says how visible a keypoint is, and the line is no polygon."""
    same = [line for line in lines if line.columns == columns]
    keypoints, rest = divmod(columns - _BOX, 3)
    flags = rest == 0 and all(value in (0, 1, 2) for line in same for value in line.numbers[6::3])
    no_polygon = columns % 2 == 0 or any(max(line.numbers) > 1 for line in same)
    if flags and no_polygon:
        return Kind.POSE
    corners, two = (columns - 1) // 2, (columns - _BOX) // 2
    shape = f"[{keypoints}, 3]" if flags else f"[{two}, 2]"
    return (
        f"{columns} columns are a polygon of {corners} corners, or a box and keypoints: "
        f"say `task: segment` or `kpt_shape: {shape}` in data.yaml"
    )
