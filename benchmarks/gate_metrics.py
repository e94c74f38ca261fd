"""How the gate's metrics behave at small n, and what they cost. Prints two tables; decides nothing.

    python benchmarks/gate_metrics.py

The first table is why the gate compares at equal n and never against a fixed number: both sets are drawn from *one*
distribution (a Gaussian whose variances fall as 1 / i and add up to 100), and yet the Fréchet distance is far from 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edgewright.gates.metrics import (
    Features,
    frechet_distance,
    kernel_distance,
    neighbor_scores,
    pairwise_distances,
)

SIZES = (50, 100, 200, 500)
WIDTHS = (32, 64, 512)
REPEATS = 3


def sample(n: int, width: int, rng: np.random.Generator) -> Features:
    variances = 1 / np.arange(1, width + 1)
    return rng.normal(size=(n, width)) * np.sqrt(100 * variances / variances.sum())


def print_bias() -> None:
    print("Frechet distance of two samples of one distribution")
    print("width " + "".join(f"{f'n={n}':>9}" for n in SIZES))
    rng = np.random.default_rng(0)
    for width in WIDTHS:
        means = [
            np.mean([frechet_distance(sample(n, width, rng), sample(n, width, rng)) for _ in range(REPEATS)])
            for n in SIZES
        ]
        print(f"{width:>5} " + "".join(f"{mean:>9.1f}" for mean in means))


def neighbors(a: Features, b: Features) -> None:
    neighbor_scores(pairwise_distances(a, a), pairwise_distances(b, b), pairwise_distances(a, b), k=5)


def print_cost() -> None:
    metrics: dict[str, Callable[[Features, Features], object]] = {
        "frechet": frechet_distance,
        "kid": kernel_distance,
        "neighbors": neighbors,
    }
    print("\nmilliseconds a call, width 32")
    print("          " + "".join(f"{f'n={n}':>9}" for n in SIZES))
    rng = np.random.default_rng(0)
    for name, metric in metrics.items():
        cells = []
        for n in SIZES:
            a, b = sample(n, 32, rng), sample(n, 32, rng)
            metric(a, b)
            start = time.perf_counter()
            for _ in range(REPEATS):
                metric(a, b)
            cells.append((time.perf_counter() - start) / REPEATS * 1e3)
        print(f"{name:<10}" + "".join(f"{cell:>9.1f}" for cell in cells))


if __name__ == "__main__":
    print_bias()
    print_cost()
