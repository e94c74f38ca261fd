"""Faults of an MLflow and of a store that the environment names: docs/faults.md says what comes of each.

Both are the real servers: MLflow's own, and an S3 that stores on disk. The store knows the toy run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from tests.conftest import ToyRun, free_port
from tests.servers.swift import ACCESS_KEY, SECRET_KEY
from tests.stack import Program, Stack, up

pytestmark = pytest.mark.faults

QUANTIZE = ("--from", "quantize", "--until", "quantize")
AWAY_S = 20.0
BUCKET = "faults"


@dataclass(frozen=True)
class Named:
    """A home that is up, and the servers that it uses."""

    stack: Stack
    mlflow: Program
    store: Program


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, toy_run: ToyRun) -> Iterator[Named]:
    pytest.importorskip("swift", reason="no S3 server: pip install 'edgewright[s3test]' brings OpenStack Swift")
    folder = tmp_path_factory.mktemp("named")
    mlflow_port, s3_port = free_port(), free_port()
    environment = {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow_port}",
        "EDGEWRIGHT_STORE": f"s3://{BUCKET}/store",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_port}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with ExitStack() as ended:
        mlflow = _mlflow(folder, mlflow_port)
        ended.callback(mlflow.kill)
        (folder / "s3").mkdir()
        words = ("tests/servers/swift.py", str(folder / "s3"), str(s3_port))
        store = Program(*words, log=folder / "s3.log", ready=lambda said: b"ready" in said)
        ended.callback(store.kill)
        _fill(toy_run.store, environment)
        stack = ended.enter_context(up(folder / "home", "--pool", "control", "--pool", "cpu", **environment))
        yield Named(stack, mlflow, store)


def _mlflow(folder: Path, port: int) -> Program:
    words = ("-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    places = (
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    )
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    ready = lambda said: b"Application startup complete" in said  # noqa: E731
    return Program(*words, *places, log=folder / "mlflow.log", ready=ready, environment=quiet)


def _fill(store: Path, environment: dict[str, str]) -> None:
    """The bucket, with everything that the toy run has made."""
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name=environment["AWS_DEFAULT_REGION"],
    )
    client.create_bucket(Bucket=BUCKET)
    for path in store.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), BUCKET, f"store/{path.relative_to(store)}")


def away(program: Program) -> None:
    """Killed, and there again a little later."""
    program.kill()
    time.sleep(AWAY_S)
    program.start()


def test_mlflow_is_restarted(named: Named, toy_run: ToyRun, toy_settings: list[str]) -> None:
    run = named.stack.disturbed(*toy_settings, *QUANTIZE, stage="quantize", disturb=lambda child: away(named.mlflow))
    assert run.returncode == 0, run.stderr[-3000:]
    named.stack.require_whole(json.loads(run.stdout), toy_run, stage="quantize")


def test_the_store_is_restarted(named: Named, toy_run: ToyRun, toy_settings: list[str]) -> None:
    run = named.stack.disturbed(*toy_settings, *QUANTIZE, stage="quantize", disturb=lambda child: away(named.store))
    assert run.returncode == 0, run.stderr[-3000:]
    named.stack.require_whole(json.loads(run.stdout), toy_run, stage="quantize")


def test_a_store_that_is_away_is_said_before_a_run_begins(named: Named, toy_settings: list[str]) -> None:
    """Last: it ends the store of this module's tests."""
    named.store.kill()
    runs = len(list((named.stack.home / "runs").iterdir()))
    began = time.monotonic()
    refused = named.stack.run(*toy_settings, *QUANTIZE, check=False)
    assert refused.returncode == 1
    assert "S3 refused or did not answer" in refused.stderr
    assert time.monotonic() - began < 60
    assert len(list((named.stack.home / "runs").iterdir())) == runs
