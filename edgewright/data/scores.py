"""Scores that a person or a fleet gives to photographs: how hard each of them is, so that data can be made like it.

Decides the format: CSV with the head line `id,hard`, ids as in the dataset's index, scores in [0, 1]. Refuses a line
that says anything else, an id twice, and ids that the dataset does not have.

    scores = read_scores("hard.csv")                   # {"line1/0007.jpg": 0.9}
    require_known(scores, ids, where="hard.csv")
    row = scored(row, scores)                          # row.scores["hard"] == 0.9
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgewright.data.rows import Row
from edgewright.errors import SourceError

HARD_SCORE = "hard"
"""The score of a row that says how much more of its like is wanted."""
_HEAD = ["id", HARD_SCORE]


def read_scores(path: str) -> dict[str, float]:
    """Score by image id; none where the path is empty. Raises SourceError: unreadable, or naming the line."""
    if not path:
        return {}
    try:
        lines = list(csv.reader(Path(path).read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            "the scores cannot be read", got=error, where=path, next_step="correct ingest.scores"
        ) from error
    if not lines or lines[0] != _HEAD:
        raise _bad(path, 1, expected=f"the head line {','.join(_HEAD)}", got=lines[0] if lines else "nothing")
    scores: dict[str, float] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        name, value = _entry(line, path=path, number=number)
        if name in scores:
            raise _bad(path, number, expected="every id once", got=name)
        scores[name] = value
    return scores


def require_known(scores: Mapping[str, float], ids: Collection[str], *, where: str) -> None:
    """Raises SourceError where a score is of no image."""
    unknown = sorted(scores.keys() - set(ids))
    if unknown:
        raise SourceError(
            f"{len(unknown)} of {len(scores)} scores are of no image",
            expected=f"ids as in the index, such as {min(ids, default='none')}",
            got=", ".join(unknown[:3]),
            where=where,
            next_step="write the relative path of each image within the source",
        )


def scored(row: Row, scores: Mapping[str, float]) -> Row:
    """The row with its score, if it has one."""
    return replace(row, scores={**row.scores, HARD_SCORE: scores[row.id]}) if row.id in scores else row


def _entry(line: Sequence[str], *, path: str, number: int) -> tuple[str, float]:
    try:
        name, text = line
        value = float(text)
    except ValueError as error:
        raise _bad(path, number, expected="an id and a number", got=",".join(line)) from error
    if not name or not 0 <= value <= 1 or math.isnan(value):
        raise _bad(path, number, expected="an id and a score in [0, 1]", got=",".join(line))
    return name, value


def _bad(path: str, number: int, *, expected: str, got: object) -> SourceError:
    return SourceError("not a file of scores", expected=expected, got=got, where=f"{path} line {number}")
