"""Where artifacts lie. One interface; the places are a local directory (`local.py`) and S3 (`s3.py`).

Decides when an artifact exists: when its manifest does, which is written last. The store is also the only cache:
`remember(key, ref)` and `recall(key)`. Refuses a file whose bytes differ from the manifest.
"""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewright.artifacts.manifest import Content, Manifest, Record, hash_files, sha256_file
from edgewright.artifacts.ref import MEDIA_PREFIX, ArtifactRef
from edgewright.errors import ArtifactCorrupt, ArtifactMissing, InputError, StoreUnavailable

_TEMPORARY_PREFIX = "staged-"


@dataclass(frozen=True)
class Artifact:
    """An artifact that was found complete; its files are checked as they are asked for."""

    ref: ArtifactRef
    manifest: Manifest
    store: Store

    def path(self, name: str) -> Path:
        """A local path of one file. Raises ArtifactMissing or ArtifactCorrupt."""
        return self.store.file(self.ref.sha256, name)

    def json(self, name: str) -> Any:
        return json.loads(self.path(name).read_bytes())

    @property
    def files(self) -> list[str]:
        return sorted(self.manifest.content.files)


class Store(ABC):
    """A place that holds complete artifacts by digest, and remembers which work gave which artifact."""

    uri: str

    @property
    @abstractmethod
    def scratch(self) -> Path:
        """A directory on this machine for staging and for copies."""

    @abstractmethod
    def _write_artifact(self, directory: Path, manifest: Manifest) -> None:
        """Make the files of `directory` and then the manifest visible under the manifest's digest."""

    @abstractmethod
    def _read_manifest(self, digest: str) -> bytes | None: ...

    @abstractmethod
    def _local_file(self, digest: str, name: str) -> Path:
        """A path on this machine that holds the file's bytes, copied there first where the store is remote."""

    @abstractmethod
    def _read_key(self, key: str) -> bytes | None: ...

    @abstractmethod
    def _write_key(self, key: str, payload: bytes) -> None: ...

    @abstractmethod
    def digests(self) -> Iterator[str]:
        """The digest of every complete artifact."""

    @abstractmethod
    def delete(self, digest: str) -> None:
        """Remove an artifact, its manifest first, so that what is left half-way is no artifact."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Free space in bytes; None where the store has no limit that can be asked for."""

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """An empty directory to stage an artifact in; gone afterwards, whatever happens."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX, dir=self.scratch))
        try:
            with store_errors(self.uri):
                yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def publish(self, directory: Path, content: Content, record: Record) -> ArtifactRef:
        """Hash what stands in `directory` and publish it as one artifact. An equal one is kept as it is.

        Raises:
            StoreUnavailable: the store is full or cannot be written; nothing half-written stays visible.
        """
        with store_errors(self.uri):
            manifest = Manifest(replace(content, files=hash_files(directory)), record)
            if self._read_manifest(manifest.digest) is None:
                self._write_artifact(directory, manifest)
            return self.ref(manifest.digest, content.kind)

    def ref(self, digest: str, kind: str) -> ArtifactRef:
        return ArtifactRef(f"{self.uri}/artifacts/{digest}", digest, MEDIA_PREFIX + kind)

    def manifest(self, digest: str) -> Manifest:
        """Raises ArtifactMissing, or ArtifactCorrupt where the content is not what the digest names."""
        with store_errors(self.uri):
            payload = self._read_manifest(digest)
        where = f"{self.uri}/artifacts/{digest}"
        if payload is None:
            raise ArtifactMissing("no such artifact", where=where, next_step="run the stage that makes it")
        manifest = Manifest.from_bytes(payload, where=where)
        if manifest.digest != digest:
            raise ArtifactCorrupt("the manifest was changed", expected=digest, got=manifest.digest, where=where)
        return manifest

    def file(self, digest: str, name: str) -> Path:
        """A local path of one file of an artifact, its bytes checked against the manifest."""
        entry = self.manifest(digest).content.files.get(name)
        where = f"{self.uri}/artifacts/{digest}/{name}"
        if entry is None:
            raise ArtifactMissing("the artifact has no such file", where=where)
        with store_errors(self.uri):
            path = self._local_file(digest, name)
            got = sha256_file(path) if path.is_file() else "nothing"
        if got != entry.sha256:
            raise ArtifactCorrupt(
                "bytes differ from the manifest",
                expected=entry.sha256,
                got=got,
                where=where,
                next_step="delete the artifact's folder and run the stage again",
            )
        return path

    def open(self, ref: ArtifactRef) -> Artifact:
        """Raises ArtifactMissing or ArtifactCorrupt."""
        return Artifact(ref, self.manifest(ref.sha256), self)

    def remember(self, key: str, ref: ArtifactRef) -> None:
        """Note that the work named `key` gave `ref`."""
        with store_errors(self.uri):
            self._write_key(key, json.dumps({"digest": ref.sha256, "kind": ref.kind}).encode())

    def recall(self, key: str) -> ArtifactRef | None:
        """What the work named `key` gave, if its artifact is still complete."""
        with store_errors(self.uri):
            payload = self._read_key(key)
            if payload is None:
                return None
            try:
                noted = json.loads(payload)
                ref = self.ref(noted["digest"], noted["kind"])
            except (ValueError, KeyError, TypeError, InputError):
                return None  # a torn or foreign key file is a cache miss, never an answer
            return ref if self._read_manifest(ref.sha256) is not None else None


@contextmanager
def store_errors(where: str) -> Iterator[None]:
    """Turn the operating system's refusals into one sentence about the store."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO):
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StoreUnavailable(
            "the disk is full" if full else f"the store cannot be used: {error.strerror}",
            where=error.filename or where,
            next_step="free some space (`edgewright gc --keep N`) and run the same command again"
            if full
            else "check the folder's permissions and the disk",
        ) from error
