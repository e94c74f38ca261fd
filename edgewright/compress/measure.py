"""What INT8 costs: float, float ONNX and INT8 on real test images, and timed as a device runs them.

Decides nothing: `gates/model_gate.py` does. INT8 is the 8-bit file as a processor runs it that the file is for: by
ONNX Runtime where this machine's is one, else as it is written. Each file in every form: `measure_files`. All go
through the same letterbox, decoding and thresholds, so that a difference is the network's alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import onnx

from edgewright.artifacts import Artifact
from edgewright.compress.files import FLOAT_FILE, FPGA_FILE, INT8_FILE, SPEC_FILE
from edgewright.compress.forms import MUST_HOLD, forms_of
from edgewright.compress.fpga.session import open_fpga
from edgewright.compress.measure_files import FileMeasurement, Judge, measure_file
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Origin, Row, Split
from edgewright.detect.evaluate import Evaluation, Sample, evaluate, find_matches
from edgewright.detect.matching import Matched
from edgewright.detect.mistakes import Mistakes, find_mistakes
from edgewright.detect.network import load_float_network
from edgewright.errors import InputError
from edgewright.progress import OnProgress, silent
from edgewright.recipe.gates import GateModelConfig
from edgewright.runtime.boxes import Boxes, Image
from edgewright.runtime.preprocess import letterbox
from edgewright.runtime.session import (
    EVALUATION_SCORE_THRESHOLD,
    ModelSpec,
    Network,
    Predictor,
    load_network,
    predictor,
)

PARITY_IOU = 0.5
_WARM_UP_RUNS = 5
_COMPARED_IMAGES = 8


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one picture (letterbox, network, decoding; not reading the file) on one CPU thread."""

    p50_ms: float
    p99_ms: float
    runs: int


@dataclass(frozen=True)
class Parity:
    """Of `n` float detections at or above the reporting threshold, the `share` that INT8 finds; None where n is 0."""

    share: float | None
    n: int


@dataclass(frozen=True)
class FpgaMeasurement:
    """The file in an FPGA's number format. `run_by`: a card's execution provider, or `emulation`."""

    bytes: int
    map50: float | None
    map50_95: float | None
    n_images: int
    run_by: str


