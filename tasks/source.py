"""What `--source` names: a folder, an archive, a video, `s3://bucket/prefix`, or the simulated camera.

Decides where the source's bytes lie on this machine. Refuses a source that a form or an event names outside
EDGEWRIGHT_SOURCES.
"""

from __future__ import annotations

from pathlib import Path

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.errors import SourceError
from edgewright.progress import OnProgress, silent
from tasks.session import Session, source_allowed

SIMULATED = "simulated"
"""The source of `edgewright run demo` without `--source`: photographs by the simulated camera."""


def is_simulated(source: str) -> bool:
    return source == SIMULATED


def source_identity(source: str, session: Session) -> str:
    """The digest of a source's bytes, never of its path or time; of the camera's seed where it is simulated."""
    if is_simulated(source):
        return sha256_bytes(canonical_json({"simulated": True, "seed": session.link.seed}))
    from edgewright.data.sources import source_digest

    return source_digest(locate_source(source, session))


def project_of(source: str) -> str:
    """The project's name where none is given: the folder's or archive's name; `demo` for the simulated camera."""
    if is_simulated(source):
        return "demo"
    name = Path(source.rstrip("/")).name.split(".")[0]
    kept = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
    return kept.strip("-") or "project"


def locate_source(source: str, session: Session, *, on_progress: OnProgress = silent) -> Path:
    """A local path of the source; objects on S3 are fetched first.

    Raises:
        SourceError: it does not exist, or it may not be read here.
    """
    if source.startswith("s3://"):
        from edgewright.artifacts.s3 import fetch_source

        target = session.settings.scratch / "sources" / sha256_bytes(source.encode())[:24]
        return fetch_source(source, target, on_progress=on_progress)
    path = Path(source).expanduser()
    if not source_allowed(session, path):
        raise SourceError(
            "a source named in a form or an event must lie under EDGEWRIGHT_SOURCES",
            expected=", ".join(map(str, session.settings.sources)) or "EDGEWRIGHT_SOURCES to be set",
            got=source,
        )
    if not path.exists():
        raise SourceError("the source does not exist", got=source, next_step="check --source")
    return path
