"""How much faster one float network answers than another, by the runtime that devices have.

Decides that the two answer by turns, so that whatever else the machine does falls on both, on one thread, and that the
figure is the median of their ratios.

    speed_up(detector.path, smaller.path)           # 1.3: the smaller one is 1.3 times as fast
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from edgewright.compress.export import export_onnx
from edgewright.detect.network import load_module
from edgewright.runtime.session import Network, load_network

_RUNS = 40


def speed_up(before: Callable[[str], Path], after: Callable[[str], Path], *, runs: int = _RUNS) -> float:
    """The median ratio of their times; above 1 where `after` is faster.

    Args:
        before, after: a published detector's file by name.
        runs: pairs of answers that are timed, after one that is not.
    """
    with TemporaryDirectory() as folder:
        first, side_px = _network(before, Path(folder) / "before.onnx")
        second, _ = _network(after, Path(folder) / "after.onnx")
        images = np.zeros((1, 3, side_px, side_px), np.float32)
        ratios = [_seconds(first, images) / _seconds(second, images) for _ in range(runs + 1)]
    return statistics.median(ratios[1:])


def _network(get_path: Callable[[str], Path], path: Path) -> tuple[Network, int]:
    module, spec = load_module(get_path)
    onnx.save(export_onnx(module, input_px=spec.input_px), path)
    return load_network(path, threads=1), spec.input_px


def _seconds(network: Network, images: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
    began = time.perf_counter()
    network(images)
    return time.perf_counter() - began
