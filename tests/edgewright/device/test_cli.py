"""The agent as it runs on a device: its own process, its exit codes, what it loads, what it reports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from edgewright.device.cli import main
from edgewright.device.home import keep_wish, wish_of
from edgewright.device.offer import Wish
from edgewright.device.process import agent_command, agent_environment, selftest_in_child
from edgewright.device.report import OUTBOX_REPORTS, DeviceReport, send
from edgewright.release.repository import ReleaseReport
from edgewright.release.server import RepositoryServer
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import engines_here
from tests.edgewright.device.conftest import Device

Make = Callable[..., Path]
Publish = Callable[..., ReleaseReport]
MakeDevice = Callable[..., Device]
HEAVY = {"torch", "prefect", "mlflow", "pydantic", "pyarrow", "ultralytics", "onnx", "boto3", "yaml", "scipy", "cv2"}


INIT = ["init", "--home", "x", "--server", "http://127.0.0.1:1", "--device-id", "d"]


def agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        agent_command(*arguments), env=agent_environment(), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def home(make_bundle: Make, publish: Publish, make_device: MakeDevice) -> Path:
    """A device that runs release 1; release 2 is published."""
    publish(make_bundle(release=1))
    device = make_device()
    device.update()
    device.start_and_commit()
    publish(make_bundle(release=2, gain=0.9))
    return device.home.root


def test_update_run_status_and_what_the_server_hears(
    home: Path, server: RepositoryServer, feed: Path, tmp_path: Path
) -> None:
    done = agent("update", "--home", str(home))
    assert (done.returncode, done.stderr) == (0, "")
    assert "release 2 installed, on trial in slot b" in done.stdout
    done = agent("run", "--home", str(home), "--feed", str(feed), "--out", str(tmp_path / "out"), "--frames", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert "release 2 in slot b: 6 detections on 3 frames" in done.stdout
    status = json.loads(agent("status", "--home", str(home), "--json").stdout)
    assert (status["slot"], status["release"], status["on_trial"], status["floor"]) == ("b", 2, False, 0)
    assert status["model"] == "model.onnx: the release has one file"
    assert status["novelty"] == "", "no watch has seen a window"
    assert status["engine"] in {str(engine) for engine in engines_here()}, "measured after the flash"
    said = agent("benchmark", "--home", str(home)).stdout
    assert said.count("(taken)") == 1
    assert len(said.splitlines()) == len(engines_here())
    update, run = (DeviceReport.from_json(value) for value in server.received["device-0"])
    assert (update.command, update.on_trial, run.command, run.on_trial) == ("update", True, "run", False)
    assert run.model == status["model"]
    assert run.feed
    assert run.selftest
    assert (run.feed.detections, run.selftest.passed, run.selftest.found) == (6, True, 4)


def test_the_agent_needs_nothing_beyond_the_base(home: Path) -> None:
    """Everything heavy is made impossible to import (securesystemslib tries boto3 by itself, and does without)."""
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(HEAVY)}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from edgewright.device.cli import main
assert main(sys.argv[1:]) == 0
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    command = [sys.executable, "-P", "-c", code, "update", "--home", str(home)]
    done = subprocess.run(command, env=agent_environment(), capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert {"numpy", "onnxruntime", "PIL", "tuf"} <= loaded
    assert loaded & {*HEAVY, "tasks", "flows"} == set()


def test_a_folder_of_devices(
    make_bundle: Make, publish: Publish, make_device: MakeDevice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody names a device, the only one is meant, `status` tells of all, and several are named."""
    publish(make_bundle(release=1))
    devices = tmp_path / "devices"
    make_device("devices/a").update()
    assert main(["update"], devices=devices) == 0
    assert main(["status", "--json"], devices=devices) == 0
    [told] = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert (told["home"], told["release"], told["metadata"]) == (str(devices / "a"), 1, 1)
    left = datetime.fromisoformat(told["metadata_until"]) - datetime.fromisoformat(told["metadata_from"])
    assert left == pytest.approx(timedelta(days=7), abs=timedelta(minutes=5))
    make_device("devices/b")
    assert main(["status"], devices=devices) == 0
    said = capsys.readouterr().out
    assert said.count("device_id ") == 2 and "(valid for 6 days)" in said and "(0 minutes ago)" in said
    assert main(["update"], devices=devices) == 2
    assert (
        f"several devices (expected one, got a, b, in {devices}). Next: --home {devices / 'a'}"
        in capsys.readouterr().err
    )


