"""Close-ups show what was wrong, and the table of confusions stays readable."""

from __future__ import annotations

import numpy as np

from edgewright.detect.mistakes import Mistakes
from edgewright.report.figures import close_up
from edgewright.report.mistakes import MAX_CLASSES, confusion_head, confusion_rows, shown_classes
from edgewright.report.pictures import place_labels
from edgewright.runtime.boxes import Boxes

MISTAKES = Mistakes(("bolt", "nut"), 0.25, ((40, 1, 4), (6, 20, 2), (3, 1, 0)), (), (), 6, 5, 4)


def test_a_row_is_a_class_and_its_shares_are_of_the_row() -> None:
    rows = confusion_rows(MISTAKES)
    assert confusion_head(MISTAKES) == ["bolt", "nut", "missed"]
    assert [row.name for row in rows] == ["bolt", "nut", "nothing there"]
    assert [cell.count for cell in rows[1].cells] == [6, 20, 2]
    assert rows[1].cells[0].share == 6 / 28
    assert [[cell.right for cell in row.cells] for row in rows] == [
        [True, False, False],
        [False, True, False],
        [False, False, False],
    ]


def test_of_many_classes_those_with_mistakes_are_shown() -> None:
    n = MAX_CLASSES + 8
    matrix = np.diag([5] * n + [0])
    matrix[n - 1, -1] = 7
    many = Mistakes(tuple(f"c{i}" for i in range(n)), 0.25, tuple(map(tuple, matrix.tolist())), (), (), 7, 0, 0)
    assert len(shown_classes(many)) == MAX_CLASSES
    assert n - 1 in shown_classes(many)
    assert len(confusion_rows(many)[0].cells) == MAX_CLASSES + 1


def test_a_close_up_keeps_the_box_on_its_object() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[150:160, 280:295] = 255
    shown = close_up(image, Boxes.of([[280, 150, 295, 160]], class_id=[0]), caption="nut")
    x1, y1, x2, y2 = (int(value) for value in shown.boxes.xyxy[0])
    assert shown.image.shape == (96, 96, 3)
    assert (shown.image[y1:y2, x1:x2] == 255).all()
    assert shown.image.sum() == image.sum()


def test_a_close_up_of_a_small_picture_is_the_picture() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    assert close_up(image, Boxes.of([[0, 0, 30, 20]], class_id=[0]), caption="").image.shape == (20, 30, 3)


def test_labels_do_not_cover_each_other() -> None:
    """A pile of boxes in one place: each label has a place of its own, or none."""
    boxes = [[0.3 + 0.01 * i, 0.4, 0.6, 0.6] for i in range(12)]
    sides = place_labels(boxes, ["nut 0.87"] * 12, ratio=1.0)
    assert len({side for side in sides if side is not None}) == sum(side is not None for side in sides)
    assert sides[0] == ""
    assert None in sides


def test_a_label_stays_in_the_picture() -> None:
    assert place_labels([[0.0, 0.0, 0.2, 0.2]], ["nut"], ratio=1.0) == ["in"]
    assert place_labels([[0.95, 0.0, 1.0, 1.0]], ["a long name"], ratio=1.0) == ["in end"]
