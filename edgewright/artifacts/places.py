"""Which store an address means."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import unquote, urlparse

from edgewright.artifacts.local import LocalStore
from edgewright.artifacts.store import Store
from edgewright.errors import InputError


def open_store(uri: str, *, scratch: Path | None = None) -> Store:
    """The store at `file:///…`, at a plain path, or at `s3://bucket/prefix` (needs the `pipeline` extra).

    Args:
        scratch: where a remote store stages and keeps local copies; the system's temporary folder by default.
    """
    parsed = urlparse(uri)
    if parsed.scheme == "s3":
        from edgewright.artifacts.s3 import S3Store  # boto3 is imported only by those who use it

        return S3Store(uri, scratch=scratch or Path(tempfile.gettempdir()) / "edgewright-s3")
    if parsed.scheme == "file":
        return LocalStore(Path(unquote(parsed.path)))
    if parsed.scheme == "":
        return LocalStore(Path(uri))
    raise InputError("unknown kind of store", expected="file:// or s3://", got=uri)


def require_store(uri: str) -> None:
    """Before anything is begun: a store that is asked later is waited for.

    Raises:
        StoreUnavailable: a remote one is silent or refuses us, said within seconds.
    """
    if urlparse(uri).scheme == "s3":
        from edgewright.artifacts.s3 import require_bucket

        require_bucket(uri)
