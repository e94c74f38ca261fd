"""Layout distances: nothing between halves of one set, much where one statistic alone was moved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.data.rows import Label, Row
from edgewright.errors import InputError
from edgewright.synth.layout.distance import LayoutBox, LayoutDistance, layout_of, measure_layouts, wasserstein

Layouts = list[list[LayoutBox]]
NAMES = {"class_frequency", "objects", "log_size", "log_aspect", "position_x", "position_y", "overlap"}


def layouts(
    *,
    seed: int,
    rare: float = 0.2,
    count: int = 5,
    side: float = 0.1,
    aspect: float = 1.0,
    shift_x: float = 0.0,
    shift_y: float = 0.0,
) -> Layouts:
    """60 pictures of 3 to `count` + 2 objects of two classes, drawn apart from each other."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(60):
        layout = []
        for cell in rng.permutation(16)[: int(rng.integers(3, count + 3))]:
            x = (cell % 4) * 0.2 + rng.uniform(0, 0.05) + shift_x
            y = (cell // 4) * 0.2 + rng.uniform(0, 0.05) + shift_y
            w = side * float(np.exp(rng.normal(0, 0.1))) * aspect
            layout.append(LayoutBox(int(rng.random() < rare), (x, y, x + w, y + w / aspect**2)))
        made.append(layout)
    return made


def by_name(found: tuple[LayoutDistance, ...]) -> dict[str, LayoutDistance]:
    return {item.name: item for item in found}


def measured(synthetic: Layouts, real: Layouts) -> dict[str, LayoutDistance]:
    return by_name(measure_layouts(synthetic, real, rounds=40, rng=np.random.default_rng(0)))


def test_other_pictures_of_the_same_kind_are_within_the_baseline() -> None:
    found = measured(layouts(seed=1), layouts(seed=0))
    assert set(found) == NAMES
    assert {item.n for item in found.values()} == {30}
    for item in found.values():
        assert 0 <= item.value <= item.baseline_q95 * 1.3 + 1e-9, item


def doubled(made: Layouts) -> Layouts:
    """Every object once more, nearly at its own place."""
    shifted = [[LayoutBox(i.class_id, tuple(v + 0.02 for v in i.xyxy)) for i in layout] for layout in made]  # type: ignore[arg-type]
    return [one[: len(one) // 2] + other[: len(one) - len(one) // 2] for one, other in zip(made, shifted, strict=True)]


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        (lambda: layouts(seed=1, rare=0.7), {"class_frequency"}),
        (lambda: layouts(seed=1, count=12), {"objects"}),
        (lambda: layouts(seed=1, side=0.14), {"log_size"}),
        (lambda: layouts(seed=1, aspect=1.4), {"log_aspect"}),
        (lambda: layouts(seed=1, shift_x=0.15), {"position_x"}),
        (lambda: layouts(seed=1, shift_y=0.15), {"position_y"}),
        (lambda: doubled(layouts(seed=1)), {"overlap"}),
    ],
)
def test_a_moved_statistic_shows_in_its_own_distance(changed: Callable[[], Layouts], names: set[str]) -> None:
    found = measured(changed(), layouts(seed=0))
    for name in names:
        assert found[name].value > 1.5 * found[name].baseline_q95, found[name]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(-3, 3))
def test_wasserstein_of_a_shift_is_the_shift(values: list[float], shift: float) -> None:
    one = np.array(values)
    assert wasserstein(one, one + shift) == pytest.approx(abs(shift), abs=1e-9)
    assert wasserstein(one, one) == 0


def test_wasserstein_between_samples_of_different_sizes() -> None:
    assert wasserstein(np.array([0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx(0)
    assert wasserstein(np.array([0.0]), np.array([1.0, 3.0])) == pytest.approx(2)


@pytest.mark.parametrize(("n_synthetic", "n_real"), [(0, 10), (5, 3)])
def test_too_few_pictures_are_an_input_error(n_synthetic: int, n_real: int) -> None:
    box = [LayoutBox(0, (0.1, 0.1, 0.2, 0.2))]
    with pytest.raises(InputError, match="too few pictures"):
        measure_layouts([box] * n_synthetic, [box] * n_real, rounds=5, rng=np.random.default_rng(0))


def test_empty_pictures_and_pictures_all_alike_give_numbers() -> None:
    box = [LayoutBox(0, (0.1, 0.1, 0.2, 0.2))]
    alike = by_name(measure_layouts([box] * 5, [box] * 8, rounds=5, rng=np.random.default_rng(0)))
    assert all(item.value == item.baseline_q95 == 0 for item in alike.values())
    empty = by_name(measure_layouts([[]] * 5, [box] * 8, rounds=5, rng=np.random.default_rng(0)))
    assert empty["class_frequency"].value == 1 and empty["objects"].value == 1


def test_a_row_s_layout_is_in_units_of_its_longer_side() -> None:
    labels = (Label(0, 1, (20, 10, 120, 60)), Label(1, 0, (0, 0, 50, 50), ignore=True), Label(2, 0, (0, 0, 2, 2)))
    row = Row("a", "", width=200, height=100, labels=labels)
    assert layout_of(row) == [LayoutBox(1, (0.1, 0.05, 0.6, 0.3))]
