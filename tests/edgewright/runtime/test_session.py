"""The inference session and the whole way from picture to boxes."""

from __future__ import annotations

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
from edgewright.runtime.session import ModelSpec, load_network, predictor

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
