from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.release.bundle import build_bundle
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.bundle import Bundle, BundleManifest, FileEntry, Golden, Tolerance
from edgewright.runtime.instruction_sets import Processor
from edgewright.runtime.onnx_file import refuse_external_data
from edgewright.runtime.selftest import SelfTest, differences, run_selftest
from edgewright.runtime.session import ModelSpec, load_network

Make = Callable[..., Path]
NAMES = st.from_regex(r"\Agolden/[a-z0-9]{1,8}\.png\Z")
ROWS = st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(50, 99)] * 2, st.sampled_from([0.25, 0.5]), st.integers(0, 1))


@given(
    st.dictionaries(NAMES, st.lists(ROWS, max_size=3), min_size=1, max_size=4),
    st.integers(1, 10**6),
    st.sampled_from([None, 0, 1]),
)
def test_a_manifest_round_trips(golden: dict[str, list[tuple[Any, ...]]], release: int, safe: int | None) -> None:
    models = ["model.onnx"] if safe is None else ["model.onnx", "model-safe.onnx"]
    rows_of = {name: tuple(tuple(map(float, row)) for row in rows) for name, rows in golden.items()}
    manifest = BundleManifest(
        release=release,
        channel="stable",
        spec=ModelSpec(("red", "green"), 64, "dense", 0.5, 0.6),
        files={name: FileEntry("ab" * 32, 10) for name in [*models, *golden]},
        golden=tuple(Golden(name, rows, None if safe is None else rows[safe:]) for name, rows in rows_of.items()),
        latency_budget_ms=20.0,
        start={} if safe is None else {"name": "EfficientNet-lite0", "license": "Apache-2.0"},
    )
    assert BundleManifest.from_bytes(manifest.to_bytes()) == manifest
    assert manifest.numbered(release + 1).digest == manifest.digest


def change(path: tuple[Any, ...], value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return apply


@pytest.mark.parametrize(
    "spoil",
    [
        change(("format_version",), 2),
        change(("release",), 0),
        change(("channel",), "../stable"),
        change(("files", "../../etc/passwd"), {"sha256": "ab" * 32, "bytes": 1}),  # a path out of the folder
        change(("files", "extra.bin"), {"sha256": "ab" * 32, "bytes": 1}),
        change(("files", "model.onnx", "bytes"), 10**12),
        change(("files", "model.onnx", "sha256"), "AB"),
        change(("golden", 0, "file"), "golden/../x.png"),
        change(("golden", 0, "expected"), [[1, 2, 3]]),
        change(("golden", 0, "expected"), [[5, 5, 1, 1, 0.5, 0]]),  # x2 < x1
        change(("golden",), []),  # nothing to test by
        change(("latency_budget_ms",), float("nan")),
        change(("tolerance", "min_iou"), -1),
        change(("spec", "input_px"), 33),
        change(("spec", "input_px"), 1 << 40),
        change(("min_agent_version",), "newest"),
        change(("start",), {"name": "EfficientNet-lite0"}),  # a field that agents of this format do not know
        change(("surprise",), 1),
    ],
)
def test_a_manifest_that_is_refused(make_bundle: Make, spoil: Callable[[dict[str, Any]], None]) -> None:
    """From its bytes alone, whatever lies beside it."""
    document = json.loads((make_bundle() / "manifest.json").read_bytes())
    spoil(document)
    with pytest.raises(ArtifactCorrupt, match="not a bundle manifest"):
        BundleManifest.from_bytes(json.dumps(document).encode())


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"{" * 100_000, b'"x"', b"\xff", b" " * 1_000_001])
def test_bytes_that_are_no_manifest(payload: bytes) -> None:
    with pytest.raises(ArtifactCorrupt):
        BundleManifest.from_bytes(payload)


WITH_VNNI = Processor("x86_64", frozenset({"avx2", "avx_vnni"}))
WITHOUT = Processor("x86_64", frozenset({"avx2"}))


def test_each_processor_runs_its_model_and_is_asked_for_what_that_finds(make_bundle: Make) -> None:
    folder = make_bundle(safe_gain=0.85)  # its scores are lower than the other's by more than the tolerance
    bundles = [Bundle.load(folder, processor=processor) for processor in (WITH_VNNI, WITHOUT)]
    assert [bundle.model.name for bundle in bundles] == ["model.onnx", "model-safe.onnx"]
    assert [str(bundle.choice) for bundle in bundles] == [
        "model.onnx: x86_64 with avx_vnni",
        "model-safe.onnx: x86_64 without VNNI",
    ]
    assert [run_selftest(bundle).passed for bundle in bundles] == [True, True]
    scores = [bundle.manifest.golden[0].boxes(bundle.choice.file).score.max() for bundle in bundles]
    assert scores[0] - scores[1] > 0.1


