"""Formats written and looked at: bytes, and where their runtime is here, accuracy, difference and time beside float.

Decides that a format is written and run in a process of its own: converters and runtimes are compiled code of many
hands, and one that crashes is a row with its reason. Refuses no model for its accuracy: whoever ships it decides.

    for row in export_model(detector, ["openvino", "ncnn"], samples, out=folder, threads=2):
        print(row)
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from edgewright.artifacts import Artifact
from edgewright.convert.read import open_written
from edgewright.convert.write import Written, silenced, write
from edgewright.detect.evaluate import Sample, evaluate
from edgewright.detect.network import GRAPH_FILE, SPEC_FILE, WEIGHTS_FILE, load_float_network
from edgewright.errors import EdgewrightError
from edgewright.runtime.preprocess import letterbox
from edgewright.runtime.session import EVALUATION_SCORE_THRESHOLD, ModelSpec, Network, predictor

FLOAT = "float"
_COMPARED, _TIMED = 4, 15


@dataclass(frozen=True)
class Exported:
    """A format, as far as it got.

    Attributes:
        bytes: of all its files; None where it was not written.
        map50_95: on the pictures; None where nothing here runs it, or they show no object.
        difference: largest of raw outputs to the float network's, in input px or score.
        median_ms: of the network alone on one thread.
        note: why something is None; "" where all went well.
    """

    name: str
    bytes: int | None = None
    map50_95: float | None = None
    difference: float | None = None
    median_ms: float | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        said = (
            (self.bytes, "{:>10,} B"),
            (self.map50_95, "mAP50-95 {:.3f}"),
            (self.difference, "difference {:.4f}"),
            (self.median_ms, "{:.2f} ms"),
        )
        parts = [shape.format(value) for value, shape in said if value is not None]
        return "  ".join([f"{self.name:<12}", *parts, *([self.note] if self.note else [])])


def export_model(
    detector: Artifact, names: Sequence[str], samples: Sequence[Sample], *, out: Path, threads: int
) -> Iterator[Exported]:
    """The float detector first, then each format as it is done, in a folder of `out` by its name."""
    network, spec = load_float_network(detector.path, threads=threads)
    files = {name: detector.path(name) for name in (WEIGHTS_FILE, GRAPH_FILE, SPEC_FILE)}
    yield Exported(FLOAT, map50_95=_map_of(network, spec, samples), median_ms=_median_ms(network, spec))
    for name in names:
        yield _apart(_export, name, files, samples, out / name, threads, name=name)


def _apart(work: Callable[..., Exported], *arguments: Any, name: str) -> Exported:
    """In a process of its own, whose end is a result too."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(work, *arguments).result()
        except BrokenProcessPool:
            return Exported(name, note="the process that wrote or ran it ended without a word")


def _export(name: str, files: Mapping[str, Path], samples: Sequence[Sample], out: Path, threads: int) -> Exported:
    torch.set_num_threads(threads)
    with silenced():  # runtimes print too
        return _written_and_run(name, files, samples, out, threads)


def _written_and_run(
    name: str, files: Mapping[str, Path], samples: Sequence[Sample], out: Path, threads: int
) -> Exported:
    try:
        written = write(name, files.__getitem__, out=out)
    except EdgewrightError as error:
        return Exported(name, note=f"not written: {error}")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    if written.format is None:
        return Exported(name, size, note="written by ultralytics, not run: nothing of ours opens it")
    try:
        return _looked_at(written, samples, size, threads=threads)
    except EdgewrightError as error:
        return Exported(name, size, note=f"not run: {error}")


def _looked_at(written: Written, samples: Sequence[Sample], size: int, *, threads: int) -> Exported:
    assert written.format is not None
    spec = written.spec
    network = open_written(written.path, written.format, input_px=spec.input_px, threads=threads)
    alone = open_written(written.path, written.format, input_px=spec.input_px, threads=1)
    inputs = [letterbox(sample.image, size_px=spec.input_px)[0] for sample in samples[:_COMPARED]]
    return Exported(
        written.format.name,
        size,
        _map_of(network, spec, samples),
        max((float(np.abs(network(each) - written.before(each)).max()) for each in inputs), default=None),
        _median_ms(alone, spec),
    )


def _map_of(network: Network, spec: ModelSpec, samples: Sequence[Sample]) -> float | None:
    predict = predictor(network, spec, score_threshold=EVALUATION_SCORE_THRESHOLD)
    return evaluate(predict, samples, classes=spec.classes).map50_95


def _median_ms(network: Network, spec: ModelSpec) -> float:
    picture = np.full((1, 3, spec.input_px, spec.input_px), 0.45, np.float32)
    took = []
    for _ in range(_TIMED):
        began = time.perf_counter()
        network(picture)
        took.append(1000 * (time.perf_counter() - began))
    return median(took[2:])
