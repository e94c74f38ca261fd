"""Objects told apart by their area, by hand; random scenes are held against pycocotools in `test_evaluate.py`."""

from __future__ import annotations

import pytest

from edgewright.detect.matching import match, meet
from edgewright.detect.sizes import match_by_size, size_figures
from edgewright.runtime.boxes import Boxes

SMALL, MEDIUM, LARGE = [0, 0, 10, 10], [100, 100, 150, 150], [200, 200, 400, 400]
BORDER = [0, 0, 32, 32]  # small and medium
FIGURES = {"small": SMALL, "medium": MEDIUM, "large": LARGE}


def figures(
    found: list[list[int]], truth: list[list[int]], ignored: list[list[int]] | None = None
) -> dict[str, object]:
    boxes = [Boxes.of(rows, class_id=[0] * len(rows)) for rows in (found, truth, ignored or [])]
    met = meet(*boxes)
    sized = match_by_size(met, match(met))
    return {name: (one.n_truth, one.map50) for name, part in sized.items() if (one := size_figures([[part]]))}


@pytest.mark.parametrize("size", FIGURES)
def test_an_object_counts_in_its_size_alone(size: str) -> None:
    found = figures([FIGURES[size]], list(FIGURES.values()))
    assert found == {name: (1, 1.0 if name == size else 0.0) for name in FIGURES}


def test_an_object_on_the_border_counts_on_both_sides() -> None:
    assert figures([BORDER], [BORDER]) == {"small": (1, 1.0), "medium": (1, 1.0), "large": (0, None)}


def test_a_stray_detection_is_a_false_alarm_in_its_own_size_alone() -> None:
    away = [[500, 500, 510, 510], SMALL, MEDIUM]  # equal scores: the stray one is ranked first
    assert figures(away, [SMALL, MEDIUM]) == {"small": (1, 0.5), "medium": (1, 1.0), "large": (0, None)}


def test_what_takes_an_object_of_another_size_is_neither_hit_nor_miss() -> None:
    """A detection of small area on a medium object: small objects are judged as if it were not there."""
    medium, taking, missing = [100, 100, 134, 134], [100, 100, 130, 132], [100, 100, 122, 122]  # IoU 0.83 and 0.42
    assert figures([taking, SMALL], [SMALL, medium])["small"] == (1, 1.0)
    assert figures([missing, SMALL], [SMALL, medium])["small"] == (1, 0.5)


def test_a_region_to_ignore_is_ignored_in_every_size() -> None:
    away = [500, 500, 510, 510]
    assert figures([away, SMALL], [SMALL], [[490, 490, 520, 520]])["small"] == (1, 1.0)
