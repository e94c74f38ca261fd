"""Flow matching: the equations of the diffusion model, one to six lines each. Imports torch alone.

Rectified flow (Liu et al. 2022, arXiv 2209.03003; Lipman et al. 2022, arXiv 2210.02747), t from noise (0) to data (1):
    path       x_t = (1 - t) · noise + t · data
    velocity   v = d x_t / d t = data - noise
    loss       E || network(x_t, t, condition) - v ||²,   t ~ sigmoid(N(0, 1))   (Esser et al. 2024, arXiv 2403.03206)
    sampling   d x / d t = network(x, t, condition), from x = noise at t = 0 to t = 1

    images = integrate(velocity, noise, steps=4, solver="heun")
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

DATA_SD = 0.5
"""Spread of pixels in [-1, 1] that the preconditioning assumes (Karras et al. 2022, arXiv 2206.00364, Table 1)."""
Velocity = Callable[[Tensor, Tensor], Tensor]
"""(x (N, C, H, W), t (N,)) => velocity (N, C, H, W)."""


def interpolate(data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) · noise + t · data."""
    return torch.lerp(noise, data, _spread(t))


def velocity_loss(predicted: Tensor, *, data: Tensor, noise: Tensor) -> Tensor:
    """Mean of || predicted - (data - noise) ||² over every number, in float32."""
    return (predicted.float() - (data - noise)).square().mean()


def draw_times(count: int, rng: torch.Generator) -> Tensor:
    """(N,) t ~ sigmoid(N(0, 1)) in (0, 1): most of them where the path is hardest, in the middle."""
    return torch.sigmoid(torch.randn(count, generator=rng))


def precondition(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(c_in, c_skip, c_out), each (N, 1, 1, 1): velocity = c_skip · x_t + c_out · network(c_in · x_t).

    What Karras et al. 2022 (arXiv 2206.00364, §5) do for their path, for this one. With data of variance s²:
    Var(x_t) = t² s² + (1 - t)² = 1 / c_in², c_skip = Cov(v, x_t) / Var(x_t), c_out² = Var(v | x_t) = s² / Var(x_t).
    """
    t = _spread(t)
    variance = t**2 * DATA_SD**2 + (1 - t) ** 2
    return variance**-0.5, (t * DATA_SD**2 - (1 - t)) / variance, DATA_SD * variance**-0.5


def euler_step(velocity: Velocity, x: Tensor, t: Tensor, dt: float) -> Tensor:
    """x + dt · v(x, t)."""
    return x + dt * velocity(x, t)


def heun_step(velocity: Velocity, x: Tensor, t: Tensor, dt: float) -> Tensor:
    """x + dt · (v(x, t) + v(x', t + dt)) / 2 with x' = x + dt · v(x, t)."""
    here = velocity(x, t)
    return x + dt / 2 * (here + velocity(x + dt * here, t + dt))


def integrate(velocity: Velocity, noise: Tensor, *, steps: int, solver: str) -> Tensor:
    """From noise to data in equal steps; the last is Euler's, because t = 1 is where the network knows least.

    Calls `velocity` `evaluations(steps, solver)` times.
    """
    x, dt = noise, 1 / steps
    for index in range(steps):
        step = heun_step if solver == "heun" and index < steps - 1 else euler_step
        x = step(velocity, x, torch.full((len(x),), index * dt, device=x.device), dt)
    return x


def evaluations(steps: int, solver: str) -> int:
    """How often `integrate` calls the network."""
    return 2 * steps - 1 if solver == "heun" else steps


def _spread(t: Tensor) -> Tensor:
    return t[:, None, None, None]
