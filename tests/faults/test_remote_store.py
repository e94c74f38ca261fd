"""Faults in a home whose store is an S3, so that stages speak to the MLflow server of `edgewright up`: docs/faults.md.

The S3 is a real server that stores on disk. It knows the toy run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from tests.conftest import ToyRun, free_port
from tests.servers.swift import ACCESS_KEY, SECRET_KEY
from tests.stack import Program, Stack, kill, up

pytestmark = pytest.mark.faults

QUANTIZE = ("--from", "quantize", "--until", "quantize")
AWAY_S = 20.0
BUCKET, REGION = "faults", "us-east-1"


@dataclass(frozen=True)
class Remote:
    """A home that is up, and its store."""

    stack: Stack
    store: Program


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, toy_run: ToyRun) -> Iterator[Remote]:
    pytest.importorskip("swift", reason="no S3 server: pip install 'edgewright[s3test]' brings OpenStack Swift")
    folder, port = tmp_path_factory.mktemp("remote"), free_port()
    environment = {
        "EDGEWRIGHT_STORE": f"s3://{BUCKET}/store",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    words = ("tests/servers/swift.py", str(folder / "s3"), str(port))
    store = Program(*words, log=folder / "s3.log", ready=lambda said: b"ready" in said)
    try:
        fill(environment["AWS_ENDPOINT_URL"], toy_run.store)
        with up(folder / "home", "--pool", "control", "--pool", "cpu", **environment) as stack:
            yield Remote(stack, store)
    finally:
        store.kill()


def fill(endpoint: str, store: Path) -> None:
    """The bucket, with everything that the toy run has made."""
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": REGION}
    client = boto3.client("s3", endpoint_url=endpoint, **keys)
    client.create_bucket(Bucket=BUCKET)
    for path in store.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), BUCKET, f"store/{path.relative_to(store)}")


def test_mlflow_is_restarted(remote: Remote, toy_run: ToyRun, toy_settings: list[str]) -> None:
    stack = remote.stack
    run = stack.disturbed(*toy_settings, *QUANTIZE, stage="quantize", disturb=lambda child: kill(*stack.mlflow()))
    assert run.returncode == 0, run.stderr[-3000:]
    assert "MLflow ended (exit status -9) and is begun again" in stack.log
    stack.require_whole(json.loads(run.stdout), toy_run, stage="quantize")


def test_the_store_is_restarted(remote: Remote, toy_run: ToyRun, toy_settings: list[str]) -> None:
    def away() -> None:
        remote.store.kill()
        time.sleep(AWAY_S)
        remote.store.start()

    run = remote.stack.disturbed(*toy_settings, *QUANTIZE, stage="quantize", disturb=lambda child: away())
    assert run.returncode == 0, run.stderr[-3000:]
    remote.stack.require_whole(json.loads(run.stdout), toy_run, stage="quantize")


def test_a_store_that_is_away_is_said_before_a_run_begins(remote: Remote, toy_settings: list[str]) -> None:
    """Last: it ends the store of this module's tests."""
    remote.store.kill()
    runs = len(list((remote.stack.home / "runs").iterdir()))
    refused = remote.stack.run(*toy_settings, *QUANTIZE, check=False)
    assert refused.returncode == 1
    assert "S3 refused or did not answer" in refused.stderr
    assert len(list((remote.stack.home / "runs").iterdir())) == runs