def test_what_is_no_start_does_not_count_as_one(home: Path, tmp_path: Path, make_device: MakeDevice) -> None:
    """A release on trial has three: not for a feed without pictures, not for the engines."""
    at = ("--home", str(home))
    assert main(["update", *at]) == 0
    (tmp_path / "empty").mkdir()
    assert main(["run", *at, "--feed", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 2
    assert main(["benchmark", *at]) == 0
    assert agent("self-test", str(home / "slots/b")).returncode == 0  # it limits its own process
    assert make_device().slots.state().starts == 0


@pytest.mark.parametrize(
    ("before", "arguments", "after"),
    [
        (Wish(window="22-6"), ["--pin", "3"], Wish(pin=3, window="22-6")),
        (Wish(pin=3), ["--window", "22-6"], Wish(pin=3, window="22-6")),
        (Wish(pin=3, window="22-6"), ["--hold"], Wish(hold=True, pin=3, window="22-6")),
        (Wish(hold=True, pin=3, window="22-6"), ["--go"], Wish(window="22-6")),
        (Wish(hold=True, window="22-6"), ["--go", "--pin", "4"], Wish(pin=4, window="22-6")),
        (Wish(pin=3, window="22-6"), ["--window", ""], Wish(pin=3)),
        (Wish(pin=3, window="22-6"), ["--pin", "0"], Wish(window="22-6")),
        (Wish(pin=3), [], Wish(pin=3)),
    ],
)
def test_a_wish_changes_what_is_given_alone(
    home: Path,
    make_device: MakeDevice,
    before: Wish,
    arguments: list[str],
    after: Wish,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keep_wish(make_device().home, before)
    assert main(["wish", "--home", str(home), *arguments]) == 0
    assert wish_of(make_device().home) == after
    assert capsys.readouterr().out == f"{after}\n"


def test_a_wish_that_cannot_be_read_is_lost_when_somebody_says_so(home: Path, make_device: MakeDevice) -> None:
    (home / "wish.json").write_bytes(b"{")
    assert main(["wish", "--home", str(home), "--pin", "3"]) == 2
    assert main(["wish", "--home", str(home), "--go"]) == 0
    assert wish_of(make_device().home) == Wish()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["status", "--home", "nowhere"], 2, "not a device's folder"),
        (["run", "--home", "HOME", "--feed", "nowhere", "--out", "OUT"], 2, "the feed cannot be read"),
        ([*INIT, "--root", "nowhere"], 2, "not a trust root"),
        ([*INIT, "--root", "HOME/trust/timestamp.json"], 2, "not a trust root"),  # signed, but no root
    ],
)
def test_errors_are_one_sentence(home: Path, tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    places = {"HOME": str(home), "OUT": str(tmp_path / "out")}
    done = agent(*(argument.replace("HOME", places["HOME"]).replace("OUT", places["OUT"]) for argument in arguments))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert done.stderr.startswith("edgewright-device: ")
    assert said in done.stderr


def test_a_model_that_takes_too_much_is_a_failed_self_test(make_bundle: Make) -> None:
    """A tile of 2⁴⁰ bytes: the child's address space ends, the agent goes on."""
    import hashlib

    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    bundle = make_bundle()
    nodes = [
        helper.make_node("Tile", ["image", "often"], ["huge"]),
        helper.make_node("ReduceMax", ["huge"], ["output"], keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "bomb",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, 1])],
        [numpy_helper.from_array(np.array([1 << 12, 1 << 6, 1, 1]), "often")],
    )
    payload = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    document = json.loads((bundle / "manifest.json").read_bytes())
    document["files"]["model.onnx"] = {"sha256": hashlib.sha256(payload).hexdigest(), "bytes": len(payload)}
    (bundle / "model.onnx").write_bytes(payload)
    (bundle / "manifest.json").write_text(json.dumps(document))
    assert Bundle.load(bundle)
    result = selftest_in_child(bundle)
    assert not result.passed


def test_reports_wait_while_the_server_is_away(make_device: MakeDevice, home: Path, server: RepositoryServer) -> None:
    device = make_device()
    trust_root = device.home.trust_root
    device.__init__(home, trust_root=trust_root, server_url="http://127.0.0.1:9")
    for release in range(1, OUTBOX_REPORTS + 3):
        assert send(device.home, DeviceReport("device-0", "run", release=release)) != ""
    device.__init__(home, trust_root=trust_root, server_url=server.url)
    assert send(device.home, DeviceReport("device-0", "run", release=99)) == ""
    heard = [report["release"] for report in server.received["device-0"]]
    assert (len(heard), heard[0], heard[-1]) == (OUTBOX_REPORTS, 4, 99)  # the oldest were dropped
    (home / "outbox.sqlite").write_text("{broken")
    assert send(device.home, DeviceReport("device-0", "run")) == ""
