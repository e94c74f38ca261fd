"""The manifest: `content` is what an artifact is (hashed), `record` is how it came about (not hashed).

Decides the digest: the sha256 of the canonical JSON of `content`. Times, hosts, metrics and run ids stand in
`record`, so that the same work gives the same digest wherever and whenever it is done.

>>> a = Content(kind="demo", stage="ingest", config={"n": 1})
>>> Manifest(a, Record(host="here")).digest == Manifest(a, Record(host="there")).digest
True
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgewright.errors import ArtifactCorrupt

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
_CHUNK_BYTES = 1 << 20

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def canonical_json(value: Any) -> bytes:
    """The one byte string of a JSON value: sorted keys, no spaces, UTF-8, NaN refused (after RFC 8785)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_bytes(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def sha256_file(path: Path) -> str:
    """The sha256 of a file, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class FileEntry:
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Content:
    """What an artifact is. `files` is filled in by the store when the artifact is published.

    Attributes:
        kind: `dataset_real`, `generator`, `detector`, … (the last part of the media type).
        stage: the stage that made it.
        config: the stage's recipe section as JSON.
        inputs: name → digest of each artifact it was made from.
        seed: the run's seed.
        licence: SPDX expression of the data or weights, where known.
    """

    kind: str
    stage: str
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    licence: str = ""
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class Record:
    """How an artifact came about: measured, dated, not hashed.

    Attributes:
        code: digest of the code that made it; empty in what earlier versions wrote.
        versions: the libraries that its stage uses.
        device: what it was computed on: `cpu`, or `cuda: ` and the accelerator's name.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    created_at: str = ""
    seconds: float = 0.0
    host: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    device: str = ""


@dataclass(frozen=True)
class Manifest:
    """Law: `Manifest.from_bytes(m.to_bytes()) == m` for every manifest of JSON values."""

    content: Content
    record: Record

    @property
    def digest(self) -> str:
        return sha256_bytes(canonical_json(asdict(self.content)))

    def to_bytes(self) -> bytes:
        document = {"content": asdict(self.content), "record": asdict(self.record)}
        return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, payload: bytes, *, where: str = "") -> Manifest:
        """Raises ArtifactCorrupt where the bytes are no manifest of a format this version reads."""
        try:
            document = json.loads(payload)
            content = dict(document["content"])
            version = content.get("format_version")
            if version != FORMAT_VERSION:
                raise ArtifactCorrupt("unknown manifest format", expected=FORMAT_VERSION, got=version, where=where)
            content["files"] = {name: FileEntry(**entry) for name, entry in content["files"].items()}
            return cls(Content(**content), Record(**document["record"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactCorrupt("not a manifest", got=error, where=where) from error


def hash_files(directory: Path) -> dict[str, FileEntry]:
    """Every file below `directory`, by its POSIX path relative to it, in name order."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): FileEntry(sha256_file(path), path.stat().st_size) for path in files}
