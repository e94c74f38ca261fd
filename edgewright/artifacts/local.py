"""A store in a local directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgewright.artifacts.manifest import MANIFEST_FILE, Manifest
from edgewright.artifacts.store import Store
from edgewright.files import sync, write_atomically, write_durably


class LocalStore(Store):
    """A directory: `artifacts/<digest>/…`, `keys/<key>.json`, `scratch/`."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.uri = self.root.as_uri()

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    def _directory(self, digest: str) -> Path:
        return self.root / "artifacts" / digest

    def _write_artifact(self, directory: Path, manifest: Manifest) -> None:
        target = self._directory(manifest.digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # left by a delete that was cut short: it has no manifest
            shutil.rmtree(target)
        for name in manifest.content.files:
            sync(directory / name)
        write_durably(directory / MANIFEST_FILE, manifest.to_bytes())
        os.replace(directory, target)
        directory.mkdir()  # the workspace goes on existing until its owner leaves it
        sync(target.parent)

    def _read_manifest(self, digest: str) -> bytes | None:
        return _read_or_none(self._directory(digest) / MANIFEST_FILE)

    def _local_file(self, digest: str, name: str) -> Path:
        return self._directory(digest) / name

    def _read_key(self, key: str) -> bytes | None:
        return _read_or_none(self.root / "keys" / f"{key}.json")

    def _write_key(self, key: str, payload: bytes) -> None:
        write_atomically(self.root / "keys" / f"{key}.json", payload)

    def digests(self) -> Iterator[str]:
        for manifest in sorted((self.root / "artifacts").glob(f"*/{MANIFEST_FILE}")):
            yield manifest.parent.name

    def delete(self, digest: str) -> None:
        (self._directory(digest) / MANIFEST_FILE).unlink(missing_ok=True)
        shutil.rmtree(self._directory(digest), ignore_errors=True)

    def free_bytes(self) -> int | None:
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free


def _read_or_none(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
