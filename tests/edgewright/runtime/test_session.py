"""The inference session and the whole way from picture to boxes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgewright.errors import InputError
from edgewright.runtime import session
from edgewright.runtime.engines import Engine, open_network
from edgewright.runtime.session import ModelSpec, load_network, predictor
from tests.cells import cell_detector

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is an extra")
SPEC = ModelSpec(("a", "b"), 64, "dense", 0.25, 0.6)


def write_model(path: Path, *, inputs: tuple[str, ...] = ("images",), side: int = 64, external: bool = False) -> Path:
    """A model that says the same whatever it sees: one box of class 1 in the middle."""
    answer = np.array([[[32], [32], [16], [8], [0.1], [0.9]]], np.float32)
    weight = numpy_helper.from_array(answer, "answer")
    nodes = [
        helper.make_node("ReduceMean", [inputs[0]], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "answer"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, side, side]) for name in inputs],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 6, 1])],
        [weight, numpy_helper.from_array(np.zeros((1,), np.float32), "nothing")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, path, save_as_external_data=external, location="weights.bin", size_threshold=0)
    return path


def test_from_picture_to_boxes(tmp_path: Path) -> None:
    predict = predictor(load_network(write_model(tmp_path / "m.onnx")), SPEC)
    found = predict(np.zeros((100, 200, 3), np.uint8))
    # 64 px input, scale 0.32, 16 px of gray above: (24, 28, 40, 36) => (75, 37.5, 125, 62.5)
    np.testing.assert_allclose(found.xyxy, [[75, 37.5, 125, 62.5]], atol=1e-3)
    assert found.class_id.tolist() == [1]


def test_the_threshold_is_the_specification_s_unless_given(tmp_path: Path) -> None:
    network = load_network(write_model(tmp_path / "m.onnx"))
    image = np.zeros((64, 64, 3), np.uint8)
    strict = ModelSpec(("a", "b"), 64, "dense", 0.95, 0.6)
    assert len(predictor(network, strict)(image)) == 0
    assert len(predictor(network, strict, score_threshold=0.5)(image)) == 1


def test_a_class_without_a_name_is_refused(tmp_path: Path) -> None:
    network = load_network(write_model(tmp_path / "m.onnx"))
    with pytest.raises(InputError, match="more classes"):
        predictor(network, ModelSpec(("a",), 64, "dense", 0.25, 0.6))(np.zeros((64, 64, 3), np.uint8))


def test_another_input_size_is_refused(tmp_path: Path) -> None:
    network = load_network(write_model(tmp_path / "m.onnx", side=96))
    with pytest.raises(InputError, match="does not take this input"):
        predictor(network, SPEC)(np.zeros((64, 64, 3), np.uint8))


def test_refused_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load_network(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_bytes(b"hello")
    with pytest.raises(InputError):
        load_network(tmp_path / "text.onnx")
    with pytest.raises(InputError, match="not a detector"):
        load_network(write_model(tmp_path / "two.onnx", inputs=("images", "more")))
    monkeypatch.setattr(session, "MAX_MODEL_BYTES", 10)
    with pytest.raises(InputError, match="too large"):
        load_network(write_model(tmp_path / "big.onnx"))


def test_weights_outside_the_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # ONNX Runtime looks for them in the current folder
    with pytest.raises(InputError, match="external data"):
        load_network(write_model(tmp_path / "m.onnx", external=True))


def with_feature(path: Path, *, kind: int = TensorProto.FLOAT, shape: Sequence[object] = (1, 8), **said: Any) -> Path:
    """The same model with a second output. `said`: its name, and what it gives where that is not what it declares."""
    model, name = onnx.load(write_model(path)), said.get("name", "feature")
    size = shape[-1] if shape and isinstance(shape[-1], int) else 8
    given = said.get("given", np.arange(min(size, 4096), dtype=helper.tensor_dtype_to_np_dtype(kind))[None])
    model.graph.initializer.append(numpy_helper.from_array(given, "given"))
    model.graph.node.append(helper.make_node("Identity", ["given"], [name]))
    model.graph.output.append(helper.make_tensor_value_info(name, kind, list(shape)))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("engine", [Engine(), pytest.param(Engine("openvino"), marks=needs_openvino)], ids=str)
def test_a_second_output_is_the_feature_of_the_last_picture(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "two.onnx").write_bytes(cell_detector(feature=2.0))
    (tmp_path / "one.onnx").write_bytes(cell_detector())
    two, one = (open_network(tmp_path / name, engine) for name in ("two.onnx", "one.onnx"))
    assert (two.feature_size, one.feature_size, two.feature) == (3, 0, None)
    pictures = np.random.default_rng(0).random((2, 1, 3, 64, 64), dtype=np.float32)
    features = []
    for picture in pictures:
        np.testing.assert_array_equal(two(picture), one(picture))
        assert two.feature is not None and two.feature.dtype == np.float32
        features.append(two.feature)
        np.testing.assert_allclose(two.feature, 2 * picture[0].mean(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(features[0], 2 * pictures[0][0].mean(axis=(1, 2)), rtol=1e-4)  # it is not written over
    assert one.feature is None


@pytest.mark.parametrize("engine", [Engine(), pytest.param(Engine("openvino"), marks=needs_openvino)], ids=str)
@pytest.mark.parametrize(
    "second",
    [
        # too much to keep
        {"shape": (1, 513)},
        {"shape": (1, 500_000)},
        # not one row
        {"shape": (8,), "given": np.zeros(8, np.float32)},
        {"shape": (2, 4), "given": np.zeros((2, 4), np.float32)},
        {"shape": (1, 8, 1, 1), "given": np.zeros((1, 8, 1, 1), np.float32)},
        {"shape": (), "given": np.array(1, np.float32)},
        {"shape": (1, 0), "given": np.zeros((1, 0), np.float32)},
        # another name
        {"name": "more"},
        # no floats
        {"kind": TensorProto.INT64},
        {"kind": TensorProto.DOUBLE},
    ],
    ids=str,
)
def test_any_other_second_output_is_refused(engine: Engine, second: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a second output that is no feature|refuses the model"):
        open_network(with_feature(tmp_path / "m.onnx", **second), engine)


def test_three_outputs_are_no_detector(tmp_path: Path) -> None:
    model = onnx.load(with_feature(tmp_path / "m.onnx"))
    model.graph.output.append(helper.make_tensor_value_info("given", TensorProto.FLOAT, [1, 8]))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="not a detector"):
        load_network(tmp_path / "m.onnx")


@pytest.mark.parametrize("engine", [Engine(), pytest.param(Engine("openvino"), marks=needs_openvino)], ids=str)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_feature_that_is_not_finite_is_none_and_detections_go_on(
    engine: Engine, wrong: float, tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(cell_detector(feature=wrong))
    network = open_network(tmp_path / "m.onnx", engine)
    assert np.isfinite(network(np.ones((1, 3, 64, 64), np.float32))).all()
    assert network.feature is None


def test_a_feature_that_is_not_what_it_declares_is_refused_when_it_comes(tmp_path: Path) -> None:
    """How many places of a picture pass a mark is known only then."""
    model = onnx.load(write_model(tmp_path / "m.onnx"))
    model.graph.node.extend(
        [
            helper.make_node("NonZero", ["images"], ["places"]),
            helper.make_node("Cast", ["places"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["numbers", "row"], ["feature"]),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, -1]), "row"))
    model.graph.output.append(helper.make_tensor_value_info("feature", TensorProto.FLOAT, [1, 8]))
    onnx.save(model, tmp_path / "m.onnx")
    network = load_network(tmp_path / "m.onnx")
    tensor = np.zeros((1, 3, 64, 64), np.float32)
    tensor[0, 0, 0, :2] = 1
    network(tensor)
    assert network.feature is not None and network.feature.tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    with pytest.raises(InputError, match="not what it declares"):
        network(np.ones((1, 3, 64, 64), np.float32))


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    model = onnx.load(write_model(tmp_path / "m.onnx"))
    model.graph.node[0].op_type = "Wobble"
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(InputError, match=r"refuses the model.*Wobble"):
        load_network(tmp_path / "odd.onnx")


@pytest.mark.parametrize(
    "fields",
    [
        # no class
        {"classes": ()},
        # not a multiple of the coarsest stride
        {"input_px": 100},
        # a tensor that no device holds
        {"input_px": 32 * 10_000_000},
        # a layout that nobody reads
        {"layout": "grid"},
        # thresholds that are no shares
        {"score_threshold": 1.5},
        {"iou_threshold": -0.1},
    ],
)
def test_refused_specifications(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        ModelSpec.from_json({**SPEC.to_json(), **fields})


def test_an_incomplete_specification_is_refused() -> None:
    with pytest.raises(InputError):
        ModelSpec.from_json({"classes": ["a"]})


@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=5),
    st.integers(1, 40),
    st.sampled_from(["dense", "end2end"]),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_specification_round_trip(classes: list[str], strides: int, layout: str, score: float, iou: float) -> None:
    spec = ModelSpec(tuple(classes), 32 * strides, layout, score, iou)
    assert ModelSpec.from_json(spec.to_json()) == spec