@dataclass(frozen=True)
class ModelMeasurement:
    """Everything measured of a model before it may be released. `to_json` is plain JSON.

    Attributes:
        bytes: of the one file that the device loads.
        float_bytes: of the float ONNX file.
        export_difference: largest absolute difference of float ONNX to torch, raw output, in input px or score.
        files: of each INT8 file that a device may load, by name; none in what was measured when there was one.
        fpga: None where no such file was wanted.
        mistakes: of INT8; None in what was measured before they were looked for. In a file of their own.
        matched: of INT8, to be compared with another model's; never written.
    """

    bytes: int
    float_bytes: int
    float_torch: Evaluation
    float_onnx: Evaluation
    int8: Evaluation
    parity: Parity
    export_difference: float
    float_latency: Latency
    int8_latency: Latency
    files: Mapping[str, FileMeasurement] = field(default_factory=dict)
    fpga: FpgaMeasurement | None = None
    mistakes: Mistakes | None = None
    matched: Matched | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Everything but the mistakes and the matches."""
        evaluations = {name: getattr(self, name).to_json() for name in ("float_torch", "float_onnx", "int8")}
        values = {**asdict(replace(self, mistakes=None, matched=None)), **evaluations}
        return {name: value for name, value in values.items() if name not in ("mistakes", "matched")}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ModelMeasurement:
        parts: dict[str, Any] = {
            **{name: Evaluation.from_json(value[name]) for name in ("float_torch", "float_onnx", "int8")},
            **{name: Latency(**value[name]) for name in ("float_latency", "int8_latency")},
            "parity": Parity(**value["parity"]),
            "files": {name: FileMeasurement.from_json(each) for name, each in value.get("files", {}).items()},
            "fpga": FpgaMeasurement(**value["fpga"]) if value.get("fpga") else None,
        }
        return cls(**{**value, **parts})


def measure_model(
    int8: Artifact,
    detector: Artifact,
    dataset: Dataset,
    config: GateModelConfig,
    *,
    threads: int,
    on_progress: OnProgress = silent,
) -> ModelMeasurement:
    """Evaluate and time the INT8 model and what it was made from, on labeled real `test` rows.

    Args:
        threads: for the evaluation; latency is always taken on one thread.

    Raises:
        InputError: another class list, or no labeled real test image.
    """
    spec = ModelSpec.from_json(int8.json(SPEC_FILE))
    dataset.check_classes(spec.classes)
    rows = judged_rows(dataset)
    torch_network, _ = load_float_network(detector.path, threads=threads)
    forms = {name: forms_of(int8.path(name), threads=threads) for name in MUST_HOLD}
    networks: dict[str, Network] = {
        "float": torch_network,
        "float ONNX": load_network(int8.path(FLOAT_FILE), threads=threads),
        "INT8": forms[INT8_FILE].shipped,
    }
    found = _evaluate_all(networks, spec, dataset, rows, on_progress)

    def judge(what: str, network: Network, shown: Sequence[Row]) -> Evaluation:
        return _evaluate_all({what: network}, spec, dataset, shown, on_progress)[what]

    known = {INT8_FILE: {forms[INT8_FILE].shipped_as: found["INT8"]}}
    files = {
        name: measure_file(int8, name, each, rows, judge=judge, known=known.get(name, {}))
        for name, each in forms.items()
    }
    pictures = [dataset.image(row) for row in rows[:_COMPARED_IMAGES]]
    timed = {name: load_network(int8.path(name), threads=1) for name in (FLOAT_FILE, INT8_FILE)}
    latency = {
        name: measure_latency(predictor(network, spec), pictures, runs=config.latency_runs)
        for name, network in timed.items()
    }
    return ModelMeasurement(
        bytes=int8.path(INT8_FILE).stat().st_size,
        float_bytes=int8.path(FLOAT_FILE).stat().st_size,
        float_torch=found["float"].without_parts,
        float_onnx=found["float ONNX"].without_parts,
        int8=found["INT8"].without_parts,
        parity=measure_parity(found["float"].detections, found["INT8"].detections, spec=spec),
        export_difference=_largest_difference(networks["float"], networks["float ONNX"], pictures, spec.input_px),
        float_latency=latency[FLOAT_FILE],
        int8_latency=latency[INT8_FILE],
        files=files,
        fpga=_measure_fpga(int8, rows, judge, threads=threads) if FPGA_FILE in int8.files else None,
        mistakes=_mistakes(found["INT8"].detections, rows, spec),
        matched=found["INT8"].matched,
    )


def _measure_fpga(int8: Artifact, rows: Sequence[Row], judge: Judge, *, threads: int) -> FpgaMeasurement:
    opened = open_fpga(onnx.load_model(int8.path(FPGA_FILE)), threads=threads)
    found = judge(f"{FPGA_FILE} by {opened.run_by}", opened.network, rows)
    return FpgaMeasurement(
        int8.path(FPGA_FILE).stat().st_size, found.map50, found.map50_95, found.n_images, opened.run_by
    )


def judged_rows(dataset: Dataset) -> list[Row]:
    """What every model of a data set is judged on. Raises InputError where there is none."""
    rows = dataset.select(split=Split.TEST, origin=Origin.REAL, labeled=True)
    if not rows:
        raise InputError("no labeled test photograph", expected="at least 1", where=dataset.ref.uri)
    return rows


def dataset_samples(dataset: Dataset, rows: Sequence[Row]) -> Iterator[Sample]:
    """Pictures with their truth, read one at a time."""
    return (Sample(dataset.image(row), row.boxes, row.ignored) for row in rows)


def measure_parity(reference: Sequence[Boxes], candidate: Sequence[Boxes], *, spec: ModelSpec) -> Parity:
    """Share of the reference's reported detections that the candidate reports too: same class, IoU >= 0.5.

    Both are cut at the threshold that the device uses, so a box that falls just below it counts as lost.
    """
    n = hits = 0
    for expected, got in zip(reference, candidate, strict=True):
        reported = expected[expected.score >= spec.score_threshold]
        n += len(reported)
        found = got[got.score >= spec.score_threshold]
        hits += int(find_matches(found, reported, iou_threshold=PARITY_IOU).sum())
    return Parity(hits / n if n else None, n)


def measure_latency(predict: Predictor, pictures: Sequence[Image], *, runs: int) -> Latency:
    """Time `runs` predictions after a warm-up, pictures in turn."""
    for index in range(_WARM_UP_RUNS):
        predict(pictures[index % len(pictures)])
    took_ms = np.zeros(runs)
    for index in range(runs):
        start = time.perf_counter()
        predict(pictures[index % len(pictures)])
        took_ms[index] = (time.perf_counter() - start) * 1000
    return Latency(float(np.percentile(took_ms, 50)), float(np.percentile(took_ms, 99)), runs)


def _evaluate_all(
    networks: dict[str, Network], spec: ModelSpec, dataset: Dataset, rows: Sequence[Row], on_progress: OnProgress
) -> dict[str, Evaluation]:
    total = len(networks) * len(rows)
    found: dict[str, Evaluation] = {}
    for name, network in networks.items():
        before = len(found) * len(rows)

        def report(done: int, _total: int, _what: str, before: int = before, name: str = name) -> None:
            on_progress(before + done, total, f"evaluating {name}")

        found[name] = evaluate(
            predictor(network, spec, score_threshold=EVALUATION_SCORE_THRESHOLD),
            dataset_samples(dataset, rows),
            classes=spec.classes,
            reports_from=spec.score_threshold,
            on_progress=report,
            collect=True,
        )
    return found


def _mistakes(detections: Sequence[Boxes], rows: Sequence[Row], spec: ModelSpec) -> Mistakes:
    judged = [(row.id, found, row.boxes, row.ignored) for row, found in zip(rows, detections, strict=True)]
    scales = [spec.input_px / max(row.width or 1, row.height or 1) for row in rows]
    return find_mistakes(judged, classes=spec.classes, score_threshold=spec.score_threshold, input_scales=scales)


def _largest_difference(a: Network, b: Network, pictures: Sequence[Image], input_px: int) -> float:
    tensors = [letterbox(picture, size_px=input_px)[0] for picture in pictures]
    return max(float(np.abs(a(tensor) - b(tensor)).max()) for tensor in tensors)
