"""The signed repository of a project: what is released on each channel, as TUF targets.

    metadata/   <n>.root.json <n>.targets.json <n>.snapshot.json timestamp.json
    targets/    <channel>/<sha256>.manifest.json, <channel>/<sha256>.model.onnx, <channel>/golden/<sha256>.<name>.png

Decides what is current: every file of a bundle is a signed target, `<channel>/<file>`, whose `custom.release` is the
release number. Publishing an equal bundle publishes nothing. Refuses a number that is not higher than the channel's.

>>> publish_release(bundle, repository=repository, keys=keys, channel="stable", now=now).version
3
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api.metadata import TargetFile

from edgewright.errors import InputError, StoreUnavailable
from edgewright.files import READABLE, locked, write_atomically
from edgewright.release.keys import ROLES, make_keys, read_keys, roles_in
from edgewright.release.metadata import LIFETIME, SignedSet
from edgewright.release.server import METADATA
from edgewright.runtime.bundle import MANIFEST_FILE, Bundle


@dataclass(frozen=True)
class ReleaseReport:
    """What is current on the channel after publishing.

    Attributes:
        version: the release number.
        digest: of the bundle's content, the number apart.
        published: False where an equal bundle was current already.
        signed: the TUF roles that were signed, in order.
        targets: the signed names.
    """

    version: int
    digest: str
    channel: str
    published: bool
    signed: tuple[str, ...]
    targets: tuple[str, ...]
    bytes: int


def publish_release(bundle_dir: Path, *, repository: Path, keys: Path, channel: str, now: datetime) -> ReleaseReport:
    """Make the bundle the channel's current release; afterwards the folder holds exactly what is released.

    Laws: publishing twice is publishing once; release numbers and metadata versions only rise; cut off at any point,
    devices see the old release or the new one. Keys and repository are made where there are none yet. What is half
    expired is signed again either way.

    Raises:
        ArtifactCorrupt: the bundle or the repository is damaged.
        InputError: another channel, a number that is not new, or keys that are not the repository's.
        StoreUnavailable: the repository cannot be written.
    """
    bundle = Bundle.load_whole(bundle_dir)
    if bundle.manifest.channel != channel:
        raise InputError("a bundle for another channel", expected=channel, got=bundle.manifest.channel)
    with _writing(repository):
        metadata = repository / METADATA
        new = not SignedSet.exists(metadata)
        signers = make_keys(keys) if new else read_keys(keys)
        signed_set = SignedSet.create(metadata, signers, now=now) if new else SignedSet.read(metadata)
        version, digest = _current(signed_set, channel)
        equal = digest == bundle.manifest.digest
        if equal:
            write_atomically(bundle_dir / MANIFEST_FILE, bundle.manifest.numbered(version).to_bytes(), mode=READABLE)
        else:
            _add(signed_set, bundle, repository / "targets", above=version)
        signed = signed_set.sign(signers, now=now, changed=not equal)
    return ReleaseReport(
        version=version if equal else bundle.manifest.release,
        digest=bundle.manifest.digest,
        channel=channel,
        published=not equal,
        signed=signed,
        targets=tuple(sorted(f"{channel}/{name}" for name in signed_set.channel(channel))),
        bytes=bundle.manifest.total_bytes,
    )


@dataclass(frozen=True)
class Renewal:
    """Attributes:
    signed: the TUF roles that were signed again, in order.
    offline: half expired roles whose keys are not in the folder.
    """

    signed: tuple[str, ...]
    offline: tuple[str, ...]


def renew(repository: Path, *, keys: Path, now: datetime) -> Renewal:
    """Sign again what is half expired, so that devices can tell a quiet server from a frozen one.

    Law: renewing twice is renewing once. The keys of the timestamp alone are enough while the others are fresh.

    Raises:
        ArtifactCorrupt: the repository is damaged. InputError: keys that are not the repository's.
        StoreUnavailable: the repository cannot be written.
    """
    with _writing(repository):
        signed_set = SignedSet.read(repository / METADATA)
        due, here = signed_set.due(now), roles_in(keys)
        signed = signed_set.sign(read_keys(keys, here), now=now, changed=False) if due else ()
        return Renewal(signed, tuple(role for role in due if role not in here))


@dataclass(frozen=True)
class RepositoryState:
    """What a repository offers, and until when devices may believe it.

    Attributes:
        releases: channel => the current release's number.
        expires: TUF role => when it expires.
        signed: when the timestamp was signed.
    """

    releases: Mapping[str, int]
    expires: Mapping[str, datetime]
    signed: datetime

    def to_json(self) -> dict[str, Any]:
        expires = {role: when.isoformat() for role, when in self.expires.items()}
        return {"releases": dict(self.releases), "expires": expires, "signed": self.signed.isoformat()}


def state_of(repository: Path) -> RepositoryState:
    """Raises ArtifactCorrupt where the repository is damaged."""
    signed_set = SignedSet.read(repository / METADATA)
    channels = sorted({path.partition("/")[0] for path in signed_set.targets.signed.targets})
    expires = {role: signed_set.role(role).signed.expires for role in ROLES}
    return RepositoryState(
        releases={channel: _current(signed_set, channel)[0] for channel in channels},
        expires=expires,
        signed=expires["timestamp"] - LIFETIME["timestamp"],
    )


def repositories_in(releases: Path) -> list[Path]:
    """The projects' repositories in a home's folder of releases, by name."""
    return sorted(path for path in releases.glob("*") if SignedSet.exists(path / METADATA))


def next_release_number(repository: Path, channel: str) -> int:
    """One above the channel's current release; 1 where there is none."""
    if not SignedSet.exists(repository / METADATA):
        return 1
    return _current(SignedSet.read(repository / METADATA), channel)[0] + 1


def _current(signed_set: SignedSet, channel: str) -> tuple[int, str]:
    """(release number, digest); (0, "") where nothing is released on the channel."""
    manifest = signed_set.channel(channel).get(MANIFEST_FILE)
    if manifest is None or not manifest.custom:
        return 0, ""
    return int(manifest.custom["release"]), str(manifest.custom["digest"])


def _add(signed_set: SignedSet, bundle: Bundle, folder: Path, *, above: int) -> None:
    manifest = bundle.manifest
    if manifest.release <= above:
        raise InputError("a release number that is not new", expected=f"> {above}", got=manifest.release)
    custom = {"release": manifest.release, "digest": manifest.digest}
    targets = []
    for name in sorted([MANIFEST_FILE, *manifest.files]):
        payload = (bundle.root / name).read_bytes()
        target = TargetFile.from_data(f"{manifest.channel}/{name}", payload, ["sha256"])
        target.unrecognized_fields["custom"] = custom
        path = folder / target.get_prefixed_paths()[0]
        write_atomically(path, payload, mode=READABLE)
        targets.append(target)
    signed_set.set_channel(manifest.channel, targets)


@contextmanager
def _writing(repository: Path) -> Iterator[None]:
    """One writer at a time; the lock dies with its process."""
    try:
        (repository / METADATA).mkdir(parents=True, exist_ok=True)
        with locked(repository):
            yield
    except OSError as error:
        raise StoreUnavailable("cannot write the release repository", got=error, where=repository) from error
