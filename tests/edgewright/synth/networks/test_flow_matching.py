"""The equations of the flow, and the network that they ask."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.networks.flow_matching import (
    DATA_SD,
    draw_times,
    evaluations,
    integrate,
    interpolate,
    precondition,
    velocity_loss,
)
from edgewright.synth.networks.nets import NetShape
from edgewright.synth.networks.unet import FlowNet
from edgewright.synth.objects.samplers import FlowSampler


def test_the_path_goes_from_noise_to_data_at_its_velocity() -> None:
    data, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    zero, one, half = (torch.full((2,), value) for value in (0.0, 1.0, 0.5))
    assert torch.allclose(interpolate(data, noise, zero), noise)
    assert torch.allclose(interpolate(data, noise, one), data)
    moved = (interpolate(data, noise, half + 0.01) - interpolate(data, noise, half)) / 0.01
    assert torch.allclose(moved, data - noise, atol=1e-3)


def test_the_loss_is_zero_for_the_right_velocity_alone() -> None:
    data, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    assert float(velocity_loss(data - noise, data=data, noise=noise)) == 0
    assert float(velocity_loss(data - noise + 0.5, data=data, noise=noise)) == pytest.approx(0.25)


def test_times_are_those_of_a_logit_normal() -> None:
    times = draw_times(20_000, torch.Generator().manual_seed(0))
    assert float(times.min()) > 0 and float(times.max()) < 1
    assert float(times.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(torch.logit(times).std()) == pytest.approx(1.0, abs=0.03)


def test_the_preconditioning_makes_input_and_target_of_unit_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    data, noise = (torch.randn(1, 1, 400, 400, generator=generator) * sd for sd in (DATA_SD, 1.0))
    for value in (0.02, 0.3, 0.5, 0.9):
        t = torch.tensor([value])
        c_in, c_skip, c_out = precondition(t)
        x_t = interpolate(data, noise, t)
        target = (data - noise - c_skip * x_t) / c_out
        assert float((c_in * x_t).std()) == pytest.approx(1, abs=0.02)
        assert float(target.std()) == pytest.approx(1, abs=0.02)
        assert float((target * x_t).mean()) == pytest.approx(0, abs=0.02), "what x_t tells linearly is in c_skip"


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_solvers_converge_with_their_order_up_to_the_last_step(solver: str, order: int) -> None:
    def decay(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return -x * t[:, None, None, None]  # x(1) = x(0) · exp(-1/2)

    start = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    error = [abs(float(integrate(decay, start, steps=n, solver=solver)) - float(np.exp(-0.5))) for n in (8, 16, 32)]
    assert error[0] > error[1] > error[2]
    if solver == "euler":
        assert error[0] / error[2] == pytest.approx(4, rel=0.2)
    else:
        assert error[2] < 0.02 / 2**order


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("steps", [2, 8])
def test_a_straight_flow_is_integrated_exactly_in_the_promised_number_of_calls(solver: str, steps: int) -> None:
    target, noise, calls = torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4), []

    def straight(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        calls.append(float(t[0]))
        return target - noise

    assert torch.allclose(integrate(straight, noise, steps=steps, solver=solver), target, atol=1e-5)
    assert len(calls) == evaluations(steps, solver)
    assert max(calls) < 1


@pytest.mark.parametrize("side_px", get_args(TrainGeneratorConfig.model_fields["side_px"].annotation))
def test_shapes(side_px: int) -> None:
    network = FlowNet(NetShape(side_px, 8, 8, 2))
    x, t, class_id = torch.randn(2, 4, side_px, side_px), torch.rand(2), torch.tensor([0, 1])
    velocity = network(x, t, class_id)
    assert velocity.shape == x.shape
    c_skip = precondition(t)[1]
    assert torch.allclose(velocity, c_skip * x), "before it learns, the best linear guess"


def test_solver_and_steps_change_what_is_sampled_and_the_seed_fixes_it() -> None:
    network = FlowNet(NetShape(32, 8, 8, 1)).eval().requires_grad_(False)
    torch.nn.init.normal_(network.head.weight, std=0.1, generator=torch.Generator().manual_seed(0))

    def bytes_of(solver: str, steps: int) -> bytes:
        return FlowSampler(network, (5,), solver, steps).sample([5, 5], np.random.default_rng(0))[1].tobytes()

    made = {bytes_of(solver, steps) for solver in ("euler", "heun") for steps in (2, 4)}
    assert len(made) == 4
    assert bytes_of("heun", 4) == bytes_of("heun", 4)
    assert FlowSampler(network, (5,), "heun", 4).sample([], np.random.default_rng(0)) == []
