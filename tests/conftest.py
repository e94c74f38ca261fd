"""Fixtures that more than one room's tests use: real servers, real data, a small dataset."""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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
