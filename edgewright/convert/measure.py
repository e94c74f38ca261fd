"""Formats written and looked at: bytes, and where their runtime is here, accuracy, difference and time beside float.

Decides that a format is written and run in a process of its own: converters and runtimes are compiled code of many
hands, and one that crashes is a row with its reason. Refuses no model for its accuracy: whoever ships it decides.

    for row in export_model(detector, ["openvino", "ncnn"], shown, out=folder, threads=2):
        print(row)
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from edgewright.artifacts import Artifact
from edgewright.convert.read import open_written
from edgewright.convert.write import Written, silenced, staging_of, write
from edgewright.detect.evaluate import Sample, evaluate
from edgewright.detect.forward import as_network
from edgewright.detect.network import GRAPH_FILE, SPEC_FILE, WEIGHTS_FILE, load_module
from edgewright.errors import EdgewrightError
from edgewright.runtime.boxes import Boxes, FloatArray
from edgewright.runtime.preprocess import letterbox, read_image
from edgewright.runtime.session import EVALUATION_SCORE_THRESHOLD, ModelSpec, Network, predictor

FLOAT = "float"
_COMPARED, _TIMED = 4, 15
_CLEAR = 0.05
"""Of an end-to-end output: what scores less is not compared, for it fills the places that no object needs."""


@dataclass(frozen=True)
class Shown:
    """A picture's file with its truth, in px of it: read where it is looked at, one at a time."""

    path: Path
    truth: Boxes
    ignored: Boxes

    @property
    def sample(self) -> Sample:
        return Sample(read_image(self.path), self.truth, self.ignored)


@dataclass(frozen=True)
class Exported:
    """A format, as far as it got.

    Attributes:
        bytes: of all its files; None where it was not written.
        map50_95: on the pictures; None where nothing here runs it, or they show no object.
        difference: largest of raw outputs to the float network's, in input px or score; of an end-to-end output between
            each clear row and the nearest.
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
    detector: Artifact, names: Sequence[str], shown: Sequence[Shown], *, out: Path, threads: int
) -> Iterator[Exported]:
    """The float detector first, then each format as it is done, in a folder of `out` by its name."""
    files = {name: detector.path(name) for name in (WEIGHTS_FILE, GRAPH_FILE, SPEC_FILE)}
    module, spec = load_module(detector.path)
    network = as_network(module, device=torch.device("cpu"))
    torch.set_num_threads(threads)
    map50_95 = _map_of(network, spec, shown)
    torch.set_num_threads(1)
    took = _median_ms(network, spec)
    torch.set_num_threads(threads)
    yield Exported(FLOAT, map50_95=map50_95, median_ms=took)
    for name in names:
        yield _apart(_export, name, files, shown, out / name, threads, name=name, out=out)


def _apart(work: Callable[..., Exported], *arguments: Any, name: str, out: Path) -> Exported:
    """In a process of its own, whose end is a result too."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(work, *arguments).result()
        except BrokenProcessPool:
            shutil.rmtree(staging_of(out / name), ignore_errors=True)  # nobody else is left to
            if (out / name).is_dir():
                return Exported(name, _bytes(out / name), note="written; the process that ran it ended without a word")
            return Exported(name, note="not written: the converter's process ended without a word")


def _export(name: str, files: Mapping[str, Path], shown: Sequence[Shown], out: Path, threads: int) -> Exported:
    torch.set_num_threads(threads)
    with silenced():  # runtimes print too
        try:
            written = write(name, files.__getitem__, out=out)
        except EdgewrightError as error:
            return Exported(name, note=f"not written: {error}")
        if written.format is None:
            return Exported(name, _bytes(out), note="written by ultralytics, not run: nothing of ours opens it")
        try:
            return _looked_at(written, shown, _bytes(out), threads=threads)
        except Exception as error:  # noqa: BLE001 - whatever a runtime raises
            return Exported(name, _bytes(out), note=f"not run: {error}")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _looked_at(written: Written, shown: Sequence[Shown], size: int, *, threads: int) -> Exported:
    assert written.format is not None
    spec = written.spec
    network = open_written(written.path, written.format, input_px=spec.input_px, threads=threads)
    alone = open_written(written.path, written.format, input_px=spec.input_px, threads=1)
    inputs = (letterbox(read_image(each.path), size_px=spec.input_px)[0] for each in islice(shown, _COMPARED))
    return Exported(
        written.format.name,
        size,
        _map_of(network, spec, shown),
        max((difference(network(each), written.before(each), layout=spec.layout) for each in inputs), default=None),
        _median_ms(alone, spec),
    )


def difference(found: FloatArray, expected: FloatArray, *, layout: str) -> float:
    """The largest, in px or score. Rows of an end-to-end output stand by score: near ones change places."""
    if layout == "dense":
        return float(np.abs(found - expected).max())
    clear = expected[0][expected[0, :, 4] >= _CLEAR]
    apart = np.abs(clear[:, None] - found[0][None]).max(axis=2)
    return float(apart.min(axis=1).max(initial=0.0))


def _map_of(network: Network, spec: ModelSpec, shown: Sequence[Shown]) -> float | None:
    predict = predictor(network, spec, score_threshold=EVALUATION_SCORE_THRESHOLD)
    return evaluate(predict, (each.sample for each in shown), classes=spec.classes, n_samples=len(shown)).map50_95


def _median_ms(network: Network, spec: ModelSpec) -> float:
    picture = np.full((1, 3, spec.input_px, spec.input_px), 0.45, np.float32)
    took = []
    for _ in range(_TIMED):
        began = time.perf_counter()
        network(picture)
        took.append(1000 * (time.perf_counter() - began))
    return median(took[2:])
