"""What INT8 buys at each width: bytes and milliseconds, float against INT8, on this machine's device runtime.

Weights are random: right for size and speed, silent on accuracy (`docs/LOG.md` has that from trained models).

    python benchmarks/int8.py --widths 0.125 0.1875 0.25 --image-px 192 256 --threads 1
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader

from edgewright.compress.export import INPUT, export_onnx, minify
from edgewright.compress.measure import measure_latency
from edgewright.compress.quantize import quantize_model
from edgewright.detect.yolo.graphs import slim_graph
from edgewright.detect.yolo.network import build_module
from edgewright.runtime.session import ModelSpec, load_network, predictor

CLASSES = ("a", "b", "c")


class Noise(CalibrationDataReader):  # type: ignore[misc]
    """Random tensors to calibrate on."""

    def __init__(self, *, image_px: int, count: int) -> None:
        rng = np.random.default_rng(0)
        self._tensors = [rng.random((1, 3, image_px, image_px), dtype=np.float32) for _ in range(count)]
        self.set_range(0, count)

    def __len__(self) -> int:
        return len(self._tensors)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._tensors[start_index:end_index])

    def get_next(self) -> dict[str, Any] | None:
        tensor = next(self._left, None)
        return None if tensor is None else {INPUT: tensor}


def measure(*, width: float, image_px: int, threads: int, runs: int) -> dict[str, float]:
    """One row: bytes and p50/p99 ms of the float and the INT8 file."""
    module = build_module(slim_graph(width=width, n_classes=len(CLASSES)), n_classes=len(CLASSES))
    module = module.eval().fuse(verbose=False)
    exported = export_onnx(module, input_px=image_px)
    reader = Noise(image_px=image_px, count=4)
    models = {
        "float": minify(exported),
        "int8": quantize_model(exported, reader, method="minmax", per_channel=True),
    }
    spec = ModelSpec(CLASSES, image_px, "dense", score_threshold=0.25, iou_threshold=0.6)
    picture = np.random.default_rng(0).integers(0, 255, (image_px, image_px, 3), dtype=np.uint8)
    row: dict[str, float] = {"width": width, "image_px": image_px}
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models.items():
            path = Path(folder) / f"{name}.onnx"
            path.write_bytes(model.SerializeToString())
            latency = measure_latency(predictor(load_network(path, threads=threads), spec), [picture], runs=runs)
            row |= {f"{name}_bytes": path.stat().st_size, f"{name}_p50_ms": round(latency.p50_ms, 2)}
            row[f"{name}_p99_ms"] = round(latency.p99_ms, 2)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=float, nargs="+", default=[0.125, 0.1875, 0.25])
    parser.add_argument("--image-px", type=int, nargs="+", default=[192, 256])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=100)
    arguments = parser.parse_args()
    for width in arguments.widths:
        for image_px in arguments.image_px:
            row = measure(width=width, image_px=image_px, threads=arguments.threads, runs=arguments.runs)
            print(json.dumps(row))


if __name__ == "__main__":
    main()
