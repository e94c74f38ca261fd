"""A repository as static files at a place that devices read by HTTP: what they pull where no server of ours runs.

    metadata/<file>, targets/<path>/<file>      the names that a device asks a server for

Decides the order, in which a device finds the old release whole or the new one, wherever the copying is cut off: files
of releases, metadata whose names hold their versions, roots as far as the first that vouches for the new timestamp,
`timestamp.json`, the roots after it, and only then removals. Decides what is copied: what the timestamp names and is
not there. An object of the same name and size is the same, since names hold digests and versions and a place shows no
half objects; of metadata the bytes are compared while they change. What the timestamp before this one names stays for
one mirroring longer, for devices in the middle of an update. Refuses a place that holds another repository, or newer
metadata than these, and files that are not as they are signed.

One key replaced between two mirrorings is no gap. Of more, devices refuse what they find until the mirroring has ended.

    mirror(repository, S3Folder("s3://releases.example/edge/belt")).written      # names, in order; () the second time
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from edgewright.errors import InputError, StoreUnavailable
from edgewright.files import locked
from edgewright.release.metadata import FIRST_ROOT, ROLLOUT, SignedSet
from edgewright.release.repository import as_signed, writing
from edgewright.release.server import METADATA

FOREVER, ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"
"""`Cache-Control`: of what never changes under its name, and of the timestamp, which does."""
_TIMESTAMP, _FIRST_ROOT = f"{METADATA}/timestamp.json", f"{METADATA}/{FIRST_ROOT}"
_TARGETS = "targets"
_LOCK_FILE = "mirror.lock"


class Place(Protocol):
    """Where objects lie by name. A write is seen whole or not at all. All raise StoreUnavailable."""

    uri: str

    def sizes(self) -> Mapping[str, int]:
        """Name => bytes, of every object."""

    def read(self, name: str) -> bytes | None:
        """None where there is no such object."""

    def write(self, name: str, payload: bytes, *, cache_control: str) -> None: ...

    def remove(self, name: str) -> None: ...


@dataclass(frozen=True)
class Mirrored:
    """What was done, in order; nothing where the place was as the repository is.

    Attributes: bytes: of what was written.
    """

    uri: str
    written: tuple[str, ...]
    removed: tuple[str, ...]
    bytes: int

    def __str__(self) -> str:
        if not self.written and not self.removed:
            return f"{self.uri} is as it is signed"
        removed = f", {len(self.removed)} removed" if self.removed else ""
        return f"{len(self.written)} files of {self.bytes} bytes written to {self.uri}{removed}"


@dataclass(frozen=True)
class _Announced:
    """What a repository's timestamp names, at one moment.

    Attributes:
        early: metadata to write before the timestamp, in order. late: roots to write after it.
        targets: file below `targets/` => what is signed of it.
    """

    early: Mapping[str, bytes]
    timestamp: bytes
    late: Mapping[str, bytes]
    version: int
    targets: Mapping[str, TargetFile]


def mirror(repository: Path, place: Place) -> Mirrored:
    """Make the place hold what the repository announces. Law: mirroring twice is mirroring once.

    The repository is locked while its metadata are read, so that no half of a signing is; what is signed meanwhile the
    next mirroring takes. One mirroring at a time: who waits takes what is newest then.

    Raises:
        InputError: the place holds another repository, or newer metadata.
        ArtifactCorrupt: a file is not as it is signed; nothing that names it has been written.
        StoreUnavailable: the place or the repository cannot be used.
    """
    try:
        with locked(repository / _LOCK_FILE):
            with writing(repository):
                announced = _announced(repository)
            return _made_alike(place, announced, repository / _TARGETS)
    except OSError as error:
        raise StoreUnavailable("cannot read the release repository", got=error, where=repository) from error


def _made_alike(place: Place, announced: _Announced, folder: Path) -> Mirrored:
    there = place.sizes()
    before = place.read(_TIMESTAMP) if _TIMESTAMP in there else None
    _refuse_another(place, there, before, announced)
    unchanged = before == announced.timestamp
    kept = set() if unchanged or before is None else _named_before(place, before)
    written: dict[str, int] = {}

    def write(name: str, payload: bytes, *, cache_control: str = FOREVER) -> None:
        place.write(name, payload, cache_control=cache_control)
        written[name] = len(payload)

    def write_metadata(metadata: Mapping[str, bytes]) -> None:
        for name, payload in metadata.items():
            if there.get(name) != len(payload) or not (unchanged or place.read(name) == payload):
                write(name, payload)

    for name, target in announced.targets.items():
        if there.get(name) != target.length:
            write(name, as_signed(target, folder))
    write_metadata(announced.early)
    if not unchanged:
        write(_TIMESTAMP, announced.timestamp, cache_control=ASK_AGAIN)
    write_metadata(announced.late)
    removed = [name for name in there if name.startswith(f"{_TARGETS}/") and name not in {*announced.targets, *kept}]
    for name in removed:
        place.remove(name)
    return Mirrored(place.uri, tuple(written), tuple(removed), sum(written.values()))


def _announced(repository: Path) -> _Announced:
    signed_set = SignedSet.read(repository / METADATA)
    newest = signed_set.root.signed.version
    names = [f"{METADATA}/{version}.root.json" for version in range(1, newest + 1)]
    roots = {name: (repository / name).read_bytes() for name in names}
    first = next(number for number, payload in enumerate(roots.values(), 1) if _vouches(payload, signed_set))
    versioned = {
        f"{METADATA}/{signed_set.role(role).signed.version}.{role}.json"
        for role in signed_set.roles
        if role not in ("root", "timestamp")
    }
    return _Announced(
        early={name: (repository / name).read_bytes() for name in [*sorted(versioned), *names[:first]]},
        timestamp=(repository / _TIMESTAMP).read_bytes(),
        late={name: roots[name] for name in names[first:]},
        version=signed_set.timestamp.signed.version,
        targets={
            _name_of(target): target
            for role in (signed_set.targets, signed_set.rollout)
            if role is not None
            for target in role.signed.targets.values()
        },
    )


def _vouches(payload: bytes, signed_set: SignedSet) -> bool:
    """Whether a device that trusts this root takes the set; the newest does."""
    root = Metadata[Root].from_bytes(payload)
    try:
        for role in ("targets", "snapshot", "timestamp"):
            root.verify_delegate(role, signed_set.role(role))
    except (ValueError, RepositoryError):
        return root.signed.version == signed_set.root.signed.version
    return True


def _refuse_another(place: Place, there: Iterable[str], before: bytes | None, announced: _Announced) -> None:
    if _FIRST_ROOT in there and place.read(_FIRST_ROOT) != announced.early[_FIRST_ROOT]:
        next_step = "mirror to another place, or empty this one: its devices would refuse what these keys sign"
        raise InputError("another repository is mirrored there", where=place.uri, next_step=next_step)
    version = _version_of(before) if before else 0
    if version > announced.version or (version == announced.version and before != announced.timestamp):
        raise InputError(
            "newer metadata than this repository's are mirrored there",
            expected=f"a timestamp of a version below {announced.version}, or this one",
            got=version,
            where=place.uri,
            next_step="mirror from the home that signed them; devices go back to no earlier one",
        )


def _version_of(timestamp: bytes) -> int:
    """0 where it can be read by nobody, devices included."""
    try:
        return int(Metadata[Timestamp].from_bytes(timestamp).signed.version)
    except DeserializationError:
        return 0


def _named_before(place: Place, timestamp: bytes) -> set[str]:
    """The files below `targets/` that the place's own metadata name; none where those are not whole."""
    try:
        return {_name_of(target) for target in _targets_of(place, timestamp)}
    except (KeyError, AttributeError, DeserializationError):
        return set()


def _targets_of(place: Place, timestamp: bytes) -> Iterator[TargetFile]:
    version = Metadata[Timestamp].from_bytes(timestamp).signed.snapshot_meta.version
    snapshot = Metadata[Snapshot].from_bytes(place.read(f"{METADATA}/{version}.snapshot.json") or b"")
    for role in ("targets", ROLLOUT):
        if known := snapshot.signed.meta.get(f"{role}.json"):
            named = Metadata[Targets].from_bytes(place.read(f"{METADATA}/{known.version}.{role}.json") or b"")
            yield from named.signed.targets.values()


def _name_of(target: TargetFile) -> str:
    return f"{_TARGETS}/{target.get_prefixed_paths()[0]}"
