"""How weights are moved, on one weight whose gradient is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgewright.learning.averaging import Average, update_average
from edgewright.learning.descent import Descent, Group, Optimizer
from edgewright.learning.precision import Precision
from edgewright.learning.rates import half_cosine, steady, warm_cosine, warm_up

SCALER = Precision.as_set(torch.device("cpu")).scaler()


def moved(setting: Descent, *, gradient: float, start: float = 0.0, step: int = 0) -> float:
    """Where one update takes a weight."""
    weight = nn.Parameter(torch.tensor([start]))
    Optimizer([Group((weight,))], setting, SCALER).descend((gradient * weight).sum(), step=step)
    return weight.item()


@pytest.mark.parametrize("gradient", [-5.0, 0.1, 300.0])
def test_the_first_update_is_as_long_as_the_learning_rate(gradient: float) -> None:
    expected = -0.1 if gradient > 0 else 0.1
    assert moved(Descent(0.1), gradient=gradient) == pytest.approx(expected, rel=1e-4)


def test_the_rate_shortens_it_and_decay_pulls_towards_nothing() -> None:
    assert moved(Descent(0.1, rate=lambda step: 0.5**step), gradient=1.0, step=2) == pytest.approx(-0.025, rel=1e-4)
    assert moved(Descent(0.1, weight_decay=0.5), gradient=0.0, start=1.0) == pytest.approx(0.95)


def test_a_gradient_is_clipped_to_its_norm_before_it_moves_anything() -> None:
    weights = nn.Parameter(torch.zeros(2))
    optimizer = Optimizer([Group((weights,))], Descent(0.1, clip_norm=1.0), SCALER)
    optimizer.descend((torch.tensor([3.0, 4.0]) * weights).sum(), step=0)
    assert weights.grad is not None
    assert weights.grad.tolist() == pytest.approx([0.6, 0.8], abs=1e-5)


def test_the_average_follows_fast_at_first_and_slowly_later() -> None:
    average, current = nn.Linear(1, 1), nn.Linear(1, 1)
    for network, value in ((average, 0.0), (current, 1.0)):
        nn.init.constant_(network.weight, value)
    update_average(average, current, decay=0.99, step=0)
    assert average.weight.item() == pytest.approx(0.9)
    nn.init.constant_(average.weight, 0.0)
    update_average(average, current, decay=0.99, step=10_000)
    assert average.weight.item() == pytest.approx(0.01)


def test_statistics_of_normalization_are_those_of_the_network_that_is_followed() -> None:
    network = nn.BatchNorm1d(2)
    average = Average(network, decay=0.9)
    network(torch.randn(8, 2))
    average.follow(network, step=0)
    assert (average.network.running_mean == network.running_mean).all()
    assert average.network.num_batches_tracked == 1


def test_an_average_is_a_copy_without_gradients() -> None:
    network = nn.Linear(1, 1)
    average = Average(network, decay=0.9)
    assert not any(value.requires_grad for value in average.network.parameters())
    nn.init.constant_(network.weight, 7.0)
    assert average.network.weight.item() != 7.0
    average.follow(network, step=0)
    assert average.network.weight.item() != 7.0


def test_rates() -> None:
    assert [steady(step) for step in (0, 9)] == [1, 1]
    assert [warm_up(step, over=4) for step in (0, 1, 3, 9)] == [0.25, 0.5, 1, 1]
    assert [half_cosine(step, steps=4) for step in (0, 2, 4)] == pytest.approx([1, 0.5, 0])


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_a_warm_cosine_rises_to_one_and_ends_near_nothing_but_not_at_it(steps: int) -> None:
    factors = [warm_cosine(step, steps=steps, share=0.05) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    rising = max(1, round(steps * 0.05))
    assert factors[rising:] == sorted(factors[rising:], reverse=True)
    if steps == 100:
        assert max(factors) == factors[5] == 1
        assert factors[0] < 0.2
        assert factors[-1] < 0.01


def test_groups_move_at_their_own_rates() -> None:
    """One half as fast, one not at all in the first step; the setting's decay holds where it is wanted."""
    fast, slow, held, decayed = (nn.Parameter(torch.ones(1)) for _ in range(4))
    groups = [
        Group((fast,), decays=False),
        Group((slow,), rate=lambda _: 0.5, decays=False),
        Group((held,), rate=lambda step: float(step > 0), decays=False),
        Group((decayed,)),
    ]
    optimizer = Optimizer(groups, Descent(0.1, weight_decay=1.0), SCALER)
    optimizer.descend((fast + slow + held + decayed).sum(), step=0)
    assert [one.item() for one in (fast, slow, held, decayed)] == pytest.approx([0.9, 0.95, 1.0, 0.8], abs=1e-4)
    optimizer.descend((fast + slow + held + decayed).sum(), step=1)
    assert held.item() < 0.95
