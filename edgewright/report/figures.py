"""Pictures of datasets, and grids of them as one image, for MLflow.

grid(pictures, columns=4, cell_px=192)      # (H, 4 * 192 + 3 gaps, 3) uint8
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as PillowImage

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.errors import InputError
from edgewright.report.data import Picture
from edgewright.runtime.boxes import Boxes, Image
from edgewright.runtime.draw import draw_boxes

_GAP_PX = 8
_PAPER = 18
"""Gray value between the pictures."""
_CLOSE_UP_TIMES, _CLOSE_UP_PX = 3, 96


def picture_of(dataset: Dataset, row: Row, *, caption: str = "") -> Picture:
    """A row's image with its counting labels."""
    return Picture(dataset.image(row), row.boxes, caption or row.id)


def close_up(image: Image, boxes: Boxes, *, caption: str) -> Picture:
    """The first box with its surroundings: a square of three times its longer side, 96 px at least."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = boxes.xyxy[0].tolist()
    side = min(max(_CLOSE_UP_TIMES * max(x2 - x1, y2 - y1), _CLOSE_UP_PX), max(width, height))
    left = round(min(max((x1 + x2 - side) / 2, 0), max(width - side, 0)))
    top = round(min(max((y1 + y2 - side) / 2, 0), max(height - side, 0)))
    cut = image[top : top + round(side), left : left + round(side)]
    return Picture(np.ascontiguousarray(cut), boxes.transform(scale=1.0, shift_xy=(-left, -top)), caption)


def grid(pictures: Sequence[Picture], *, columns: int, cell_px: int) -> Image:
    """(H, W, 3) uint8: pictures with their boxes, row by row, each `cell_px` wide at most and centered in its cell.

    Raises:
        InputError: no pictures, or no room for one.
    """
    if not pictures or columns < 1 or cell_px < 1:
        raise InputError("nothing to lay out", expected="pictures, columns and px of at least 1", got=len(pictures))
    columns = min(columns, len(pictures))
    cells = [_cell(picture, cell_px) for picture in pictures]
    rows = [_row(cells[start : start + columns], columns, cell_px) for start in range(0, len(cells), columns)]
    gap = np.full((_GAP_PX, rows[0].shape[1], 3), _PAPER, np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1])


def _cell(picture: Picture, cell_px: int) -> Image:
    """Scaled so that it fits a square of `cell_px`, then drawn on: lines stay crisp."""
    height, width = picture.image.shape[:2]
    scale = cell_px / max(height, width)
    wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = PillowImage.fromarray(picture.image).resize(wh, PillowImage.Resampling.LANCZOS)
    return draw_boxes(np.asarray(scaled), picture.boxes.transform(scale=scale).clip(wh), line_px=1 + (cell_px >= 320))


def _row(cells: Sequence[Image], columns: int, cell_px: int) -> Image:
    height = max(cell.shape[0] for cell in cells)
    row = np.full((height, columns * (cell_px + _GAP_PX) - _GAP_PX, 3), _PAPER, np.uint8)
    for number, cell in enumerate(cells):
        x = number * (cell_px + _GAP_PX) + (cell_px - cell.shape[1]) // 2
        y = (height - cell.shape[0]) // 2
        row[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return row
