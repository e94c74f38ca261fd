"""What INT8 costs, measured on the test split."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edgewright.artifacts import Artifact
from edgewright.compress.measure import ModelMeasurement, measure_latency, measure_model, measure_parity
from edgewright.compress.quantize import QuantizeReport
from edgewright.data.dataset import Dataset
from edgewright.errors import InputError
from edgewright.gates.champion import Comparison
from edgewright.recipe.gates import GateModelConfig
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.session import ModelSpec
from tasks.gate_model import _numbers

Measured = tuple[ModelMeasurement, list[tuple[int, int]]]
Found = list[tuple[list[int], int, float]]

SPEC = ModelSpec(("a", "b"), 64, "dense", 0.25, 0.6)
A, B = [0, 0, 10, 10], [30, 30, 50, 50]


@pytest.fixture(scope="module")
def measured(int8: tuple[Artifact, QuantizeReport], detector: Artifact, squares: Dataset) -> Measured:
    seen = []
    result = measure_model(
        int8[0],
        detector,
        squares,
        GateModelConfig(latency_runs=12),
        threads=1,
        on_progress=lambda done, total, what: seen.append((done, total)),
    )
    return result, seen


@pytest.mark.trains
def test_all_three_forms_are_measured_on_the_test_split(
    measured: Measured, int8: tuple[Artifact, QuantizeReport]
) -> None:
    result, seen = measured
    assert result.bytes == int8[1].bytes
    assert {e.n_images for e in (result.float_torch, result.float_onnx, result.int8)} == {4}
    assert result.float_onnx.map50 == pytest.approx(result.float_torch.map50, abs=0.02)
    assert result.export_difference < 0.01
    assert seen[:12] == [(done, 12) for done in range(1, 13)]
    assert seen[12:]
    assert all(1 <= done <= total == 4 for done, total in seen[12:])


def test_each_file_is_measured_in_each_form(measured: Measured, int8: tuple[Artifact, QuantizeReport]) -> None:
    files = measured[0].files
    assert {name: file.bytes for name, file in files.items()} == {
        "model.onnx": int8[1].bytes,
        "model-safe.onnx": int8[1].safe_bytes,
    }
    assert {form for form, found in files["model-safe.onnx"].forms.items() if found.decides} == {
        "as run here",
        "as written",
        "with saturation",
    }
    assert files["model-safe.onnx"].saturating == 0 < files["model.onnx"].saturating
    assert all(found.n_images == 4 for file in files.values() for found in file.forms.values())
    assert all(0 < (file.layer_error or 0) < 1 and file.worst_layer for file in files.values())


def test_the_file_for_an_fpga_is_measured_and_told_and_decides_nothing(
    detector: Artifact, squares: Dataset, make_int8: Callable[..., tuple[Artifact, QuantizeReport]], measured: Measured
) -> None:
    artifact, _ = make_int8(calibration_images=8, fpga=True)
    found = measure_model(artifact, detector, squares, GateModelConfig(latency_runs=10), threads=1)
    assert found.fpga is not None
    assert (found.fpga.run_by, found.fpga.n_images) == ("emulation", 4)
    assert found.fpga.bytes == artifact.path("model-fpga.onnx").stat().st_size
    assert found.fpga.map50 == pytest.approx(found.float_onnx.map50, abs=0.3)
    again = ModelMeasurement.from_json(json.loads(json.dumps(found.to_json())))
    assert again.fpga == found.fpga
    assert measured[0].fpga is None
    numbers = _numbers(found, Comparison())
    assert numbers["fpga_map50"] == found.fpga.map50
    assert "model-fpga.onnx" not in found.files, "the gate decides on what devices load"


def test_latency_is_of_the_asked_number_of_runs(measured: Measured) -> None:
    for latency in (measured[0].float_latency, measured[0].int8_latency):
        assert latency.runs == 12
        assert 0 < latency.p50_ms <= latency.p99_ms


def test_json_round_trip(measured: Measured) -> None:
    result, _ = measured
    assert result.mistakes is not None
    assert result.mistakes.n_missed <= sum(result.int8.n_truth.values())
    kept = replace(result, mistakes=None)  # they have a file of their own
    assert ModelMeasurement.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False))) == kept


@pytest.mark.parametrize(
    ("reference", "candidate", "share", "n"),
    [
        # the same boxes
        ([(A, 0, 0.9), (B, 1, 0.8)], [(A, 0, 0.9), (B, 1, 0.8)], 1.0, 2),
        # one fell below what the device reports
        ([(A, 0, 0.9), (B, 1, 0.3)], [(A, 0, 0.9), (B, 1, 0.2)], 0.5, 2),
        # another class is not the same detection
        ([(A, 0, 0.9)], [(A, 1, 0.9)], 0.0, 1),
        # too far away
        ([(A, 0, 0.9)], [([8, 8, 18, 18], 0, 0.9)], 0.0, 1),
        # float reports nothing: there is no share
        ([(A, 0, 0.1)], [(A, 0, 0.9)], None, 0),
    ],
)
def test_parity(reference: Found, candidate: Found, share: float | None, n: int) -> None:
    def of(rows: Found) -> Boxes:
        return Boxes.of([row[0] for row in rows], class_id=[r[1] for r in rows], score=[r[2] for r in rows])

    parity = measure_parity([of(reference)], [of(candidate)], spec=SPEC)
    assert (parity.share, parity.n) == (share, n)


def test_latency_takes_pictures_in_turn() -> None:
    seen = []
    pictures = [np.full((1, 1, 3), value, np.uint8) for value in range(3)]
    latency = measure_latency(lambda image: seen.append(int(image[0, 0, 0])), pictures, runs=4)
    assert latency.runs == 4
    assert seen[-4:] == [0, 1, 2, 0]


def test_without_a_test_photograph_there_is_nothing_to_measure(
    int8: tuple[Artifact, QuantizeReport], detector: Artifact, squares: Dataset
) -> None:
    rows = [replace(row, origin="synthetic") for row in squares.rows]
    empty = Dataset(
        ref=squares.ref, manifest=squares.manifest, classes=squares.classes, rows=rows, shards=squares.shards,
        locate=squares._locate,
    )  # fmt: skip
    with pytest.raises(InputError, match="no labeled test photograph"):
        measure_model(int8[0], detector, empty, GateModelConfig(), threads=1)
