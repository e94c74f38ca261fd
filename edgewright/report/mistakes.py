"""Close-ups of what a detector gets wrong, and its confusion matrix as a table.

Decides which mistakes are looked at: one of each image in turn, the worst first, so that one bad photograph does not
fill the page. Refuses nothing: a mistake whose photograph is gone is left out.

    shown = show_mistakes(mistakes, dataset, n=8)
    confusion_rows(mistakes)[0].cells
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.data.dataset import Dataset
from edgewright.detect.mistakes import Mistake, Mistakes
from edgewright.report.data import MistakesShown, Picture
from edgewright.report.figures import close_up
from edgewright.runtime.boxes import Boxes

MAX_CLASSES = 12
"""A wider matrix is no table to read: the classes with the most mistakes are shown."""
_MISSED, _NOTHING = "missed", "nothing there"


@dataclass(frozen=True)
class ConfusionCell:
    """Attributes: share: of its row, in [0, 1]; right: on the diagonal."""

    count: int
    share: float
    right: bool


@dataclass(frozen=True)
class ConfusionRow:
    """Objects of one class by what they were found as; the last row is what was found where nothing is."""

    name: str
    cells: tuple[ConfusionCell, ...]


def show_mistakes(mistakes: Mistakes, dataset: Dataset, *, n: int) -> MistakesShown:
    """At most `n` close-ups of either kind."""
    misses = [_picture(each, mistakes, dataset, missed=True) for each in _in_turn(mistakes.misses)]
    alarms = [_picture(each, mistakes, dataset, missed=False) for each in _in_turn(mistakes.false_alarms)]
    shown = ([picture for picture in pictures if picture][:n] for pictures in (misses, alarms))
    return MistakesShown(mistakes, *shown)


def shown_classes(mistakes: Mistakes) -> list[int]:
    """The classes of the table: all of them, or those with the most mistakes, in their own order."""
    wrong = [sum(row) - row[number] for number, row in enumerate(mistakes.matrix[:-1])]
    worst = sorted(range(len(wrong)), key=lambda number: -wrong[number])[:MAX_CLASSES]
    return sorted(worst)


def confusion_head(mistakes: Mistakes) -> list[str]:
    return [*(mistakes.classes[number] for number in shown_classes(mistakes)), _MISSED]


def confusion_rows(mistakes: Mistakes) -> list[ConfusionRow]:
    """One a shown class, and what was found where nothing is."""
    nothing = len(mistakes.classes)
    columns = [*shown_classes(mistakes), nothing]
    rows = []
    for number in columns:
        counts = mistakes.matrix[number]
        total = max(1, sum(counts))
        cells = tuple(
            ConfusionCell(counts[column], counts[column] / total, right=column == number != nothing)
            for column in columns
        )
        rows.append(ConfusionRow(_NOTHING if number == nothing else mistakes.classes[number], cells))
    return rows


def _in_turn(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """The worst of each image, then the second worst of each."""
    seen: dict[str, int] = {}
    rank = []
    for each in mistakes:
        seen[each.image] = seen.get(each.image, 0) + 1
        rank.append(seen[each.image])
    return [mistakes[index] for index in sorted(range(len(mistakes)), key=lambda index: rank[index])]


def _picture(mistake: Mistake, mistakes: Mistakes, dataset: Dataset, *, missed: bool) -> Picture | None:
    row = next((row for row in dataset.rows if row.id == mistake.image), None)
    if row is None:
        return None
    x1, y1, x2, y2 = mistake.xyxy
    name = mistakes.classes[mistake.class_id]
    what = f"{name}, {x2 - x1:.0f} × {y2 - y1:.0f} px" if missed else f"{name} {mistake.score:.2f}"
    boxes = Boxes.of([mistake.xyxy], class_id=[mistake.class_id])
    return close_up(dataset.image(row), boxes, caption=f"{what}, {mistake.image}")