def test_the_other_processors_model_need_not_be_there(make_bundle: Make) -> None:
    folder = make_bundle(safe_gain=0.95)
    (folder / "model.onnx").unlink()
    assert run_selftest(Bundle.load(folder, processor=WITHOUT)).passed
    for load in (lambda: Bundle.load(folder, processor=WITH_VNNI), lambda: Bundle.load_whole(folder)):
        with pytest.raises(ArtifactCorrupt, match="missing"):
            load()


def test_the_other_models_detections_do_not_pass(make_bundle: Make) -> None:
    folder = make_bundle(safe_gain=0.85)
    document = json.loads((folder / "manifest.json").read_bytes())
    for golden in document["golden"]:
        golden["expected_safe"] = golden["expected"]
    (folder / "manifest.json").write_text(json.dumps(document))
    assert run_selftest(Bundle.load(folder, processor=WITH_VNNI)).passed
    assert not run_selftest(Bundle.load(folder, processor=WITHOUT)).passed


def test_a_bundle_with_one_model_is_as_it_ever_was(make_bundle: Make) -> None:
    folder = make_bundle()
    document = json.loads((folder / "manifest.json").read_bytes())
    assert document["format_version"] == 1
    assert {name for golden in document["golden"] for name in golden} == {"file", "expected"}
    assert Bundle.load(folder, processor=WITHOUT).model.name == "model.onnx"


@pytest.mark.parametrize(
    "spoil",
    [
        change(("format_version",), 1),
        change(("format_version",), 3),
        lambda document: document["golden"][0].pop("expected_safe"),
        lambda document: document["files"].pop("model-safe.onnx"),
        lambda document: document["files"].pop("model.onnx"),
        change(("golden", 0, "expected_safe"), [[1, 2, 3]]),
        change(("golden", 0, "expected_safe"), [[5, 5, 1, 1, 0.5, 0]]),
        change(("files", "model-safe.onnx", "bytes"), 10**12),
        change(("start",), {"name": 3}),
        change(("start",), ["EfficientNet-lite0"]),
    ],
)
def test_two_models_that_do_not_belong_together(make_bundle: Make, spoil: Callable[[dict[str, Any]], None]) -> None:
    folder = make_bundle(safe_gain=0.95)
    document = json.loads((folder / "manifest.json").read_bytes())
    spoil(document)
    (folder / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactCorrupt):
        Bundle.load(folder)


def test_a_link_in_a_bundle_is_refused(make_bundle: Make) -> None:
    bundle = make_bundle()
    (bundle / "model.onnx").rename(bundle.parent / "elsewhere")
    (bundle / "model.onnx").symlink_to(bundle.parent / "elsewhere")
    with pytest.raises(ArtifactCorrupt, match="no plain file"):
        Bundle.load(bundle)


def test_the_same_inputs_give_the_same_bundle(make_bundle: Make) -> None:
    one, two = (Bundle.load(make_bundle()) for _ in range(2))
    assert one.manifest_sha256 == two.manifest_sha256


@pytest.mark.parametrize("names", [[], ["a", "a"], ["../a"], ["a b"]])
def test_golden_names_that_are_refused(make_bundle: Make, spec: ModelSpec, tmp_path: Path, names: list[str]) -> None:
    golden = [(name, np.zeros((64, 64, 3), np.uint8)) for name in names]
    with pytest.raises(InputError, match="not names for golden pictures"):
        build_bundle(
            model=make_bundle() / "model.onnx",
            spec=spec,
            golden=golden,
            release=1,
            channel="stable",
            out=tmp_path / "out",
            latency_budget_ms=9.0,
        )


def ticking(step_s: float) -> Callable[[], float]:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += step_s
        return now

    return clock


