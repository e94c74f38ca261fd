"""Boxes on pictures: seen on any ground, the original untouched, nothing beyond the border."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.runtime.boxes import Boxes
from edgewright.runtime.draw import CLASS_COLORS, color_of, draw_boxes

GRAY = np.full((60, 80, 3), 120, np.uint8)


def rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[start : start + 2], 16) for start in (1, 3, 5))


def test_a_box_is_drawn_in_its_class_color_on_a_copy() -> None:
    before = GRAY.copy()
    drawn = draw_boxes(GRAY, Boxes.of([[20, 20, 50, 40]], class_id=[1]))
    assert np.array_equal(GRAY, before)
    assert tuple(drawn[20, 35]) == tuple(drawn[39, 35]) == tuple(drawn[30, 20]) == rgb(color_of(1))
    assert tuple(drawn[30, 35]) == (120, 120, 120)  # the inside stays


@pytest.mark.parametrize(
    "xyxy",
    [
        [0, 0, 80, 60],  # the whole picture
        [-20, -20, 200, 200],  # beyond it on every side
        [79.6, 59.6, 80, 60],  # a sliver in the corner
        [30, 30, 30, 30],  # no area
    ],
)
@pytest.mark.parametrize("classes", [(), ("a class with a long name",)])
def test_every_box_can_be_drawn(xyxy: list[float], classes: tuple[str, ...]) -> None:
    drawn = draw_boxes(GRAY, Boxes.of([xyxy], class_id=[0], score=[0.5]), classes=classes)
    assert drawn.shape == GRAY.shape
    assert not np.array_equal(drawn, GRAY)


def test_no_boxes_no_change() -> None:
    assert np.array_equal(draw_boxes(GRAY, Boxes.empty(), classes=("a",)), GRAY)


def test_the_strongest_lies_on_top() -> None:
    boxes = Boxes.of([[10, 10, 40, 40], [10, 10, 40, 40]], class_id=[0, 1], score=[0.9, 0.4])
    assert tuple(draw_boxes(GRAY, boxes)[25, 10]) == rgb(color_of(0))


def test_colors_are_distinct_and_light_enough_for_dark_text() -> None:
    assert len(set(CLASS_COLORS)) == len(CLASS_COLORS)
    for color in CLASS_COLORS:
        linear = [(value / 255) ** 2.2 for value in rgb(color)]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert (luminance + 0.05) / (0.006 + 0.05) > 4.5  # WCAG AA against the ink
