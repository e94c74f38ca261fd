"""The TUF roles of a repository on disk: read, checked, signed and written so that readers never see half of it.

Decides versions and expiry, and what the delegated role `rollout` may sign: files below `rollout/` and nothing else.
Versioned files are written first and `timestamp.json`, the one name that changes its bytes, last: whatever is cut off
before that has not happened. What an offline key signs where no online key is waits in `pending/` for whoever has
those. Refuses metadata whose signatures do not hold, and keys that the root does not name. Names and order are the TUF
specification's (consistent snapshots, section 6.2; delegations, section 4.5).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import Key
from tuf.api.exceptions import RepositoryError, StorageError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from edgewright.device.offer import POLICY_FILE, TIERS
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.files import READABLE, write_atomically
from edgewright.release.keys import ROLES, ROOT_THRESHOLD, Keys

LIFETIME: Mapping[str, timedelta] = {
    "root": timedelta(days=365),
    "targets": timedelta(days=365),
    "rollout": timedelta(days=30),
    "snapshot": timedelta(days=30),
    "timestamp": timedelta(days=7),  # Foundries.io's practice
}
"""A role is signed again once half of this is over."""
FIRST_ROOT = "1.root.json"
ROLLOUT, ROLLOUT_PATHS = "rollout", ["rollout/*"]
PENDING = "pending"


@dataclass
class SignedSet:
    """What the roles say now. `sign` is the only way to change it on disk.

    Attributes: rollout: None in a repository from before there was the role.
    """

    folder: Path
    root: Metadata[Root]
    targets: Metadata[Targets]
    rollout: Metadata[Targets] | None
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
            for signer in signers if role != ROLLOUT else ():
                root.add_key(signer.public_key, role)
        root.roles["root"].threshold = ROOT_THRESHOLD
        made = cls(
            folder,
            Metadata(root),
            Metadata(Targets(expires=_expiry("targets", now))),
            None,
            Metadata(Snapshot(expires=_expiry("snapshot", now))),
            Metadata(Timestamp(expires=_expiry("timestamp", now))),
        )
        made.delegate([signer.public_key for signer in keys[ROLLOUT]], now=now)
        return made

    @classmethod
    def read(cls, folder: Path) -> SignedSet:
        """Raises ArtifactCorrupt where a file is missing, unreadable or not signed by the keys that it should be."""
        try:
            root = Metadata[Root].from_file(str(folder / f"{_newest_root(folder)}.root.json"))
            timestamp = Metadata[Timestamp].from_file(str(folder / "timestamp.json"))
            version = timestamp.signed.snapshot_meta.version
            snapshot = Metadata[Snapshot].from_file(str(folder / f"{version}.snapshot.json"))
            targets = _targets(folder, snapshot, "targets")
            known = f"{ROLLOUT}.json" in snapshot.signed.meta
            rollout = _targets(folder, snapshot, ROLLOUT) if known else None
            found = cls(folder, root, targets, rollout, snapshot, timestamp)
            for role in found.roles:
                found._delegator(role).verify_delegate(role, found.role(role))
        except (OSError, KeyError, ValueError, RepositoryError, StorageError, DeserializationError) as error:
            raise ArtifactCorrupt("the release repository cannot be read", got=error, where=folder) from error
        return found

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(role for role in ROLES if role != ROLLOUT or self.rollout is not None)

    def role(self, name: str) -> Metadata[Any]:
        metadata: Metadata[Any] = getattr(self, name)
        return metadata

    def delegate(self, keys: Collection[Key], *, now: datetime) -> None:
        """The keys of `rollout` are these from now on; `targets` has to be signed for it, and `rollout` anew."""
        role = DelegatedRole(ROLLOUT, [], 1, terminating=True, paths=ROLLOUT_PATHS)
        self.targets.signed.delegations = Delegations({}, {ROLLOUT: role})
        for key in keys:
            self.targets.signed.add_key(key, ROLLOUT)
        if self.rollout is None:
            self.rollout = Metadata(Targets(expires=_expiry(ROLLOUT, now)))

    def add_key(self, role: str, key: Key) -> None:
        """The key signs for the role too; what vouches for the role has to be signed."""
        (self.targets if role == ROLLOUT else self.root).signed.add_key(key, role)

    def drop_key(self, role: str, keyid: str) -> None:
        """The key signs for the role no longer; what vouches for the role has to be signed."""
        (self.targets if role == ROLLOUT else self.root).signed.revoke_key(keyid, role)

    def is_signed_by(self, role: str, keyid: str) -> bool:
        return keyid in self.role(role).signatures

    def drop(self, prefix: str) -> None:
        """The files below it are signed no longer."""
        signed = self.targets.signed.targets
        for path in [path for path in signed if path.startswith(prefix)]:
            del signed[path]

    def drop_of_old_agents(self, channel: str) -> None:
        """The files of the release that agents without plans are told: `<channel>/<file>`, none of a tier's."""
        signed = self.targets.signed.targets
        for path in [path for path in signed if path.startswith(f"{channel}/") and path.split("/")[1] not in TIERS]:
            if path != f"{channel}/{POLICY_FILE}":
                del signed[path]

    def due(self, now: datetime) -> tuple[str, ...]:
        """The roles that are half expired."""
        return tuple(role for role in self.roles if _is_due(role, self.role(role), now))

    def sign(self, keys: Keys, *, now: datetime, changed: Collection[str] = ()) -> tuple[str, ...]:
        """Write what has `changed`, is new or half expired; the roles that were signed, in order.

        Of what is half expired, a role without keys stays as it is: its keys are offline. What has changed needs its
        keys; where those of snapshot or timestamp are not there it is left in `pending/`.

        Raises:
            InputError: the keys are not those that the root names, or those of what has changed are not there.
        """
        self._check_keys(keys)
        new = not self.exists(self.folder)
        if missing := set(changed) - set(keys):
            raise InputError(f"the keys of {', '.join(sorted(missing))} are needed for this", where=self.folder)
        due = set(self.roles if new else self.due(now)) & set(keys) | set(changed)
        announced = {"snapshot", "timestamp"} <= set(keys)
        if not announced and due & {"targets", ROLLOUT}:
            return self._leave([role for role in self.roles if role in due & {"targets", ROLLOUT}], keys, now)
        due |= {"snapshot"} if due & {"targets", ROLLOUT} else set()
        due |= {"timestamp"} if "snapshot" in due else set()
        for role in [role for role in self.roles if role in due]:
            self._renew(role, keys, now, first=new)
            metadata = self.role(role)
            name = f"{role}.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
            write_atomically(self.folder / name, metadata.to_bytes(), mode=READABLE)
        return tuple(role for role in self.roles if role in due)

    def adopt(self) -> tuple[str, ...]:
        """Take what offline keys have signed and left; the roles. `sign` with them as changed announces it.

        Raises:
            ArtifactCorrupt: it is not signed by this repository's keys, or not newer.
        """
        taken = []
        for role in ("targets", ROLLOUT):
            path = self.folder / PENDING / f"{role}.json"
            if not path.is_file():
                continue
            try:
                waiting = Metadata[Targets].from_bytes(path.read_bytes())
                self._delegator(role).verify_delegate(role, waiting)
            except (OSError, ValueError, RepositoryError, DeserializationError) as error:
                raise ArtifactCorrupt(
                    "what waits to be announced is not signed rightly", got=error, where=path
                ) from error
            if waiting.signed.version > self.role(role).signed.version:
                setattr(self, role, waiting)
                taken.append(role)
        return tuple(taken)

    def announce(self, roles: Collection[str], keys: Keys, *, now: datetime) -> None:
        """Write adopted roles as they are signed, and a snapshot and a timestamp that name them."""
        self._check_keys(keys)
        for role in roles:
            metadata = self.role(role)
            name = f"{metadata.signed.version}.{role}.json"
            write_atomically(self.folder / name, metadata.to_bytes(), mode=READABLE)
        self.sign(keys, now=now, changed=("snapshot",))
        for role in roles:
            (self.folder / PENDING / f"{role}.json").unlink(missing_ok=True)

    def _leave(self, roles: list[str], keys: Keys, now: datetime) -> tuple[str, ...]:
        for role in roles:
            self._renew(role, keys, now, first=False)
            write_atomically(self.folder / PENDING / f"{role}.json", self.role(role).to_bytes(), mode=READABLE)
        return tuple(roles)

    def _renew(self, role: str, keys: Keys, now: datetime, *, first: bool) -> None:
        metadata = self.role(role)
        metadata.signed.version += 0 if first or not metadata.signatures else 1
        metadata.signed.expires = _expiry(role, now)
        if role == "snapshot":
            signed = {"targets": self.targets, **({ROLLOUT: self.rollout} if self.rollout else {})}
            for name, each in signed.items():
                self.snapshot.signed.meta[f"{name}.json"] = MetaFile(each.signed.version)
        if role == "timestamp":
            self.timestamp.signed.snapshot_meta = MetaFile(self.snapshot.signed.version)
            # What a device keeps against a clock that goes back.
            self.timestamp.signed.unrecognized_fields["issued"] = now.replace(microsecond=0).isoformat()
        metadata.signatures.clear()
        for signer in keys[role]:
            metadata.sign(signer, append=True)

    def _delegator(self, role: str) -> Metadata[Any]:
        return self.targets if role == ROLLOUT else self.root

    def _check_keys(self, keys: Keys) -> None:
        for role in keys:
            given = {signer.public_key.keyid for signer in keys[role]}
            if not given <= self.keyids(role):
                next_step = "put the repository's own keys back; new keys would be refused by every device"
                raise InputError(f"the {role} keys are not this repository's", where=self.folder, next_step=next_step)

    def keyids(self, role: str) -> set[str]:
        """Of the keys that may sign for the role."""
        if role != ROLLOUT:
            return set(self.root.signed.roles[role].keyids)
        delegations = self.targets.signed.delegations
        roles = delegations.roles if delegations else None
        return set(roles[ROLLOUT].keyids) if roles else set()


def _targets(folder: Path, snapshot: Metadata[Snapshot], role: str) -> Metadata[Targets]:
    version = snapshot.signed.meta[f"{role}.json"].version
    return Metadata[Targets].from_file(str(folder / f"{version}.{role}.json"))


def _expiry(role: str, now: datetime) -> datetime:
    return (now + LIFETIME[role]).replace(microsecond=0)


def _is_due(role: str, metadata: Metadata[Any], now: datetime) -> bool:
    remaining: timedelta = metadata.signed.expires - now
    return remaining < LIFETIME[role] / 2


def _newest_root(folder: Path) -> int:
    return max(int(path.name.partition(".")[0]) for path in folder.glob("[0-9]*.root.json"))
