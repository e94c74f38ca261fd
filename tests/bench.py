"""Measure the hot paths on this machine: `make bench`, or `python tests/bench.py --json`.

Weights are random, which is right for bytes and time and says nothing about accuracy. Numbers are medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader

from edgewright.artifacts import sha256_bytes
from edgewright.gates.metrics import frechet_distance
from edgewright.runtime.boxes import Image
from edgewright.runtime.decode import decode
from edgewright.runtime.preprocess import decode_image, letterbox
from edgewright.runtime.session import ModelSpec, load_network, predictor
from edgewright.simulate.camera import SimulatedCamera

CLASSES = ("a", "b", "c")


class Pictures(CalibrationDataReader):  # type: ignore[misc]
    """What ONNX Runtime calibrates on."""

    def __init__(self, pictures: list[Image], *, size_px: int, name: str) -> None:
        self._name = name
        self._tensors: Iterator[Any] = iter([letterbox(picture, size_px=size_px)[0] for picture in pictures])
        self._length = len(pictures)

    def __len__(self) -> int:
        return self._length

    def get_next(self) -> dict[str, Any] | None:
        tensor = next(self._tensors, None)
        return None if tensor is None else {self._name: tensor}

    def set_range(self, start_index: int, end_index: int) -> None:
        """All pictures are given at once."""


def median_ms(work: Callable[[], object], *, runs: int) -> float:
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return round(statistics.median(times[2:]), 3)


def measure_rooms() -> dict[str, float]:
    """Everything that needs no network."""
    camera = SimulatedCamera(0)
    picture = camera.photograph(0).image
    from edgewright.data.dataset import encode_png

    encoded = encode_png(picture)
    rng = np.random.default_rng(0)
    dense = rng.random((1, 4 + len(CLASSES), 8400), dtype=np.float32)
    dense[:, :4] *= 640
    features = rng.normal(size=(2, 500, 64))
    return {
        "simulated photograph, ms": median_ms(lambda: camera.photograph(1), runs=20),
        "PNG decode, ms": median_ms(lambda: decode_image(encoded), runs=50),
        "letterbox to 320 px, ms": median_ms(lambda: letterbox(picture, size_px=320), runs=50),
        "decode and suppress 8400 candidates, ms": median_ms(
            lambda: decode(dense, layout="dense", score_threshold=0.95, iou_threshold=0.6), runs=20
        ),
        "sha256 of 16 MB, ms": median_ms(lambda: sha256_bytes(bytes(16_000_000)), runs=5),
        "Fréchet distance, 500 x 64, ms": median_ms(lambda: frechet_distance(features[0], features[1]), runs=10),
    }


def measure_detector(size_px: int, *, threads: int) -> dict[str, float]:
    """The slim graph at one input size: bytes and the device runtime's time from picture to boxes."""
    from edgewright.compress.export import INPUT, export_onnx, minify
    from edgewright.compress.quantize import quantize_model
    from edgewright.detect.graphs import slim_graph
    from edgewright.detect.network import build_module

    pictures = [SimulatedCamera(0).photograph(index).image for index in range(8)]
    module = build_module(slim_graph(width=0.1875, n_classes=len(CLASSES)), n_classes=len(CLASSES)).eval().fuse()
    exported = export_onnx(module, input_px=size_px)
    int8 = quantize_model(exported, Pictures(pictures, size_px=size_px, name=INPUT), method="minmax", per_channel=True)
    spec = ModelSpec(classes=CLASSES, input_px=size_px, layout="dense", score_threshold=0.5, iou_threshold=0.6)
    figures: dict[str, float] = {}
    for name, model in (("float", minify(exported)), ("INT8", int8)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(model.SerializeToString())
            predict = predictor(load_network(path, threads=threads), spec)
            figures[f"{name} {size_px} px, bytes"] = path.stat().st_size
            figures[f"{name} {size_px} px, picture to boxes, ms"] = median_ms(lambda p=predict: p(pictures[0]), runs=50)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object instead of a table")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    figures = measure_rooms()
    for size_px in (192, 320):
        figures |= measure_detector(size_px, threads=arguments.threads)
    if arguments.json:
        print(json.dumps({"machine": platform.platform(), "threads": arguments.threads, "figures": figures}, indent=1))
        return
    print(f"{platform.platform()}, {arguments.threads} thread(s)")
    for name, figure in figures.items():
        print(f"  {name:<44}{figure:>12,.3f}" if isinstance(figure, float) else f"  {name:<44}{figure:>12,}")


if __name__ == "__main__":
    main()
