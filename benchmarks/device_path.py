"""What surrounds the network on a device, and what the simulated camera and the stores cost. Medians, one thread.

python benchmarks/device_path.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from edgewright.artifacts import sha256_bytes
from edgewright.data.codec import encode_png
from edgewright.runtime.decode import decode
from edgewright.runtime.preprocess import decode_image, letterbox
from edgewright.simulate.camera import SimulatedCamera

N_CLASSES = 3


def median_ms(work: Callable[[], object], *, runs: int) -> float:
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return round(statistics.median(times[2:]), 3)


def measure() -> dict[str, float]:
    """What is timed => median ms."""
    camera = SimulatedCamera(0)
    picture = camera.photograph(0).image
    encoded = encode_png(picture)
    rng = np.random.default_rng(0)
    dense = rng.random((1, 4 + N_CLASSES, 8400), dtype=np.float32)
    dense[:, :4] *= 640
    return {
        "simulated photograph": median_ms(lambda: camera.photograph(1), runs=20),
        "PNG decode": median_ms(lambda: decode_image(encoded), runs=50),
        "letterbox to 320 px": median_ms(lambda: letterbox(picture, size_px=320), runs=50),
        "decode and suppress 8400 candidates": median_ms(
            lambda: decode(dense, layout="dense", score_threshold=0.95, iou_threshold=0.6), runs=20
        ),
        "sha256 of 16 MB": median_ms(lambda: sha256_bytes(bytes(16_000_000)), runs=5),
    }


def main() -> None:
    for name, took_ms in measure().items():
        print(f"{name:<44}{took_ms:>10.3f} ms")


if __name__ == "__main__":
    main()
