"""Silence is waited for, a refusal is not; and before a run begins a silent store is said at once."""

from __future__ import annotations

import time

import pytest
from boto3.exceptions import RetriesExceededError, S3UploadFailedError
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from edgewright.artifacts import require_store
from edgewright.artifacts.s3 import is_silence, patiently
from edgewright.errors import StoreUnavailable
from tests.listeners import closed_port


def answered(status: int) -> ClientError:
    return ClientError({"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


def in_a_transfer(error: Exception) -> Exception:
    try:
        raise S3UploadFailedError("Failed to upload") from error
    except S3UploadFailedError as failed:
        return failed


@pytest.mark.parametrize(
    ("error", "silence"),
    [
        (EndpointConnectionError(endpoint_url="http://s3"), True),
        (ConnectionClosedError(endpoint_url="http://s3"), True),
        (ReadTimeoutError(endpoint_url="http://s3"), True),
        (RetriesExceededError(OSError()), True),
        (answered(503), True),
        (in_a_transfer(answered(500)), True),
        (in_a_transfer(answered(403)), False),
        (answered(404), False),
        (answered(403), False),
        (NoCredentialsError(), False),
        (S3UploadFailedError("Failed to upload"), False),
    ],
)
def test_what_is_silence(error: Exception, silence: bool) -> None:
    assert is_silence(error) == silence


def test_a_refusal_is_not_asked_again() -> None:
    asked = []

    def call() -> None:
        asked.append(1)
        raise answered(403)

    with pytest.raises(ClientError):
        patiently(call)
    assert asked == [1]


def test_a_silent_store_is_said_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="S3 refused or did not answer"):
        require_store("s3://bucket/prefix")
    assert time.monotonic() - began < 30


def test_a_bucket_that_is_there_is_well_and_one_that_is_not_is_said(s3_bucket: str) -> None:
    require_store(f"s3://{s3_bucket}/some/prefix")
    with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
        require_store(f"s3://{s3_bucket}-no/prefix")
