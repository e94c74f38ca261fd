"""The ladder of detectors: weights, INT8 bytes and milliseconds by engine, for every graph, width and input size.

The baseline of every row is its own float file on the same engine; the files of a row answer by turns, so that whatever
else the machine does falls on all of them. Weights are random: right for size and speed, silent on accuracy, which
`edgewright compress` measures on your photographs. OpenVINO is measured where it is installed.

python benchmarks/ladder.py --image-px 192 320 640 --threads 1 2
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader
from torch import nn

from edgewright.compress.export import INPUT, export_onnx, minify
from edgewright.compress.quantize import quantize_model
from edgewright.detect.efficientdet.graph import graph_named
from edgewright.detect.efficientdet.network import EfficientDet
from edgewright.detect.yolo.graphs import find_graph
from edgewright.detect.yolo.network import build_module
from edgewright.recipe.compress import QuantizeConfig
from edgewright.runtime.instruction_sets import MODEL_FILE, SAFE_MODEL_FILE, choose_model, this_processor
from edgewright.runtime.session import load_network

N_CLASSES = 3
GRAPHS: dict[str, tuple[float | None, ...]] = {
    "efficientdet-slim": (None,),
    "efficientdet-lite0": (None,),
    "edgewright-slim": (0.125, 0.1875, 0.25),
    "yolo11-slim": (0.125, 0.1875),
    "yolo26-slim": (0.125, 0.1875),
}
FILES = ("float", "INT8", "INT8 for AVX2")
Answer = Callable[[np.ndarray[Any, Any]], object]


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


@dataclass(frozen=True)
class Rung:
    """One graph at one size. Attributes: bytes: of FILES in order."""

    parameters: int
    bytes: tuple[int, ...]
    paths: tuple[Path, ...]


def build(model: str, width: float | None) -> nn.Module:
    if width is None:
        return EfficientDet(graph_named(model, n_classes=N_CLASSES)).eval()
    module: nn.Module = build_module(find_graph(model, width=width, n_classes=N_CLASSES), n_classes=N_CLASSES)
    return module.eval().fuse(verbose=False)  # type: ignore[operator, no-any-return]


def make(model: str, width: float | None, *, image_px: int, folder: Path) -> Rung:
    module = build(model, width)
    exported = export_onnx(module, input_px=image_px)
    int8 = quantize_model(exported, Noise(image_px=image_px, count=4), QuantizeConfig())
    paths = []
    for number, made in enumerate((exported, int8.whole, int8.safe.model)):
        paths.append(folder / f"{number}.onnx")
        paths[-1].write_bytes(minify(made).SerializeToString())
    sizes = tuple(path.stat().st_size for path in paths)
    return Rung(sum(parameter.numel() for parameter in module.parameters()), sizes, tuple(paths))


def engines(paths: tuple[Path, ...], *, threads: int) -> Iterator[tuple[str, list[Answer]]]:
    yield "onnxruntime", [load_network(path, threads=threads) for path in paths]
    try:
        import openvino
    except ImportError:
        return
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    yield "openvino", [_openvino(core.compile_model(path, "CPU", settings)) for path in paths]


def _openvino(compiled: Any) -> Answer:
    request = compiled.create_infer_request()
    return lambda images: request.infer([images])


def milliseconds(answers: list[Answer], *, image_px: int, runs: int) -> list[float]:
    """The median of each, by turns."""
    images = np.random.default_rng(1).random((1, 3, image_px, image_px), dtype=np.float32)
    times: list[list[float]] = [[] for _ in answers]
    for turn in range(runs + 3):
        for place, answer in enumerate(answers):
            began = time.perf_counter()
            answer(images)
            if turn >= 3:
                times[place].append(1e3 * (time.perf_counter() - began))
    return [statistics.median(found) for found in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-px", type=int, nargs="+", default=[192, 320])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--runs", type=int, default=60)
    arguments = parser.parse_args()
    print(f"processor: {choose_model(this_processor(), (MODEL_FILE, SAFE_MODEL_FILE)).why}")
    names = ("graph", "px", "weights", "INT8 bytes", "engine, threads", "float ms", "INT8 ms", "of float")
    print(f"| {' | '.join(names)} | for AVX2 ms | of float |")
    print("|---" * 10 + "|")
    for model, widths in GRAPHS.items():
        for width in widths:
            for image_px in arguments.image_px:
                with tempfile.TemporaryDirectory() as folder:
                    row(model, width, arguments, image_px=image_px, folder=Path(folder))


def row(model: str, width: float | None, arguments: argparse.Namespace, *, image_px: int, folder: Path) -> None:
    made = make(model, width, image_px=image_px, folder=folder)
    name = model if width is None else f"{model} {width:g}"
    for threads in arguments.threads:
        for engine, answers in engines(made.paths, threads=threads):
            whole, int8, safe = milliseconds(answers, image_px=image_px, runs=arguments.runs)
            print(
                f"| {name} | {image_px} | {made.parameters:,} | {made.bytes[1]:,} | {engine}, {threads} | {whole:.2f} "
                f"| {int8:.2f} | {int8 / whole:.2f} | {safe:.2f} | {safe / whole:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
