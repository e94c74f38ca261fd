"""A page that finds little says so, and always says what to do next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgewright.detect.mistakes import Mistakes
from edgewright.report.advice import Outcomes, next_steps, weakness

FEW = Mistakes(("bolt", "nut"), 0.25, ((40, 0, 2), (0, 30, 1), (1, 0, 0)), (), (), 3, 0, 1)
GOOD = Outcomes(
    mistakes=FEW,
    ap50={"bolt": 0.9, "nut": 0.8},
    n_train={"bolt": 300, "nut": 20},
    val_map50=(0.2, 0.9, 0.8),
    image_px=192,
)


@pytest.mark.parametrize(
    ("map50", "ap50", "said"),
    [
        (0.9, {"bolt": 0.9, "nut": 0.3}, ""),
        (0.9, {"bolt": 0.9, "nut": 0.29}, "Beware: 'nut' is hardly found (0.29)."),
        (0.49, {"bolt": 0.49}, "It finds little: mAP50 is under 0.5."),
        (None, {}, ""),
    ],
)
def test_a_detector_that_finds_little_is_no_success(map50: float | None, ap50: dict[str, float], said: str) -> None:
    assert weakness(map50, ap50) == said


def test_nothing_wrong_still_has_a_next_step() -> None:
    assert [step[:7] for step in next_steps(GOOD)] == ["Look at"]
    assert next_steps(replace(GOOD, simulated=True))[-1].startswith("Use photographs of your own")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mistakes": replace(FEW, n_missed=40, n_missed_small=32)}, "32 of 40 objects missed are smaller than 12 px"),
        (
            {"mistakes": replace(FEW, matrix=((30, 9, 3), (0, 30, 1), (0, 0, 0)))},
            "9 of 42 objects 'bolt' are taken for",
        ),
        ({"mistakes": replace(FEW, n_false=30)}, "30 detections of nothing beside 73 objects"),
        ({"ap50": {"bolt": 0.9, "nut": 0.2}}, "'nut' has 20 labeled objects to learn from"),
        ({"val_map50": (0.2, 0.5, 0.8)}, "raise train_detector.epochs"),
        ({"n_unlabeled": 12}, "12 photographs have no labels of people"),
    ],
)
def test_every_kind_of_mistake_asks_for_its_step(change: dict[str, object], said: str) -> None:
    first, *rest = next_steps(replace(GOOD, **change))  # type: ignore[arg-type]
    assert said in first
    assert len(rest) == 1


def test_everything_at_once_stays_short() -> None:
    bad = replace(FEW, n_missed=40, n_missed_small=32, n_false=30, matrix=((30, 9, 3), (0, 30, 1), (0, 0, 0)))
    assert len(next_steps(replace(GOOD, mistakes=bad, n_unlabeled=3, val_map50=(0, 1)))) == 4
