"""Fixtures that more than one room's tests use: real servers, real data, a toy run, the command line; who shares what.

Two workers run the suites (`make test`). A folder's tests share what its conftest trains, so they stay on one worker;
each worker has a core, on which torch computes with one thread.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from edgewright.settings import read_settings

pytest_plugins = ("tests.budget",)
if "PYTEST_XDIST_WORKER" in os.environ:  # before the first import of torch, and for the processes below
    os.environ |= {"OMP_NUM_THREADS": "1", "EDGEWRIGHT_THREADS": "1"}

settings.register_profile("house", derandomize=True, deadline=None)  # the same examples on every machine, however slow
settings.load_profile("house")

_SWIFT = Path(__file__).parent / "servers" / "swift.py"
_FIRST = ("tests/slow/", "tests/flows/", "tests/edgewright/gates/", "tests/edgewright/synth/", "tests/edgewright/detect/")
"""Long groups begin first, so that no worker is alone with one at the end."""
_SHARING = ("tests/tasks", "tests/edgewright/label", "tests/edgewright/compress")
"""Folders whose conftest trains something for all of their files."""


def group_of(nodeid: str) -> str:
    """Tests of one group run on one worker: those of a file, of a room that shares what it trains, of the toy run."""
    file = nodeid.partition("::")[0]
    if file in ("tests/flows/test_lifecycle.py", "tests/slow/test_refusals.py"):
        return "toy run"
    folder = file.rpartition("/")[0]
    return folder if folder in _SHARING else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return ByGroup(config, log)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def s3_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running OpenStack Swift with s3api: it stores on disk and refuses a wrong secret."""
    if importlib.util.find_spec("swift") is None:
        pytest.skip("no S3 server: pip install 'edgewright[s3test]' brings OpenStack Swift")
    root, port = tmp_path_factory.mktemp("swift"), free_port()
    with (root / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, str(_SWIFT), str(root), str(port)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 90
        while b"ready" not in (root / "log").read_bytes():
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail("Swift did not start: " + (root / "log").read_text()[-2000:])
            time.sleep(0.2)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test:tester",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def s3_bucket(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh bucket on the running server; this process's boto3 talks to it."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    import boto3

    name = f"test-{secrets.token_hex(4)}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real labeled photographs that EDGEWRIGHT_REAL_DATA names."""
    named = os.environ.get("EDGEWRIGHT_REAL_DATA", "")
    if not named:
        pytest.skip("EDGEWRIGHT_REAL_DATA is not set: no real photographs to test on")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"EDGEWRIGHT_REAL_DATA names no folder: {named}")
    return folder.resolve()


TOY = (
    "ingest.photographs=90",
    "train_generator.steps=60",
    "train_labeler.steps=60",
    "train_labeler.image_px=96",
    "generate.images=24",
    "generate.image_px=160",
    "gate_data.bootstraps=20",
    "train_detector.epochs=24",
    "train_detector.batch=8",
    "train_detector.image_px=160",
    "quantize.calibration_images=16",
    "gate_model.latency_runs=20",
    "gate_model.max_map_drop=0.2",
    "gate_model.min_parity=0.5",
    "gate_model.min_map50=0.001",
    "gate_model.max_p99_ms=5000",
    "flash.feed_frames=6",
)
"""The whole life cycle at toy size: every stage is real, none is good. Bounds are loose; quality is not tested here."""


def edgewright(*words: str, home: Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in its own process, on its own home."""
    result = subprocess.run(
        [sys.executable, "-m", "edgewright.cli", *words],
        env={**os.environ, "EDGEWRIGHT_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    if check and result.returncode != 0:
        pytest.fail(f"edgewright {' '.join(words)} exited with {result.returncode}:\n{result.stderr[-4000:]}")
    return result


def with_settings(settings: tuple[str, ...]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@dataclass(frozen=True)
class ToyRun:
    """A finished toy run: its home, the object it printed, and what it wrote on stderr."""

    home: Path
    printed: dict[str, Any]
    stderr: str
    seconds: float


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    """The whole DAG, once a test session, by the command a person types."""
    home = tmp_path_factory.mktemp("toy")
    began = time.monotonic()
    result = edgewright("run", "demo", *with_settings(TOY), "--json", home=home)
    return ToyRun(home, json.loads(result.stdout), result.stderr, time.monotonic() - began)


@pytest.fixture(scope="session")
def toy_settings() -> list[str]:
    return with_settings(TOY)


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    return edgewright
