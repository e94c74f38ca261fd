"""Fixtures that more than one room's tests use: real servers, real data, a toy run, the command line."""

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
from tasks.engine.tracking import Tracker
from tasks.serve.prefect_server import prefect_server

_OF_SERVICES = ("EDGEWRIGHT", "PREFECT", "MLFLOW")

# Ray reads its password once in a process, at the first test that imports it.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

pytest_plugins = ("tests.budget", "tests.cut_points", "tests.goldens", "tests.workers")

settings.register_profile("house", derandomize=True, deadline=None)  # the same examples on every machine, however slow
settings.load_profile("house")


@pytest.fixture(autouse=True)
def no_service_is_left_named() -> Iterator[None]:
    """A variable that names a service outlives its test, and every command started after it goes there."""
    before = {name: value for name, value in os.environ.items() if name.startswith(_OF_SERVICES)}
    yield
    after = {name: value for name, value in os.environ.items() if name.startswith(_OF_SERVICES)}
    if after == before:
        return
    for name in {*before, *after}:
        os.environ.pop(name, None)
    os.environ.update(before)
    pytest.fail(f"this test left the environment changed: {dict(after.items() ^ before.items())}")


Command = Callable[..., subprocess.CompletedProcess[str]]
_SWIFT = Path(__file__).parent / "servers" / "swift.py"


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


@pytest.fixture
def s3_site(s3_bucket: str, s3_environment: dict[str, str]) -> str:
    """Where anybody may read `s3_bucket` by HTTP, at Swift's own address of it."""
    import boto3

    boto3.client("s3").put_bucket_acl(Bucket=s3_bucket, ACL="public-read")
    return f"{s3_environment['AWS_ENDPOINT_URL']}/v1/AUTH_test/{s3_bucket}"


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


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small sources as strangers bring them, in `src/<case>`, and what is true of each, in `truth/<case>.json`.

    Made by the `make_cases.py` in the folder that EDGEWRIGHT_CASES names.
    """
    named = os.environ.get("EDGEWRIGHT_CASES", "")
    if not named:
        pytest.skip("EDGEWRIGHT_CASES is not set: no sources as strangers bring them to test on")
    maker = Path(named) / "make_cases.py"
    if not maker.is_file():
        pytest.skip(f"EDGEWRIGHT_CASES names no folder with a make_cases.py: {named}")
    out = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, str(maker.resolve()), str(out)], check=True, capture_output=True)
    return out


TOY = (
    "ingest.photographs=90",
    "train_generator.steps=40",
    "train_generator.batch=16",
    "train_generator.width=16",
    "train_labeler.steps=60",
    "train_labeler.batch=8",
    "train_labeler.width=8",
    "train_labeler.image_px=96",
    "generate.images=24",
    "generate.image_px=160",
    "gate_data.bootstraps=20",
    "train_detector.epochs=12",
    "train_detector.batch=4",
    "train_detector.image_px=96",
    "compress.method=channels",
    "compress.epochs=2",
    "quantize.calibration_images=16",
    "quantize.score_threshold=0.02",
    "quantize.max_drop=1",
    "gate_model.latency_runs=20",
    "gate_model.max_map_drop=0.2",
    "gate_model.min_parity=0.5",
    "gate_model.min_map50=0.001",
    "gate_model.min_class_map50=0",
    "gate_model.max_p99_ms=5000",
    "flash.feed_frames=6",
)
"""The whole life cycle at toy size: every stage is real, none is good. Bounds are loose; quality is not tested here.

The detector has to find something (the model gate cannot judge one that does not): it takes 160 steps of small batches,
and is asked for all that it has an inkling of.
"""

BRIEF = (
    *TOY,
    "train_generator.steps=4",
    "train_labeler.steps=8",
    "train_labeler.folds=1",
    "generate.images=4",
)
"""Every stage does its work, and the detector alone learns: for a test of where a run is, not of what it makes."""


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


@pytest.fixture
def environment() -> Iterator[None]:
    """What a command tells the libraries of this process is no other test's business."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@dataclass(frozen=True)
class ToyRun:
    """A finished toy run.

    Attributes:
        store, record: its store and its entry under `runs`, as the run left them: later runs and `gc` use the home.
        printed: the object it printed.
    """

    home: Path
    store: Path
    record: Path
    printed: dict[str, Any]
    stderr: str
    seconds: float


def with_store(store: Path, home: Path) -> Path:
    """A home that knows a store's artifacts: the same files under other names, for what is published stays as it is."""
    shutil.copytree(store, home / "store", copy_function=os.link)
    return home


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    """The whole DAG, once a test session, by the command a person types, in a home where nothing is prepared."""
    home, kept = tmp_path_factory.mktemp("toy"), tmp_path_factory.mktemp("toy-store")
    began = time.monotonic()
    result = edgewright("run", "demo", *with_settings(TOY), "--json", home=home)
    seconds = time.monotonic() - began
    with_store(home / "store", kept)
    printed = json.loads(result.stdout)
    record = shutil.copytree(home / "runs" / printed["run_id"], kept / "runs" / printed["run_id"])
    return ToyRun(home, kept / "store", record, printed, result.stderr, seconds)


@pytest.fixture
def toy_home(toy_run: ToyRun, tmp_path: Path) -> Path:
    """A home of the test's own whose store knows the toy run: what the test changes is all that is computed."""
    return with_store(toy_run.store, tmp_path / "home")


@pytest.fixture(scope="session")
def share_store() -> Callable[[Path, Path], Path]:
    """`share_store(store, home)`, for tests that share such a home."""
    return with_store


@pytest.fixture(scope="session")
def toy_settings() -> list[str]:
    return with_settings(TOY)


@pytest.fixture(scope="session")
def brief_settings() -> list[str]:
    return with_settings(BRIEF)


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one Prefect server for all commands whose tests are not about servers."""
    settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path_factory.mktemp("prefect"))})
    with prefect_server(settings) as server:
        server.wait()
        yield server.api_url


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow file with all its tables, which take MLflow seconds to make."""
    folder = tmp_path_factory.mktemp("migrated")
    Tracker(f"sqlite:///{folder}/mlflow.db", artifacts=folder).registered_digests()
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def command(prefect_api: str, migrated: Path) -> Command:
    """The command line in a home that need not start a server or make MLflow's tables; `edgewright` does both."""

    def run(*words: str, home: Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        tracked = home / "mlflow" / "mlflow.db"
        if not tracked.exists():
            tracked.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(migrated, tracked)
        return edgewright(*words, home=home, check=check, **{"PREFECT_API_URL": prefect_api, **environment})

    return run
