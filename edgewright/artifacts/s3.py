"""The store on S3, by boto3, the download of a source that lies there, and objects that others read by HTTP. The only
module that imports boto3.

Endpoint, region and credentials come from boto3's own chain (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, profiles, roles).
Large files go up and down in parts by boto3's transfer manager. Decides, like every store, that an artifact exists when
its manifest does: the manifest is uploaded last and deleted first. Decides how long a server may be silent: PATIENCE_S,
in which it is started again or a network comes back. Every call may be made twice, since what is written lies under a
name that its content or its work gives it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlparse

import boto3
from boto3.exceptions import Boto3Error, RetriesExceededError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from edgewright.artifacts.manifest import MANIFEST_FILE, Manifest, sha256_bytes, sha256_file
from edgewright.artifacts.store import Store
from edgewright.errors import SourceError, StoreUnavailable
from edgewright.files import replaced
from edgewright.progress import OnProgress

_IMPATIENT = Config(connect_timeout=4, read_timeout=4, retries={"total_max_attempts": 1})
_MISSING = ("404", "NoSuchKey", "NotFound")
_ERRORS = (BotoCoreError, ClientError, Boto3Error)
_SERVER_ERROR = 500
PATIENCE_S = 90.0
_ASK_AGAIN_S = 1.0
T = TypeVar("T")


class S3Store(Store):
    """`s3://bucket/prefix`: `artifacts/<digest>/…` and `keys/<key>.json` below the prefix.

    Args:
        scratch: a local directory for staging and for copies of files that were read.
    """

    def __init__(self, uri: str, *, scratch: Path) -> None:
        self._bucket, self._prefix = split_uri(uri)
        self.uri = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        self._scratch = scratch
        self._client = boto3.session.Session().client("s3")

    @property
    def scratch(self) -> Path:
        return self._scratch

    def _key(self, *parts: str) -> str:
        return "/".join(part for part in (self._prefix, *parts) if part)

    def _write_artifact(self, directory: Path, manifest: Manifest) -> None:
        base = ("artifacts", manifest.digest)
        with _s3_errors(self.uri):
            for name in manifest.content.files:
                self._upload(directory / name, self._key(*base, name))
            self._put(self._key(*base, MANIFEST_FILE), manifest.to_bytes())

    def _read_manifest(self, digest: str) -> bytes | None:
        return self._get(self._key("artifacts", digest, MANIFEST_FILE))

    def _local_file(self, digest: str, name: str) -> Path:
        """Copies are kept by content, so a copy that was checked once is not fetched again."""
        entry = self.manifest(digest).content.files[name]
        copy = self._scratch / "copies" / entry.sha256 / PurePosixPath(name).name
        if not copy.is_file() or sha256_file(copy) != entry.sha256:
            copy.parent.mkdir(parents=True, exist_ok=True)
            key = self._key("artifacts", digest, name)
            with _s3_errors(self.uri), replaced(copy) as partial:
                patiently(lambda: self._client.download_file(self._bucket, key, str(partial)))
        return copy

    def _read_key(self, key: str) -> bytes | None:
        return self._get(self._key("keys", f"{key}.json"))

    def _write_key(self, key: str, payload: bytes) -> None:
        with _s3_errors(self.uri):
            self._put(self._key("keys", f"{key}.json"), payload)

    def digests(self) -> Iterator[str]:
        base = self._key("artifacts") + "/"
        with _s3_errors(self.uri):
            for item in list_objects(self._client, self._bucket, base):
                name = item["Key"].removeprefix(base)
                if name.count("/") == 1 and name.endswith(f"/{MANIFEST_FILE}"):
                    yield name.split("/")[0]

    def delete(self, digest: str) -> None:
        base = self._key("artifacts", digest) + "/"
        with _s3_errors(self.uri):
            self._client.delete_object(Bucket=self._bucket, Key=base + MANIFEST_FILE)
            for item in list_objects(self._client, self._bucket, base):
                self._client.delete_object(Bucket=self._bucket, Key=item["Key"])

    def free_bytes(self) -> int | None:
        """S3 has no limit that can be asked for; what fills up is the local scratch folder."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self._scratch).free

    def _upload(self, path: Path, key: str) -> None:
        patiently(lambda: self._client.upload_file(str(path), self._bucket, key))

    def _put(self, key: str, payload: bytes) -> None:
        patiently(lambda: self._client.put_object(Bucket=self._bucket, Key=key, Body=payload))

    def _get(self, key: str) -> bytes | None:
        with _s3_errors(self.uri):
            return _object(self._client, self._bucket, key)


