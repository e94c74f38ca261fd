"""A sparse linear layer against the best dense one: 1024 × 1024, one vector and a batch of 32.

Baselines in the same run, by turns with what they are compared to: torch's dense product with one and two threads and
numpy's with as many as it takes, the fastest of the three for each batch; scipy's CSR beside it. Prints how fast memory
was read, for a single vector is bound by that: below the roofline of bytes a layer cannot be.

python benchmarks/sparse_linear.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from torch import nn

from edgewright.sparse.linear import FrozenLinear, SparseLinear

SIDE, ROUNDS, CALLS = 1024, 40, 20
SPARSITIES, BATCHES, ROWS = (0.9, 0.95), (1, 32), (1, 8)


def dense(x: torch.Tensor, layer: nn.Linear, threads: int) -> Callable[[], object]:
    def run() -> object:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return layer(x)

    return run


def sparse(x: npt.NDArray[np.float32], layer: FrozenLinear, threads: int) -> Callable[[], object]:
    def run() -> object:
        torch.set_num_threads(threads)
        return layer(x)

    return run


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        run()
    return (time.perf_counter() - began) / CALLS


def main() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(SIDE, SIDE)
    weight, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
    for batch in BATCHES:
        x = torch.randn(batch, SIDE)
        array = x.numpy()
        runs: dict[str, Callable[[], object]] = {
            f"dense, torch, {threads} threads": dense(x, linear, threads) for threads in (1, 2)
        }
        runs["dense, numpy"] = lambda array=array: array @ weight.T + bias
        for sparsity in SPARSITIES:
            for rows in ROWS:
                layer = SparseLinear.of(linear, sparsity=sparsity, rows=rows)
                layer.thin_out()
                frozen = layer.freeze()
                for threads in (1, 2) if batch > 1 else (1,):
                    runs[f"{sparsity:.0%} sparse, rows of {rows}, {threads} threads"] = sparse(array, frozen, threads)
                if rows == 1:
                    matrix = scipy.sparse.csr_matrix(layer.weight.detach().numpy())
                    runs[f"{sparsity:.0%} sparse, scipy"] = lambda m=matrix, array=array: (m @ array.T).T + bias
        for run in runs.values():
            run()
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                times[name].append(seconds(run))
        best = min(statistics.median(found) for name, found in times.items() if name.startswith("dense"))
        print(f"\nbatch of {batch}: best dense {best * 1e6:.0f} us, {SIDE * SIDE * 4 / best / 1e9:.1f} GB/s of weights")
        for name, found in times.items():
            median = statistics.median(found)
            print(f"  {name:28} {median * 1e6:8.0f} us   {best / median:5.2f} x")


if __name__ == "__main__":
    main()
