"""Picture grids: every cell in its place."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.errors import InputError
from edgewright.report.data import Picture
from edgewright.report.figures import grid
from edgewright.runtime.boxes import Boxes


def picture(wh: tuple[int, int], value: int = 90) -> Picture:
    return Picture(np.full((wh[1], wh[0], 3), value, np.uint8), Boxes.empty())


@pytest.mark.parametrize(
    ("n", "columns", "shape"),
    [
        (1, 4, (48, 64, 3)),  # one picture makes no empty columns
        (3, 2, (48 + 8 + 48, 64 + 8 + 64, 3)),  # the last row is filled up
        (4, 4, (48, 4 * 64 + 3 * 8, 3)),  # one full row
    ],
)
def test_shape(n: int, columns: int, shape: tuple[int, ...]) -> None:
    assert grid([picture((128, 96))] * n, columns=columns, cell_px=64).shape == shape


def test_mixed_formats_are_centered() -> None:
    made = grid([picture((64, 64)), picture((64, 32), 200)], columns=2, cell_px=64)
    assert made.shape == (64, 136, 3)
    assert (made[16:48, 72:] == 200).all()
    assert (made[:16, 72:] != 200).all()


def test_boxes_scale_with_their_picture() -> None:
    boxed = Picture(np.zeros((100, 100, 3), np.uint8), Boxes.of([[20, 20, 80, 80]], class_id=[0]))
    made = grid([boxed], columns=1, cell_px=50)
    assert made[10, 25].max() == 255
    assert made[25, 25].max() == 0


def test_nothing_is_refused() -> None:
    with pytest.raises(InputError):
        grid([], columns=4, cell_px=64)
