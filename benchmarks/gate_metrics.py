"""How the gate's metrics behave at small n, and what they cost. Prints three tables; decides nothing.

    python benchmarks/gate_metrics.py                     # minutes, and as much memory as prdc takes (several GB)
    python benchmarks/gate_metrics.py --rows 2000         # the third table on less

The first table is why the gate compares at equal n and never against a fixed number: both sets are drawn from *one*
distribution (a Gaussian whose variances fall as 1 / i and add up to 100), and yet the Fréchet distance is far from 0.
The third holds our metrics against torch-fidelity's and prdc's on the same large sets: each in a process of its own
that reports its seconds and by how much its memory grew at most. torch-fidelity's KID is asked for all rows at once
(one subset), which is what ours computes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np

from edgewright.gates.measure.metrics import (
    Features,
    frechet_distance,
    neighbor_scores,
    pairwise_distances,
)
from edgewright.gates.spaces.blocks import blockwise_neighbor_scores, kernel_distance

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


def our_neighbors(real: Features, fake: Features) -> list[float]:
    found = blockwise_neighbor_scores(real, fake, k=5)
    return [found.precision, found.recall, found.density, found.coverage]


def their_frechet(real: Features, fake: Features) -> list[float]:
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(torch.from_numpy(each)) for each in (fake, real)]
    return [float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])]


def their_kernel(real: Features, fake: Features) -> list[float]:
    from torch_fidelity.metric_kid import kernel_mmd

    return [float(kernel_mmd(real, fake))]


def their_neighbors(real: Features, fake: Features) -> list[float]:
    from prdc import compute_prdc

    found = compute_prdc(real_features=real, fake_features=fake, nearest_k=5)
    return [float(found[name]) for name in ("precision", "recall", "density", "coverage")]


Metric = Callable[[Features, Features], list[float]]
PAIRS: tuple[tuple[str, Metric, str, Metric], ...] = (
    ("FD", lambda a, b: [frechet_distance(a, b)], "torch-fidelity", their_frechet),
    ("KID", lambda a, b: [kernel_distance(a, b)], "torch-fidelity", their_kernel),
    ("P, R, D, C", our_neighbors, "prdc", their_neighbors),
)


def measure(metric: Metric, rows: int, width: int, answer: Connection) -> None:
    """In a process of its own."""
    real, fake = sample(rows, width, np.random.default_rng(0)), sample(rows, width, np.random.default_rng(1)) * 1.05
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        metric(real[:64, :8].copy(), fake[:64, :8].copy())  # imports and warm-up
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        values = metric(real, fake)
    seconds = time.perf_counter() - start
    answer.send((values, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def apart(metric: Metric, rows: int, width: int) -> tuple[list[float], float, float]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(metric, rows, width, theirs))
    process.start()
    theirs.close()
    try:
        found: tuple[list[float], float, float] = ours.recv()
    except EOFError:
        found = [], float("nan"), float("nan")  # killed, for memory most likely
    process.join()
    return found


def print_agreement(rows: int, width: int) -> None:
    print(f"\nthe same {rows:,} x {width:,} features, float64")
    print(f"{'':<12}{'s':>9}{'MB more':>9}   {'baseline':<16}{'s':>9}{'MB more':>9}{'faster':>8}{'differ by':>11}")
    for name, ours, whose, theirs in PAIRS:
        values, seconds, memory = apart(ours, rows, width)
        their_values, their_seconds, their_memory = apart(theirs, rows, width)
        differences = [abs(a - b) / max(1.0, abs(b)) for a, b in zip(values, their_values, strict=False)]
        print(
            f"{name:<12}{seconds:>9.1f}{memory:>9.0f}   {whose:<16}{their_seconds:>9.1f}{their_memory:>9.0f}"
            f"{their_seconds / seconds:>7.1f}x{max(differences, default=np.nan):>11.1e}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=2_048)
    arguments = parser.parse_args()
    print_bias()
    print_cost()
    print_agreement(arguments.rows, arguments.width)
