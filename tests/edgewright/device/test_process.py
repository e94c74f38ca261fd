"""What becomes of a bundle that means harm, in the child that tries it, and of what waits for ever."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgewright.device import process
from edgewright.device.process import selftest_in_child, within
from edgewright.device.updater import update
from edgewright.errors import DeviceUnreachable, UpdateRefused
from edgewright.release.repository import ReleaseReport
from edgewright.runtime.bundle import Bundle
from tests.edgewright.device.conftest import Device

Make = Callable[..., Path]


def harmful(bundle: Path, spoil: Callable[[ModelProto], None]) -> Path:
    """The bundle with its model spoiled and its manifest in order: as whoever may sign could make it."""
    model = onnx.load(bundle / "model.onnx")
    spoil(model)
    payload = model.SerializeToString()
    document = json.loads((bundle / "manifest.json").read_bytes())
    document["files"]["model.onnx"] = {"sha256": hashlib.sha256(payload).hexdigest(), "bytes": len(payload)}
    (bundle / "model.onnx").write_bytes(payload)
    (bundle / "manifest.json").write_text(json.dumps(document))
    assert Bundle.load(bundle).manifest.files["model.onnx"].bytes == len(payload)
    return bundle


def first(model: ModelProto, *nodes: onnx.NodeProto, **constants: Any) -> None:
    """Compute these before all else."""
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    kept = [*nodes, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def a_tensor_of_more_than_there_is(model: ModelProto) -> None:
    """1.6 GB of zeros in 300 bytes, without which it finds what it should."""
    huge = helper.make_node("ConstantOfShape", ["side"], ["huge"])
    most = helper.make_node("ReduceMax", ["huge"], ["most"], keepdims=0)
    first(model, huge, most, helper.make_node("Add", ["image", "most"], ["shown"]), side=np.array([1 << 14, 3 << 13]))
    model.graph.node[3].input[0] = "shown"


def weights_that_are_not_there(model: ModelProto) -> None:
    model.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40], raw_data=b"\0"))
    first(model, helper.make_node("ReduceMax", ["w"], ["most"], keepdims=0))


def an_input_of_another_shape(model: ModelProto) -> None:
    for dimension in model.graph.input[0].type.tensor_type.shape.dim:
        dimension.dim_value = 1 << 40


def an_operator_that_nobody_knows(model: ModelProto) -> None:
    model.graph.node[0].op_type = "Wobble"


def an_operator_of_another_house(model: ModelProto) -> None:
    """It names a file that an execution provider is to load."""
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    del model.graph.node[:]
    context = {"embed_mode": 0, "ep_cache_context": "/etc/passwd", "main_context": 1, "source": "OpenVINO"}
    model.graph.node.append(helper.make_node("EPContext", ["image"], ["output"], domain="com.microsoft", **context))


def weights_elsewhere(model: ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def a_loop_without_end(model: ModelProto) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["x", "one"], ["y"])],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("x", TensorProto.FLOAT, [])],
        [value("on", TensorProto.BOOL, []), value("y", TensorProto.FLOAT, [])],
    )
    loop = helper.make_node("Loop", ["", "true", "gain"], ["gained"], body=body)
    first(model, loop, one=np.array(0.0, np.float32), true=np.array(True))
    model.graph.node[4].input[1] = "gained"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (a_tensor_of_more_than_there_is, "Failed to allocate memory"),
        (weights_that_are_not_there, "ONNX Runtime refuses the model"),
        (an_input_of_another_shape, "does not take this input"),
        (an_operator_that_nobody_knows, "ONNX Runtime refuses the model.*Wobble"),
        (an_operator_of_another_house, "ONNX Runtime refuses the model.*EPContext"),
        (weights_elsewhere, "a model with external data"),
        (a_loop_without_end, "the self-test took longer than 4 s"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_model_that_means_harm_is_a_failed_self_test(
    make_bundle: Make, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[ModelProto], None], said: str
) -> None:
    monkeypatch.setattr(process, "SELFTEST_TIMEOUT_S", 4.0 if spoil is a_loop_without_end else 60.0)
    result = selftest_in_child(harmful(make_bundle(), spoil))
    assert not result.passed
    assert re.search(said, result.reasons[0])


def test_a_signed_release_with_such_a_model_is_refused_with_the_operators_name_and_the_old_one_runs(
    make_bundle: Make, publish: Callable[..., ReleaseReport], make_device: Callable[..., Device]
) -> None:
    publish(make_bundle(release=1))
    device = make_device()
    device.update()
    device.start_and_commit()
    publish(harmful(make_bundle(release=2), an_operator_that_nobody_knows))
    with pytest.raises(UpdateRefused, match=r"fails its self-test on this device.*No Op registered for Wobble"):
        update(device.home)
    assert device.slots.bundle("b") is None
    assert (device.start().slot, device.running) == ("a", 1)


def test_what_waits_for_a_server_ends() -> None:
    """A socket without a limit of its own, as one that gets a byte now and then."""
    before = signal.getsignal(signal.SIGALRM)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as line,
        pytest.raises(DeviceUnreachable, match=r"the update took too long \(expected at most 0.2 s\)"),
        within(0.2, "the update"),
    ):
        line.recv(1)
    assert signal.getsignal(signal.SIGALRM) is before


def test_what_is_done_in_time_is_not_disturbed_later() -> None:
    with within(0.05, "the update"):
        pass
    time.sleep(0.1)


def test_beside_the_main_thread_it_does_nothing() -> None:
    done = threading.Event()

    def work() -> None:
        with within(0.01, "the update"):
            time.sleep(0.05)
            done.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert done.is_set()
