"""What `--source` names: a folder, an archive, a video, `s3://bucket/prefix`, `dataset:DIGEST`, or `simulated`.

Decides where the source's bytes lie on this machine, and which artifact a data set's digest means. Refuses a source
that a form or an event names outside EDGEWRIGHT_SOURCES.
"""

from __future__ import annotations

from pathlib import Path

from edgewright.artifacts import ArtifactRef, Store, canonical_json, open_store, sha256_bytes
from edgewright.data.dataset import DATASET_FILE
from edgewright.errors import SourceError
from edgewright.progress import OnProgress, silent
from edgewright.recipe import SIMULATED
from edgewright.settings import Settings
from tasks.engine.session import Session, may_read

DATASET = "dataset:"
"""A data set in the store by its digest or the beginning of it; what `edgewright review import` ends with."""
MIN_DIGITS = 6
_NAME_DIGITS = 12


def is_simulated(source: str) -> bool:
    return source == SIMULATED


def is_dataset(source: str) -> bool:
    return source.startswith(DATASET)


def is_local(source: str) -> bool:
    """Whether it is a path on this machine."""
    return not (is_simulated(source) or is_dataset(source) or source.startswith("s3://"))


def source_identity(source: str, session: Session) -> str:
    """The digest of a source's bytes, never of its path or time; of the camera's seed where it is simulated.

    Files that links lead to outside of the folder count where `ingest.follow_links` may read them.
    """
    if is_simulated(source):
        return sha256_bytes(canonical_json({"simulated": True, "seed": session.link.seed}))
    if is_dataset(source):
        return find_dataset(source, session.store).sha256
    from edgewright.data.sources import source_digest

    return source_digest(locate_source(source, session), follow_links=session.trusted_source)


def project_of(source: str) -> str:
    """The project's name where none is given: the folder's or archive's name; `demo` for the simulated camera."""
    if is_simulated(source):
        return "demo"
    if is_dataset(source):
        return f"dataset-{source.removeprefix(DATASET)[:_NAME_DIGITS]}"
    name = Path(source.rstrip("/")).name.split(".")[0]
    kept = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
    return kept.strip("-") or "project"


def find_dataset(source: str, store: Store) -> ArtifactRef:
    """The data set that `dataset:DIGEST` means.

    Raises:
        SourceError: no artifact or more than one begins so, or the one that does is no data set.
    """
    digits = source.removeprefix(DATASET)
    found = matching_digests(digits, store)
    if len(found) != 1:
        raise SourceError(
            "no such data set in the store" if not found else "more than one artifact begins so",
            expected=f"{DATASET} and at least {MIN_DIGITS} digits of its digest",
            got=source,
            where=store.uri,
            next_step="`edgewright review import` prints the digest",
        )
    content = store.manifest(found[0]).content
    if DATASET_FILE not in content.files:
        raise SourceError("not a data set", expected="a data set's digest", got=content.kind, where=store.uri)
    return store.ref(found[0], content.kind)


def matching_digests(digits: str, store: Store) -> list[str]:
    """The artifacts whose digest begins so; none for fewer than MIN_DIGITS."""
    return [digest for digest in store.digests() if digest.startswith(digits)] if len(digits) >= MIN_DIGITS else []


def locate_source(source: str, session: Session, *, on_progress: OnProgress = silent) -> Path:
    """A local path of the source; objects on S3 are fetched first.

    Raises:
        SourceError: it does not exist, or it may not be read here.
    """
    if source.startswith("s3://"):
        from edgewright.artifacts.s3 import fetch_source

        target = session.settings.scratch / "sources" / sha256_bytes(source.encode())[:24]
        return fetch_source(source, target, on_progress=on_progress)
    return _permitted(source, session.settings, trusted=session.trusted_source)


def require_source(source: str, settings: Settings, *, trusted: bool) -> None:
    """Look whether there is something to read, without reading it: before a server, a journal or an experiment is made.

    Raises:
        SourceError: it does not exist, may not be read here, is nothing that can be read, or holds no picture.
        MissingExtra: a video, and OpenCV is not installed.
        StoreUnavailable: S3 refused or did not answer.
    """
    if is_dataset(source):
        find_dataset(source, open_store(settings.store, scratch=settings.scratch / "s3"))
    elif source.startswith("s3://"):
        from edgewright.artifacts.s3 import require_objects

        require_objects(source)
    elif is_local(source):
        from edgewright.data.glance import require_pictures

        require_pictures(_permitted(source, settings, trusted=trusted))


def _permitted(source: str, settings: Settings, *, trusted: bool) -> Path:
    """A local source that exists and may be read: any from the command line, else those under EDGEWRIGHT_SOURCES."""
    path = Path(source).expanduser()
    if not may_read(path, settings, trusted=trusted):
        raise SourceError(
            "a source named in a form or an event must lie under EDGEWRIGHT_SOURCES",
            expected=", ".join(map(str, settings.sources)) or "EDGEWRIGHT_SOURCES to be set",
            got=source,
        )
    if not path.exists():
        raise SourceError("the source does not exist", got=source, next_step="check --source")
    return path
