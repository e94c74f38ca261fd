"""The TUF roles of a repository on disk: read, checked, signed and written so that readers never see half of it.

Decides versions and expiry, and what the delegated role `rollout` may sign: files below `rollout/` and nothing else.
Versioned files are written first and `timestamp.json`, the one name that changes its bytes, last: whatever is cut off
before that has not happened. What an offline key signs where no online key is waits in `pending/` for whoever has
those; the next that an offline key signs goes on from it. Refuses metadata whose signatures do not hold, keys that the
root does not name, and to sign a timestamp by a clock that went back. Names and order are the TUF specification's
(consistent snapshots, section 6.2; delegations, section 4.5).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
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
LEFT = ("targets", ROLLOUT)
"""What may wait in `pending/`, in the order in which they vouch for each other."""
CLOCKS_DIFFER = timedelta(hours=1)
"""A timestamp is not signed by a clock that is further than this behind the one that signed the last."""


@dataclass(frozen=True)
class Waiting:
    """What was found in `pending/`.

    Attributes:
        taken: the roles that are newer and rightly signed: the set says them now.
        stale: the roles of which something else of this version, or a newer one, is announced.
        why: of what is not taken, stale or refused: a sentence each.
    """

    taken: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict)


@dataclass
class SignedSet:
    """What the roles say now. `sign` is the only way to change it on disk.

    Attributes:
        rollout: None in a repository from before there was the role.
        adopted: the roles that come from `pending/`, and are announced when next a timestamp is signed.
    """

    folder: Path
    root: Metadata[Root]
    targets: Metadata[Targets]
    rollout: Metadata[Targets] | None
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]
    adopted: set[str] = field(default_factory=set)

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

    @classmethod
    def read_with_waiting(cls, folder: Path, *, now: datetime) -> SignedSet:
        """As `read`, and what waits in `pending/`: what is signed next goes on from there, and loses nothing.

        Raises:
            ArtifactCorrupt: also where what waits is not signed rightly.
            InputError: it was overtaken by what is announced.
        """
        found = cls.read(folder)
        waiting = found.adopt(now=now)
        for role, why in waiting.why.items():
            raise (InputError if role in waiting.stale else ArtifactCorrupt)(
                "what waits to be announced cannot be",
                got=why,
                where=found.pending(role),
                next_step="remove the file, and sign once more what it was to say",
            )
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
        if not announced and due & set(LEFT):
            return self._leave([role for role in self.roles if role in due & set(LEFT)], keys, now)
        carried = self.adopted if announced else set()
        due |= {"snapshot"} if due & set(LEFT) or carried else set()
        due -= set() if announced else {"snapshot"}  # nobody could be told of it
        due |= {"timestamp"} if "snapshot" in due else set()
        if "timestamp" in due and not new:
            self._check_clock(keys, now)
        written = tuple(role for role in self.roles if role in due | carried)
        for role in written:
            if role in due:
                self._renew(role, keys, now, first=new)
            metadata = self.role(role)
            name = f"{role}.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
            write_atomically(self.folder / name, metadata.to_bytes(), mode=READABLE)
        self.discard(carried)
        self.adopted = self.adopted - carried
        return written

    def pending(self, role: str) -> Path:
        return self.folder / PENDING / f"{role}.json"

    def waiting(self) -> tuple[str, ...]:
        """The roles of which something lies in `pending/` that is not what is announced."""
        return tuple(role for role in LEFT if self.pending(role).exists() and not self._is_announced(role))

    def adopt(self, *, now: datetime | None = None) -> Waiting:
        """Say what offline keys have signed and left, as far as it is newer and theirs; `sign` announces it.

        Versions are compared first: what was overtaken is stale whoever signed it. What would leave `rollout` without
        rightly signed metadata is refused as a whole: every device would refuse the repository.

        Args:
            now: what has expired by then is refused; none: that is not asked.
        """
        before = self.targets, self.rollout
        taken, stale, why = [], [], {}
        for role in self.waiting():
            known: Metadata[Targets] | None = getattr(self, role)
            try:
                waiting = Metadata[Targets].from_bytes(self.pending(role).read_bytes())
                if known is not None and waiting.signed.version <= known.signed.version:
                    stale.append(role)
                    why[role] = (
                        f"{role} version {waiting.signed.version} in {PENDING}/ is not newer than "
                        f"{known.signed.version}, which is announced"
                    )
                    continue
                self._delegator(role).verify_delegate(role, waiting)
                if now and waiting.signed.expires <= now:
                    raise ValueError(f"it has expired, {waiting.signed.expires:%Y-%m-%d}")
            except (OSError, ValueError, RepositoryError, DeserializationError) as error:
                why[role] = f"{role} in {PENDING}/ is not signed rightly: {error}"
                continue
            setattr(self, role, waiting)
            taken.append(role)
        if taken and (left_out := self._without_rollout()):
            self.targets, self.rollout = before
            why |= {role: f"{role} in {PENDING}/ is not signed rightly: {left_out}" for role in taken}
            taken = []
        self.adopted = set(taken)
        return Waiting(tuple(taken), tuple(stale), why)

    def discard(self, roles: Collection[str]) -> None:
        """What lies of them in `pending/` is announced, or was overtaken."""
        for role in roles:
            self.pending(role).unlink(missing_ok=True)

    def _is_announced(self, role: str) -> bool:
        metadata: Metadata[Targets] | None = getattr(self, role)
        if metadata is None:
            return False
        announced = self.folder / f"{metadata.signed.version}.{role}.json"
        try:
            return announced.read_bytes() == self.pending(role).read_bytes()
        except OSError:
            return False

    def _without_rollout(self) -> str:
        """Why devices would find no rightly signed `rollout`; "" where they do, or look for none."""
        if self.rollout is None:
            return "it names keys of rollout, which have signed nothing" if self.keyids(ROLLOUT) else ""
        try:
            self.targets.verify_delegate(ROLLOUT, self.rollout)
        except (ValueError, RepositoryError) as error:
            return str(error)
        return ""

    def _leave(self, roles: list[str], keys: Keys, now: datetime) -> tuple[str, ...]:
        for role in roles:
            self._renew(role, keys, now, first=False)
            write_atomically(self.pending(role), self.role(role).to_bytes(), mode=READABLE)
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

    def _check_clock(self, keys: Keys, now: datetime) -> None:
        """A device believes no earlier time than the newest it has seen signed, until another key signs times."""
        issued = self.timestamp.signed.unrecognized_fields.get("issued")
        if any(signer.public_key.keyid not in self.timestamp.signatures for signer in keys["timestamp"]):
            return
        if issued and datetime.fromisoformat(str(issued)) > now + CLOCKS_DIFFER:
            raise InputError(
                "the last timestamp was signed in this clock's future",
                expected=f"a clock at or after {issued}",
                got=now.replace(microsecond=0).isoformat(),
                where=self.folder,
                next_step="set this machine's clock; if the other was wrong, edgewright release rotate-key timestamp",
            )

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
