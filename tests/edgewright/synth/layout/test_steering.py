"""Steering: each input moves the statistic it names, as far as it says, and 0 moves nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.data.rows import Label, Row
from edgewright.errors import InputError
from edgewright.synth.layout.layouts import LayoutModel, fit_layouts, sample_layout
from edgewright.synth.layout.steering import Steering, steer, target_frequencies

CLASSES = ("bolt", "nut", "absent")
WH = (200, 120)


def row(index: int) -> Row:
    """Nine bolts and a nut; the last five pictures hold three nuts alone."""
    kinds = [1] * 3 if index >= 15 else [0] * 9 + [1]
    rng = np.random.default_rng(index)
    boxes = [(kind, float(rng.uniform(5, 170)), float(rng.uniform(5, 95))) for kind in kinds]
    labels = tuple(Label(number, kind, (x, y, x + 20, y + 15)) for number, (kind, x, y) in enumerate(boxes))
    return Row(id=f"{index}.png", sha256="", width=WH[0], height=WH[1], labels=labels, state="human")


@pytest.fixture(scope="module")
def model() -> LayoutModel:
    return fit_layouts([row(index) for index in range(20)], classes=CLASSES)


def steering(model: LayoutModel, *, balance: float = 0.0, hard_share: float = 0.0, **hard: float) -> Steering:
    weights = {f"{name[1:]}.png": weight for name, weight in hard.items()}
    return steer(model.objects_by_class, model.sources, class_balance=balance, hard_share=hard_share, hard=weights)


def shares(model: LayoutModel, steered: Steering) -> dict[int, float]:
    counts = Counter(
        item.class_id
        for seed in range(600)
        for item in sample_layout(model, wh=WH, rng=np.random.default_rng(seed), steering=steered)
    )
    return {class_id: count / counts.total() for class_id, count in sorted(counts.items())}


def test_without_steering_nothing_is_drawn_for_it(model: LayoutModel) -> None:
    for seed in range(50):
        one, other = np.random.default_rng(seed), np.random.default_rng(seed)
        plain = sample_layout(model, wh=WH, rng=one)
        assert sample_layout(model, wh=WH, rng=other, steering=steering(model)) == plain
        assert one.random() == other.random(), "the generator stands where it stood without"


def test_class_balance_moves_the_class_frequencies_to_where_it_says(model: LayoutModel) -> None:
    real = np.array(model.objects_by_class, np.float64)
    for balance in (0.0, 0.5, 1.0):
        target = target_frequencies(real, balance)
        found = shares(model, steering(model, balance=balance))
        assert found[1] == pytest.approx(target[1], abs=0.04), balance
    assert set(found) == {0, 1}, "a class without an object is never drawn"
    assert found[1] == pytest.approx(0.5, abs=0.04)


@given(
    counts=st.lists(st.integers(0, 500), min_size=1, max_size=6).filter(lambda found: sum(found) > 0),
    balance=st.floats(0, 1),
)
def test_exchanges_turn_the_real_frequencies_into_the_target(counts: list[int], balance: float) -> None:
    real, found = np.array(counts, np.float64), steer(counts, (), class_balance=balance, hard_share=0, hard={})
    leaving = np.array(found.exchange_share) * real / real.sum()
    arriving = np.diff([0.0, *found.exchange_ends]) * leaving.sum() if found.exchange_ends else np.zeros(len(counts))
    assert real / real.sum() - leaving + arriving == pytest.approx(target_frequencies(real, balance), abs=1e-6)
    assert all(count > 0 or share == 0 for count, share in zip(counts, arriving, strict=True))


def test_hard_pictures_are_drawn_as_often_as_their_weight_and_the_share_say(model: LayoutModel) -> None:
    wanted = steering(model, hard_share=0.6, _0=3.0, _1=0.0, _2=1.0)
    rng = np.random.default_rng(0)
    drawn = Counter(wanted.draw_picture(20, rng) for _ in range(6000))
    assert drawn[0] / 6000 == pytest.approx(0.6 * 3 / 4 + 0.4 / 20, abs=0.02)
    assert drawn[1] / 6000 == pytest.approx(0.4 / 20, abs=0.01), "weight 0: only the unsteered share"
    assert drawn[2] / 6000 == pytest.approx(0.6 * 1 / 4 + 0.4 / 20, abs=0.02)
    assert drawn[3] / 6000 == pytest.approx(0.4 / 20, abs=0.01), "no score: weight 0, where others have one"
    unscored = steering(model, hard_share=1.0)
    drawn = Counter(unscored.draw_picture(20, rng) for _ in range(6000))
    assert min(drawn.values()) > 200 and len(drawn) == 20, "no scores at all: all alike"


def test_hard_pictures_show_in_the_layouts(model: LayoutModel) -> None:
    hard = {f"_{index}": 50.0 for index in range(15, 20)}
    plain, steered = shares(model, steering(model)), shares(model, steering(model, hard_share=1.0, **hard))
    assert steered[1] > 3 * plain[1]


@pytest.mark.parametrize("weights", [{"_0": -1.0}, {"_0": float("nan")}, {f"_{index}": 0.0 for index in range(20)}])
def test_what_is_no_weight_is_an_input_error(model: LayoutModel, weights: dict[str, float]) -> None:
    with pytest.raises(InputError, match="is no weight"):
        steering(model, hard_share=0.5, **weights)
    steering(model, hard_share=0.0, **weights)  # nobody asked for hard pictures: the scores are not read
