"""Which real images a generator may see: those of the `train` split that are real and labeled. Nothing else, ever.

Refuses boxes that are ignored or under MIN_BOX_PX: nothing can be learned from them.
"""

from __future__ import annotations

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Label, Origin, Row, Split

MIN_BOX_PX = 4.0
"""Objects smaller than this, in px of either side, are neither learned from nor labeled (GENERATION 5.1)."""


def train_rows(dataset: Dataset) -> list[Row]:
    """Real labeled train images with a known size, in id order."""
    rows = dataset.select(split=Split.TRAIN, origin=Origin.REAL, labeled=True)
    return sorted((row for row in rows if row.width and row.height), key=lambda row: row.id)


def wh_of(row: Row) -> tuple[int, int]:
    """(width, height) px; (0, 0) where unknown."""
    return (row.width or 0, row.height or 0)


def whole_labels(row: Row) -> list[Label]:
    """The labels that count and are large enough to learn from."""
    return [label for label in row.labels if not label.ignore and min(side_px(label)) >= MIN_BOX_PX]


def side_px(label: Label) -> tuple[float, float]:
    """(width, height) px of a label's box."""
    x1, y1, x2, y2 = label.xyxy
    return (x2 - x1, y2 - y1)


def cut_sides(label: Label, wh: tuple[int, int]) -> tuple[bool, bool, bool, bool]:
    """Whether the frame cuts the object at its (left, top, right, bottom): its box comes within 1 % of that edge."""
    x1, y1, x2, y2 = label.xyxy
    near_px = max(1.0, max(wh) / 100)  # people draw the boxes of cut objects a few px inside the picture
    return (x1 <= near_px, y1 <= near_px, x2 >= wh[0] - near_px, y2 >= wh[1] - near_px)