def test_a_self_test_that_passes_and_one_that_is_too_slow(make_bundle: Make) -> None:
    bundle = Bundle.load(make_bundle(latency_budget_ms=50.0))
    result = run_selftest(bundle, clock=ticking(0.010))
    assert (result.passed, result.images, result.expected, result.found) == (True, 2, 4, 4)
    assert run_selftest(Bundle.load(make_bundle(latency_budget_ms=50.0, feature=1.0)), clock=ticking(0.010)) == result
    assert result.median_ms == pytest.approx(10.0)
    assert SelfTest.from_json(json.loads(json.dumps(result.to_json()))) == result
    slow = run_selftest(bundle, clock=ticking(0.060))
    assert slow.reasons == ("a picture takes 60.0 ms, the budget is 50.0 ms",)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"gain": 0.1}, "2 of 2 expected detections not found"),  # finds nothing
        ({"gain": 0.75}, "not found"),  # scores drifted by more than the tolerance
        ({"box_px": 20.0}, "detections not expected"),  # boxes elsewhere
        ({"gain": float("nan")}, "not a finite output"),
        ({"gain": float("inf")}, "not a finite output"),
        ({"feature": float("nan")}, "second.png: the feature is not finite"),
    ],
)
def test_another_models_output_fails(make_bundle: Make, model: dict[str, float], said: str) -> None:
    """The bundle of a good model, with the file of another in its place: what a bad kernel would look like."""
    import hashlib

    bundle = make_bundle(feature=1.0)
    graph = onnx.load_from_string((bundle / "model.onnx").read_bytes())
    for tensor in graph.graph.initializer:
        if tensor.name == "gain" and "gain" in model:
            tensor.CopyFrom(numpy_helper.from_array(np.array(model["gain"], np.float32), "gain"))
        if tensor.name == "times" and "feature" in model:
            tensor.CopyFrom(numpy_helper.from_array(np.array(model["feature"], np.float32), "times"))
        if tensor.name == "boxes" and "box_px" in model:
            boxes = numpy_helper.to_array(tensor).copy()
            boxes[:, 2:] = model["box_px"]
            tensor.CopyFrom(numpy_helper.from_array(boxes, "boxes"))
    payload = graph.SerializeToString()
    document = json.loads((bundle / "manifest.json").read_bytes())
    document["files"]["model.onnx"] = {"sha256": hashlib.sha256(payload).hexdigest(), "bytes": len(payload)}
    (bundle / "model.onnx").write_bytes(payload)
    (bundle / "manifest.json").write_text(json.dumps(document))
    result = run_selftest(Bundle.load(bundle))
    assert not result.passed
    assert said in " ".join(result.reasons)


BOX = [0, 0, 10, 10]


@pytest.mark.parametrize(
    ("expected", "found", "sentences"),
    [
        ([(BOX, 0, 0.9)], [(BOX, 0, 0.9)], 0),
        ([(BOX, 0, 0.9)], [(BOX, 0, 0.85)], 0),  # within the score gap
        ([(BOX, 0, 0.9)], [(BOX, 1, 0.9)], 2),  # another class: one missed, one surplus
        ([(BOX, 0, 0.9)], [([0, 0, 10, 11], 0, 0.9)], 0),  # IoU 0.91
        ([(BOX, 0, 0.9)], [([5, 0, 15, 10], 0, 0.9)], 2),
        ([(BOX, 0, 0.55)], [], 0),  # too near to the threshold to count
        ([], [(BOX, 0, 0.55)], 0),
        ([], [(BOX, 0, 0.9)], 1),
        ([], [], 0),
    ],
)
def test_what_counts_as_a_difference(expected: list[Any], found: list[Any], sentences: int) -> None:
    def boxes(rows: list[Any]) -> Boxes:
        return Boxes.of([row[0] for row in rows], class_id=[row[1] for row in rows], score=[row[2] for row in rows])

    assert len(differences(boxes(expected), boxes(found), tolerance=Tolerance(), threshold=0.5)) == sentences


def test_external_data_is_refused_wherever_it_hides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime would read it from the current folder, although it was given bytes."""
    weight = numpy_helper.from_array(np.arange(2000, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2000])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2000])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    refuse_external_data(model.SerializeToString())
    inside = helper.make_node("Constant", [], ["w"], value=weight)
    hidden = helper.make_model(helper.make_graph([inside], "h", [], []))
    tensor = hidden.graph.node[0].attribute[0].t
    tensor.data_location = TensorProto.EXTERNAL
    monkeypatch.chdir(tmp_path)
    onnx.save(model, "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    for payload in ((tmp_path / "m.onnx").read_bytes(), hidden.SerializeToString()):
        with pytest.raises(InputError, match="external data"):
            refuse_external_data(payload)
    with pytest.raises(InputError, match="external data"):
        load_network(tmp_path / "m.onnx")


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with contextlib.suppress(InputError):
        refuse_external_data(payload)
