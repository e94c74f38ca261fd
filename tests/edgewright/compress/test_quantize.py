"""From a float detector to the file a device loads."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from safetensors.torch import save_file
from torch import nn

from edgewright.artifacts import Artifact, Content, Record, Store
from edgewright.compress.calibrate import CalibrationImages, choose_calibration_rows
from edgewright.compress.emulate import with_saturation
from edgewright.compress.export import export_onnx, minify
from edgewright.compress.fpga.session import open_fpga
from edgewright.compress.qdq import quantized_convs
from edgewright.compress.quantize import QuantizeReport, quantize, quantize_model
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Label, Row
from edgewright.detect.efficientdet.graph import graph_named
from edgewright.detect.efficientdet.network import EfficientDet
from edgewright.detect.evaluate import Evaluation, Sample, evaluate
from edgewright.detect.forward import as_network
from edgewright.detect.graph_file import write_graph
from edgewright.detect.network import GRAPH_FILE, WEIGHTS_FILE, load_module
from edgewright.detect.yolo.graphs import slim_graph
from edgewright.detect.yolo.network import build_module
from edgewright.errors import InputError
from edgewright.gates.model_gate import decide_model
from edgewright.gates.verdict import Outcome
from edgewright.recipe.compress import QuantizeConfig
from edgewright.recipe.gates import GateModelConfig
from edgewright.runtime.boxes import FloatArray
from edgewright.runtime.preprocess import letterbox
from edgewright.runtime.session import ModelSpec, load_exact_network, load_network, predictor
from tests.cells import SPEC as CELLS
from tests.cells import cell_detector, publish_cells
from tests.measured_models import GOOD

Int8 = tuple[Artifact, QuantizeReport]

FLOAT_OPS = {"Sigmoid", "Softmax", "Concat", "Mul", "Sub", "Add", "Div"}


@pytest.fixture(scope="module")
def exported(detector: Artifact) -> tuple[nn.Module, onnx.ModelProto]:
    module, spec = load_module(detector.path)
    return module, export_onnx(module, input_px=spec.input_px)


def run(model: onnx.ModelProto, tensor: FloatArray) -> FloatArray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: tensor})[0]


def test_what_is_published(int8: Int8, squares: Dataset) -> None:
    artifact, report = int8
    assert artifact.files == ["float.onnx", "model-safe.onnx", "model.onnx", "quantize.json", "spec.json"]
    spec = ModelSpec.from_json(artifact.json("spec.json"))
    assert (spec.classes, spec.input_px, spec.iou_threshold) == (squares.classes, 64, 0.5)
    assert report.bytes == artifact.path("model.onnx").stat().st_size
    assert report.bytes < 0.45 * report.float_bytes
    assert artifact.json("quantize.json")["calibration_ids"] == list(report.calibration_ids)
    assert report.quantized_convolutions == report.convolutions - 1  # all but the box decoder's


def test_the_safe_file_and_what_is_known_of_both(int8: Int8) -> None:
    artifact, report = int8
    assert report.safe_bytes == artifact.path("model-safe.onnx").stat().st_size
    assert len(report.narrowed) + len(report.in_float) <= report.quantized_convolutions
    assert with_saturation(onnx.load(artifact.path("model-safe.onnx"))).layers == ()
    unsafe = {layer.name for layer in report.saturation}
    assert unsafe == {*report.narrowed, *report.in_float} == {name for name in unsafe if name.startswith("/model.")}
    facts = artifact.json("quantize.json")
    assert [layer["name"] for layer in facts["saturation"]] == [layer.name for layer in report.saturation]
    for layers in facts["layers"].values():
        errors = [layer["error"] for layer in layers]
        assert errors == sorted(errors, reverse=True)
        assert len(errors) == report.convolutions


def test_calibration_sees_real_train_images_and_every_class(int8: Int8, squares: Dataset) -> None:
    chosen = [row for row in squares.rows if row.id in int8[1].calibration_ids]
    assert len(chosen) == 8
    assert {(row.split, row.origin) for row in chosen} == {("train", "real")}
    assert {label.class_id for row in chosen for label in row.labels} == {0, 1}


def test_activations_are_unsigned_weights_signed_and_the_decoder_float(int8: Int8) -> None:
    graph = onnx.load(int8[0].path("model.onnx")).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    zero_points = [node.input[2] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert {types[name] for name in zero_points} == {onnx.TensorProto.UINT8}
    kernels = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 4 and tensor.dims[0] > 1}
    assert kernels == {onnx.TensorProto.INT8}
    after = {node.input[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    decoders = [node for node in graph.node if node.op_type in FLOAT_OPS - {"Concat", "Add"}]
    assert decoders
    assert not [node.op_type for node in decoders if node.output[0] in after]


def test_the_same_inputs_give_the_same_artifact(int8: Int8, make_int8: Callable[..., Int8]) -> None:
    assert make_int8(calibration_images=8)[0].ref == int8[0].ref


@pytest.mark.parametrize(
    ("fields", "file"),
    [
        # fewer pictures: other ranges
        ({"calibration_images": 4}, "model.onnx"),
        # ranges from a histogram
        ({"calibration_images": 8, "calibration": "entropy"}, "model.onnx"),
        ({"calibration_images": 8, "calibration": "percentile"}, "model.onnx"),
        # kernels that lose little, and yet too much
        ({"calibration_images": 8, "safe_max_loss": 0.001}, "model-safe.onnx"),
        # biases as they were
        ({"calibration_images": 8, "bias_correction": False}, "model.onnx"),
    ],
)
def test_every_field_changes_the_artifact(
    int8: Int8, make_int8: Callable[..., Int8], fields: dict[str, object], file: str
) -> None:
    other, _ = make_int8(**fields)
    assert other.path(file).read_bytes() != int8[0].path(file).read_bytes()


def test_one_scale_a_tensor_is_another_model_and_the_recipe_says_what_is_reported(
    int8: Int8, make_int8: Callable[..., Int8]
) -> None:
    other, _ = make_int8(calibration_images=8, per_channel=False, score_threshold=0.4, iou_threshold=0.45)
    assert other.path("model.onnx").read_bytes() != int8[0].path("model.onnx").read_bytes()
    spec = ModelSpec.from_json(other.json("spec.json"))
    assert (spec.score_threshold, spec.iou_threshold) == (0.4, 0.45)


def test_what_int8_harms_is_told_of_both_files_and_stays_in_float_where_it_must(
    int8: Int8, make_int8: Callable[..., Int8]
) -> None:
    """Layers go back to float, where the file has room."""
    artifact, report = make_int8(calibration_images=8, max_drop=0.0)
    assert report.searched is not None
    assert set(report.searched) == {"model.onnx", "model-safe.onnx"}
    for name, found in report.searched.items():
        errors = [layer.error for layer in found.layers]
        assert errors == sorted(errors, reverse=True)
        assert found.met == (found.drop <= 0)
        rounded = sum(len(layer.names) for layer in found.layers if not layer.in_float)
        assert len(quantized_convs(onnx.load(artifact.path(name)))) == rounded
    assert artifact.json("quantize.json")["searched"]["model.onnx"]["drop"] == report.searched["model.onnx"].drop
    assert artifact.path("quantize.json").read_bytes() != int8[0].path("quantize.json").read_bytes()
    assert int8[1].searched is None


def test_it_reports_from_the_score_that_is_best_on_val(int8: Int8, squares: Dataset) -> None:
    """No hundredth of a score has a better F1 there."""
    artifact, _ = int8
    spec = ModelSpec.from_json(artifact.json("spec.json"))
    network = load_network(artifact.path("model.onnx"))
    rows = squares.select(split="val", labeled=True)

    def f1(threshold: float) -> float:
        found = evaluate(
            predictor(network, spec, score_threshold=0.05),
            (Sample(squares.image(row), row.boxes) for row in rows),
            classes=squares.classes,
            reports_from=threshold,
        )
        assert found.operating is not None
        recall, precision = found.operating.recall or 0.0, found.operating.precision or 0.0
        return 2 * recall * precision / max(recall + precision, 1e-9)

    best = max(f1(hundredth / 100) for hundredth in range(5, 100))
    assert f1(spec.score_threshold) == pytest.approx(best)


@pytest.mark.trains
def test_float_onnx_equals_torch(exported: tuple[nn.Module, onnx.ModelProto]) -> None:
    module, model = exported
    tensor = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    expected = as_network(module, device=torch.device("cpu"))(tensor)
    assert np.abs(run(model, tensor) - expected).max() < 1e-3


def test_minify_changes_no_bit_and_saves_bytes(exported: tuple[nn.Module, onnx.ModelProto]) -> None:
    _, model = exported
    tensor = np.random.default_rng(1).random((1, 3, 64, 64), dtype=np.float32)
    small = minify(model)
    onnx.checker.check_model(small)
    assert (run(small, tensor) == run(model, tensor)).all()
    assert small.ByteSize() < model.ByteSize()
    assert {value.name for value in (*small.graph.input, *small.graph.output)} == {"images", "detections"}
    assert minify(small).SerializeToString(deterministic=True) == small.SerializeToString(deterministic=True)


def test_it_is_silent_and_leaves_no_temporary_file(
    make_int8: Callable[..., Int8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make_int8(calibration_images=5)
    captured = capfd.readouterr()
    assert captured.out + captured.err + caplog.text == ""
    assert list(tmp_path.iterdir()) == []
    assert not Path("augmented_model.onnx").exists()


def test_another_class_list_is_refused(detector: Artifact, squares: Dataset, tmp_path: Path) -> None:
    other = Dataset(
        ref=squares.ref, manifest=squares.manifest, classes=("blue", "red"), rows=squares.rows, shards=squares.shards,
        locate=squares._locate,
    )  # fmt: skip
    with pytest.raises(InputError, match="class lists differ"):
        quantize(detector, other, QuantizeConfig(), out=tmp_path, seed=0, threads=1)


def test_nothing_to_calibrate_on_is_refused(squares: Dataset) -> None:
    for rows, said in (([], "no photograph"), (squares.rows[:1], "one photograph")):
        with pytest.raises(InputError, match=f"{said} to calibrate on"):
            CalibrationImages(squares, rows, input_name="images", input_px=64)


def test_the_file_for_an_fpga_finds_what_the_others_find(
    int8: Int8, make_int8: Callable[..., Int8], squares: Dataset
) -> None:
    artifact, report = make_int8(calibration_images=8, fpga=True)
    assert artifact.path("quantize.json").read_bytes() != int8[0].path("quantize.json").read_bytes()
    facts = artifact.json("quantize.json")["fpga"]
    assert facts["bytes"] == artifact.path("model-fpga.onnx").stat().st_size < 1.1 * report.bytes
    assert facts["support"]["on_unit"]["Conv"] == report.convolutions - 1
    assert facts["support"]["reasons"] == {}
    fpga = open_fpga(onnx.load(artifact.path("model-fpga.onnx")))
    spec = ModelSpec.from_json(artifact.json("spec.json"))
    rows = squares.select(split="val", labeled=True)
    tensor = letterbox(squares.image(rows[0]), size_px=64)[0]
    floats, found = load_network(artifact.path("float.onnx"))(tensor), fpga.network(tensor)
    assert np.abs(found[0, :4] - floats[0, :4]).mean() < 2.0, "px"
    assert np.abs(found[0, 4:] - floats[0, 4:]).mean() < 0.02
    for row in rows:
        sure = predictor(load_network(artifact.path("float.onnx")), spec, score_threshold=0.3)(squares.image(row))
        seen = predictor(fpga.network, spec, score_threshold=0.1)(squares.image(row))
        assert (sure.iou(seen).max(axis=1, initial=0.0) > 0.7).all()
    assert facts["largest_sum"] > 0


COLLAPSE_PX = 640


def test_a_graph_that_is_quantized_whole_finds_nothing_and_is_refused(store: Store, tmp_path: Path) -> None:
    """Boxes of 640 px and scores of at most 1 with one scale of 8 bits: half of its step is more than any score."""
    cells = publish_cells(store, n=4)
    samples = [Sample(cells.image(row), row.boxes) for row in cells.rows]
    spec = replace(CELLS, input_px=COLLAPSE_PX)
    floating, whole = (tmp_path / f"{name}.onnx" for name in ("float", "whole"))
    floating.write_bytes(cell_detector(input_px=COLLAPSE_PX, box_px=28.0 * COLLAPSE_PX / CELLS.input_px))
    tensors = iter([letterbox(sample.image, size_px=COLLAPSE_PX)[0] for sample in samples])
    reader = SimpleNamespace(get_next=lambda: next(({"image": tensor} for tensor in tensors), None))
    quantize_static(
        floating,
        whole,
        reader,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=[node.op_type for node in onnx.load(floating).graph.node],
        activation_type=QuantType.QUInt8,
    )

    def found(path: Path) -> Evaluation:
        return evaluate(predictor(load_exact_network(path), spec), samples, classes=spec.classes)

    before, after = found(floating), found(whole)
    assert (before.map50, after.map50) == (1.0, 0.0)
    assert load_exact_network(whole)(letterbox(samples[0].image, size_px=COLLAPSE_PX)[0])[0, 4:].max() == 0
    shown = {"float_map50": before.map50, "float_map50_95": before.map50_95}
    shown |= {"int8_map50": after.map50, "int8_map50_95": after.map50_95}
    verdict = decide_model(replace(GOOD, **shown), GateModelConfig(min_map50=0.0))  # were any mAP enough
    assert (verdict.outcome, verdict.decision) == (Outcome.REFUSE, "end")
    assert {check.set_at for check in verdict.checks if check.outcome is Outcome.REFUSE} == {"gate_model.max_map_drop"}


def test_the_published_file_loads_on_the_device_runtime(int8: Int8) -> None:
    output = load_network(int8[0].path("model.onnx"))(np.zeros((1, 3, 64, 64), np.float32))
    assert output.shape == (1, 6, 84)
    assert json.dumps(output.tolist())


ROWS = st.lists(st.sets(st.integers(0, 2)), max_size=20).map(
    lambda shown: [
        Row(
            id=f"{index:02d}", sha256="", labels=tuple(Label(0, class_id, (0, 0, 1, 1)) for class_id in sorted(classes))
        )
        for index, classes in enumerate(shown)
    ]
)


@given(ROWS, st.integers(4, 12), st.randoms())
def test_choice_of_calibration_rows(rows: list[Row], count: int, random: Random) -> None:
    chosen = choose_calibration_rows(rows, count=count, seed=0, n_classes=3)
    assert len({row.id for row in chosen}) == len(chosen) == min(count, len(rows))
    present = {label.class_id for row in rows for label in row.labels}
    assert {label.class_id for row in chosen for label in row.labels} == present  # 4 places for 3 classes
    random.shuffle(rows)
    assert choose_calibration_rows(rows, count=count, seed=0, n_classes=3) == chosen


def test_the_default_graph_is_under_two_megabytes(squares: Dataset) -> None:
    module = build_module(slim_graph(width=0.1875, n_classes=3), n_classes=3).eval().fuse(verbose=False)
    rows = squares.select(split="train")[:2]
    reader = CalibrationImages(squares, rows, input_name="images", input_px=256)
    models = quantize_model(export_onnx(module, input_px=256), reader, QuantizeConfig())
    assert minify(models.whole).ByteSize() < 2_000_000
    assert minify(models.safe.model).ByteSize() < 2_000_000


@pytest.fixture(scope="module")
def lite(store: Store, squares: Dataset) -> Artifact:
    """An EfficientDet that has learned nothing, with statistics as after learning: else it hardly sees its picture."""
    torch.manual_seed(0)
    module = EfficientDet(graph_named("efficientdet-slim", n_classes=2))
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.bias, std=0.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            norm.running_var.uniform_(0.01, 0.1)  # type: ignore[union-attr]
    spec = ModelSpec(squares.classes, 64, "dense", 0.25, 0.6)
    with store.workspace() as out:
        save_file(module.state_dict(), out / WEIGHTS_FILE)
        write_graph(module.graph.to_json(), out / GRAPH_FILE)
        (out / "spec.json").write_text(json.dumps(spec.to_json()))
        (out / "detector.json").write_text("{}")
        return store.open(store.publish(out, Content(kind="detector", stage="train_detector"), Record()))


def test_files_with_a_feature_detect_what_those_without_do(lite: Artifact, squares: Dataset, tmp_path: Path) -> None:
    """Layers are searched and all forms made: what a second output is made of changes nothing else, bit for bit."""
    reports = {}
    for name, feature in (("without", False), ("with", True)):
        (tmp_path / name).mkdir()
        config = QuantizeConfig(calibration_images=4, fpga=True, feature=feature)
        reports[name] = quantize(lite, squares, config, out=tmp_path / name, seed=0, threads=1)
    assert reports["with"].layers == reports["without"].layers
    assert reports["with"].searched == reports["without"].searched is not None
    tensor, _ = letterbox(squares.image(squares.rows[0]), size_px=64)
    features = {}
    for file in ("float.onnx", "model.onnx", "model-safe.onnx", "model-fpga.onnx"):
        one, two = (load_network(tmp_path / name / file) for name in ("without", "with"))
        np.testing.assert_array_equal(one(tensor), two(tensor))
        assert (one.feature_size, one.feature, two.feature_size) == (0, None, 192)
        features[file] = two.feature
        grown = (tmp_path / "with" / file).stat().st_size - (tmp_path / "without" / file).stat().st_size
        assert 0 < grown < 200, "bytes"
    module, _ = load_module(lite.path)
    with torch.inference_mode():
        pooled = module.backbone(torch.from_numpy(tensor))[-1].mean(dim=(2, 3))[0].numpy()  # type: ignore[operator]
    np.testing.assert_allclose(features["float.onnx"], pooled, rtol=1e-3, atol=1e-3 * np.abs(pooled).max())
    for feature in features.values():
        assert feature @ pooled / np.linalg.norm(feature) / np.linalg.norm(pooled) > 0.9
    graph = onnx.load(tmp_path / "with/model.onnx").graph
    made = next(node for node in graph.node if "feature" in node.output)
    assert made.op_type == "ReduceMean", "in float, and not rounded after"
    assert not module.gives_feature, "an export leaves the module as it was"


def test_a_network_that_gives_no_feature_is_refused_with_a_sentence(
    detector: Artifact, squares: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"this network gives no feature.*another family.*quantize.feature=false"):
        quantize(detector, squares, QuantizeConfig(feature=True), out=tmp_path, seed=0, threads=1)
    wide = EfficientDet(replace(graph_named("efficientdet-lite0", n_classes=2), width=2.0))
    with pytest.raises(InputError, match=r"at most 512 last channels.*one of 640"):
        export_onnx(wide, input_px=64, feature=True)
