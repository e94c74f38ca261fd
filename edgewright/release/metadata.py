"""The four TUF roles of a repository on disk: read, checked, signed and written so that readers never see half of it.

Decides versions and expiry. Versioned files are written first and `timestamp.json`, the one name that changes its
bytes, last: whatever is cut off before that has not happened. Refuses metadata whose signatures do not hold, and keys
that the root does not name. Names and order are the TUF specification's (consistent snapshots, section 6.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError, StorageError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.files import READABLE, write_atomically
from edgewright.release.keys import ROLES, ROOT_THRESHOLD, Keys

LIFETIME: Mapping[str, timedelta] = {
    "root": timedelta(days=365),
    "targets": timedelta(days=365),
    "snapshot": timedelta(days=30),
    "timestamp": timedelta(days=7),  # Foundries.io's practice
}
"""A role is signed again once half of this is over."""
FIRST_ROOT = "1.root.json"


@dataclass
class SignedSet:
    """What the four roles say now. `sign` is the only way to change it on disk."""

    folder: Path
    root: Metadata[Root]
    targets: Metadata[Targets]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]

    @classmethod
    def exists(cls, folder: Path) -> bool:
        return (folder / "timestamp.json").exists()

    @classmethod
    def create(cls, folder: Path, keys: Keys, *, now: datetime) -> SignedSet:
        """Version 1 of everything, naming these keys; nothing is written yet."""
        root = Root(expires=_expiry("root", now), consistent_snapshot=True)
        for role, signers in keys.items():
            for signer in signers:
                root.add_key(signer.public_key, role)
        root.roles["root"].threshold = ROOT_THRESHOLD
        return cls(
            folder,
            Metadata(root),
            Metadata(Targets(expires=_expiry("targets", now))),
            Metadata(Snapshot(expires=_expiry("snapshot", now))),
            Metadata(Timestamp(expires=_expiry("timestamp", now))),
        )

    @classmethod
    def read(cls, folder: Path) -> SignedSet:
        """Raises ArtifactCorrupt where a file is missing, unreadable or not signed by the root's keys."""
        try:
            root = Metadata[Root].from_file(str(folder / f"{_newest_root(folder)}.root.json"))
            timestamp = Metadata[Timestamp].from_file(str(folder / "timestamp.json"))
            version = timestamp.signed.snapshot_meta.version
            snapshot = Metadata[Snapshot].from_file(str(folder / f"{version}.snapshot.json"))
            version = snapshot.signed.meta["targets.json"].version
            targets = Metadata[Targets].from_file(str(folder / f"{version}.targets.json"))
            found = cls(folder, root, targets, snapshot, timestamp)
            for role in ROLES:
                root.verify_delegate(role, found.role(role))
        except (OSError, KeyError, ValueError, RepositoryError, StorageError, DeserializationError) as error:
            raise ArtifactCorrupt("the release repository cannot be read", got=error, where=folder) from error
        return found

    def role(self, name: str) -> Metadata[Any]:
        metadata: Metadata[Any] = getattr(self, name)
        return metadata

    def channel(self, name: str) -> dict[str, TargetFile]:
        """The channel's files by their name in the bundle."""
        prefix = f"{name}/"
        signed = self.targets.signed.targets
        return {path.removeprefix(prefix): target for path, target in signed.items() if path.startswith(prefix)}

    def set_channel(self, name: str, targets: list[TargetFile]) -> None:
        """The channel holds these files and no others."""
        for path in [path for path in self.targets.signed.targets if path.startswith(f"{name}/")]:
            del self.targets.signed.targets[path]
        self.targets.signed.targets.update({target.path: target for target in targets})

    def due(self, now: datetime) -> tuple[str, ...]:
        """The roles that are half expired."""
        return tuple(role for role in ROLES if _is_due(role, self.role(role), now))

    def sign(self, keys: Keys, *, now: datetime, changed: bool) -> tuple[str, ...]:
        """Write what has `changed` (the targets), is new or half expired; the roles that were signed, in order.

        Of what is half expired, a role without keys stays as it is: its keys are offline.

        Raises:
            InputError: the keys are not those that the root names.
        """
        self._check_keys(keys)
        new = not self.exists(self.folder)
        due = set(ROLES if new else self.due(now)) & set(keys)
        due |= {"targets"} if changed else set()
        due |= {"snapshot"} if "targets" in due else set()
        due |= {"timestamp"} if "snapshot" in due else set()
        for role in [role for role in ROLES if role in due]:
            metadata = self.role(role)
            metadata.signed.version += 0 if new else 1
            metadata.signed.expires = _expiry(role, now)
            if role == "snapshot":
                self.snapshot.signed.meta["targets.json"] = MetaFile(self.targets.signed.version)
            if role == "timestamp":
                self.timestamp.signed.snapshot_meta = MetaFile(self.snapshot.signed.version)
            metadata.signatures.clear()
            for signer in keys[role]:
                metadata.sign(signer, append=True)
            name = f"{role}.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
            write_atomically(self.folder / name, metadata.to_bytes(), mode=READABLE)
        return tuple(role for role in ROLES if role in due)

    def _check_keys(self, keys: Keys) -> None:
        for role in keys:
            given = {signer.public_key.keyid for signer in keys[role]}
            if not given <= set(self.root.signed.roles[role].keyids):
                next_step = "put the repository's own keys back; new keys would be refused by every device"
                raise InputError(f"the {role} keys are not this repository's", where=self.folder, next_step=next_step)


def _expiry(role: str, now: datetime) -> datetime:
    return (now + LIFETIME[role]).replace(microsecond=0)


def _is_due(role: str, metadata: Metadata[Any], now: datetime) -> bool:
    remaining: timedelta = metadata.signed.expires - now
    return remaining < LIFETIME[role] / 2


def _newest_root(folder: Path) -> int:
    return max(int(path.name.partition(".")[0]) for path in folder.glob("[0-9]*.root.json"))