class S3Folder:
    """Objects below `s3://bucket/prefix`, by the names that whoever reads them by HTTP asks for.

    Law: an object is seen whole or not at all, which is S3's. Every method raises StoreUnavailable.
    """

    def __init__(self, uri: str) -> None:
        self._bucket, prefix = split_uri(uri)
        self.uri = f"s3://{self._bucket}/{prefix}".rstrip("/")
        self._base = f"{prefix}/" if prefix else ""
        self._client = boto3.session.Session().client("s3")

    def sizes(self) -> dict[str, int]:
        """Name => bytes, of every object."""
        with _s3_errors(self.uri):
            listed = patiently(lambda: list(list_objects(self._client, self._bucket, self._base)))
        return {item["Key"].removeprefix(self._base): int(item["Size"]) for item in listed}

    def read(self, name: str) -> bytes | None:
        """None where there is no such object."""
        with _s3_errors(self.uri):
            return _object(self._client, self._bucket, self._base + name)

    def write(self, name: str, payload: bytes, *, cache_control: str) -> None:
        """Args: cache_control: what a browser, or a network before the bucket, is told of it."""
        with _s3_errors(self.uri):
            patiently(
                lambda: self._client.put_object(
                    Bucket=self._bucket, Key=self._base + name, Body=payload, CacheControl=cache_control
                )
            )

    def remove(self, name: str) -> None:
        with _s3_errors(self.uri):
            patiently(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._base + name))


def require_bucket(uri: str) -> None:
    """Raises StoreUnavailable within seconds where S3 is silent, or does not let us list the bucket."""
    bucket, prefix = split_uri(uri)
    client = boto3.session.Session().client("s3", config=_IMPATIENT)
    with _s3_errors(uri):
        client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)


def require_objects(uri: str) -> None:
    """Raises SourceError where nothing stands at `s3://bucket/prefix`, StoreUnavailable where S3 is silent."""
    bucket, prefix = split_uri(uri)
    client = boto3.session.Session().client("s3", config=_IMPATIENT)
    with _s3_errors(uri):
        if not any(not item["Key"].endswith("/") for item in list_objects(client, bucket, prefix)):
            raise SourceError("no objects at the source", where=uri, next_step="check the bucket and the prefix")


def fetch_source(uri: str, directory: Path, *, on_progress: OnProgress) -> Path:
    """Copy every object below `s3://bucket/prefix` into `directory`, or one archive or video object as one file.

    Objects that are already there with the same size and ETag are not fetched again.

    Raises:
        SourceError: nothing stands there, or a key that would leave the directory.
        StoreUnavailable: the bucket cannot be read.
    """
    bucket, prefix = split_uri(uri)
    client = boto3.session.Session().client("s3")
    with _s3_errors(uri):
        items = [item for item in list_objects(client, bucket, prefix) if not item["Key"].endswith("/")]
        single = [item for item in items if item["Key"] == prefix]
        chosen = single or [item for item in items if not prefix or item["Key"].startswith(prefix.rstrip("/") + "/")]
        if not chosen:
            raise SourceError("no objects at the source", where=uri, next_step="check the bucket and the prefix")
        for number, item in enumerate(chosen):
            name = PurePosixPath(item["Key"]).name if single else item["Key"].removeprefix(prefix).lstrip("/")
            _fetch_object(client, bucket, item, _inside(directory, name, uri), marks=directory.with_suffix(".etags"))
            on_progress(number + 1, len(chosen), f"fetching {name}")
    return directory / PurePosixPath(prefix).name if single else directory


def split_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/some/prefix` => (`bucket`, `some/prefix`). Raises SourceError where there is no bucket."""
    parsed = urlparse(uri)
    if parsed.scheme != "s3" or not parsed.netloc:
        raise SourceError("not an S3 address", expected="s3://bucket/prefix", got=uri)
    return parsed.netloc, parsed.path.strip("/")


def list_objects(client: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    """Every object whose key starts with `prefix`, page by page."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", ())


def _object(client: Any, bucket: str, key: str) -> bytes | None:
    """Its bytes; None where there is none."""
    try:
        body: bytes = patiently(lambda: client.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] in _MISSING:
            return None
        raise
    return body


def _fetch_object(client: Any, bucket: str, item: dict[str, Any], target: Path, *, marks: Path) -> None:
    mark = marks / sha256_bytes(item["Key"].encode())
    tag = f"{item['ETag']} {item['Size']}"
    if target.is_file() and mark.is_file() and mark.read_text() == tag:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    marks.mkdir(parents=True, exist_ok=True)
    with replaced(target) as partial:
        patiently(lambda: client.download_file(bucket, item["Key"], str(partial)))
    mark.write_text(tag)


def _inside(directory: Path, name: str, uri: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise SourceError("an object key that would leave the folder", got=name, where=uri)
    return directory.joinpath(*parts)


def patiently(call: Callable[[], T]) -> T:
    """What the call gives; it is made again while S3 is silent, for PATIENCE_S. Raises what it raised last."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except _ERRORS as error:
            if not is_silence(error) or time.monotonic() > until:
                raise
            time.sleep(_ASK_AGAIN_S)


def is_silence(error: BaseException) -> bool:
    """Whether the server was not there, or not well: nothing is wrong with what it was asked."""
    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= _SERVER_ERROR
    if isinstance(error, NoConnection | HTTPClientError | RetriesExceededError):
        return True
    within = error.__cause__ or error.__context__  # of a transfer, which says no more than that it failed
    return isinstance(error, Boto3Error) and within is not None and is_silence(within)


@contextmanager
def _s3_errors(where: str) -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        raise StoreUnavailable(
            "S3 refused or did not answer",
            got=error,
            where=where,
            next_step="check AWS_ENDPOINT_URL, the credentials and the bucket",
        ) from error
