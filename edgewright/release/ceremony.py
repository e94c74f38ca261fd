"""What people do at a table with the offline keys: begin a repository, replace a key, look whether all of it holds.

Decides the order in which a key is replaced: the new one is on the disk before anything is signed with it; first both
count, then the role is signed by the new one, then the old one counts no longer. Every step is a repository that every
device accepts, and cut off anywhere the same command ends it. Refuses to begin a repository twice.

    init_repository(repository, keys=keys, now=now, passphrase=asked)
    rotate_key("timestamp", repository=repository, keys=keys, now=now, passphrase=asked)
    verify_repository(repository, now=now)          # () where everything is as it is signed
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from edgewright.errors import InputError
from edgewright.release.keys import (
    KEY_NAMES,
    OFFLINE,
    SECRET_FILE,
    Passphrase,
    make_keys,
    path_of,
    read_keys,
    read_one,
    write_key,
)
from edgewright.release.metadata import ROLLOUT, SignedSet
from edgewright.release.repository import writing
from edgewright.release.server import METADATA

ANNOUNCED = timedelta(days=30)
"""Offline roles that expire within it are told of: whoever has their keys needs the time."""
_NEXT = ".next"


def init_repository(
    repository: Path, *, keys: Path, now: datetime, passphrase: Passphrase | None = None, secret: Path | None = None
) -> tuple[str, ...]:
    """Keys, and metadata that permit nothing yet; the roles that were signed. Raises InputError where there is one."""
    with writing(repository):
        if SignedSet.exists(repository / METADATA):
            raise InputError("there is a repository already", where=repository)
        signers = make_keys(keys, passphrase=passphrase, secret=secret)
        return SignedSet.create(repository / METADATA, signers, now=now).sign(signers, now=now)


def rotate_key(
    name: str,
    *,
    repository: Path,
    keys: Path,
    now: datetime,
    passphrase: Passphrase | None = None,
    secret: Path | None = None,
) -> tuple[str, ...]:
    """The key is replaced by a new one; the roles that were signed.

    What vouches for it has to be opened too: root's keys, of `rollout` those of targets; and snapshot and timestamp.

    Args:
        name: of a key: `root-1`, `targets`, `rollout`…

    Raises:
        InputError: no such key, or one that is needed is not here or not opened.
    """
    role = next((role for role, names in KEY_NAMES.items() if name in names), None)
    if role is None:
        expected = ", ".join(each for names in KEY_NAMES.values() for each in names)
        raise InputError("not a key's name", expected=expected, got=name)
    vouching = "targets" if role == ROLLOUT else "root"
    wanted = tuple(dict.fromkeys((vouching, role, "snapshot", "timestamp")))
    with writing(repository):
        signed_set = SignedSet.read(repository / METADATA)
        new = _next_key(name, keys, offline=role in OFFLINE, passphrase=passphrase, secret=secret)
        known = read_keys(keys, wanted, passphrase=passphrase, secret=secret)
        old = known[role][KEY_NAMES[role].index(name)].public_key.keyid
        signed: tuple[str, ...] = ()

        def sign(changed: str) -> tuple[str, ...]:
            counting = signed_set.keyids(role)
            own = tuple(each for each in (*known[role], new) if each.public_key.keyid in counting)
            return (*signed, *signed_set.sign({**known, role: own}, now=now, changed=(changed,)))

        if new.public_key.keyid not in signed_set.keyids(role):
            signed_set.add_key(role, new.public_key)
            signed = sign(vouching)
        if not signed_set.is_signed_by(role, new.public_key.keyid):
            signed = sign(role)
        if old in signed_set.keyids(role):
            signed_set.drop_key(role, old)
            signed = sign(vouching)
        os.replace(path_of(keys, f"{name}{_NEXT}"), path_of(keys, name))
        return signed


def verify_repository(repository: Path, *, now: datetime) -> tuple[str, ...]:
    """What is wrong, in sentences: files that are not as they are signed, roles that have expired or soon will.

    Raises:
        ArtifactCorrupt: the metadata themselves do not hold.
    """
    return tuple(_wrong(SignedSet.read(repository / METADATA), repository, now))


def _wrong(signed_set: SignedSet, repository: Path, now: datetime) -> Iterator[str]:
    for role in signed_set.roles:
        expires = signed_set.role(role).signed.expires
        if expires <= now:
            yield f"{role} has expired, {expires:%Y-%m-%d}"
        elif role in OFFLINE and expires - now < ANNOUNCED:
            yield f"{role} expires {expires:%Y-%m-%d}, and its keys are kept offline"
    signed = dict(signed_set.targets.signed.targets)
    if signed_set.rollout is not None:
        signed |= signed_set.rollout.signed.targets
    for path, target in sorted(signed.items()):
        file = repository / "targets" / target.get_prefixed_paths()[0]
        try:
            payload = file.read_bytes()
        except OSError as error:
            yield f"{path} is signed and not there: {error.strerror}"
            continue
        if len(payload) != target.length or hashlib.sha256(payload).hexdigest() != target.hashes["sha256"]:
            yield f"{path} is not what is signed"


def _next_key(
    name: str, keys: Path, *, offline: bool, passphrase: Passphrase | None, secret: Path | None
) -> CryptoSigner:
    """The new key, made where a rotation that was cut off has not left it."""
    kept = f"{name}{_NEXT}"
    file = secret or keys / SECRET_FILE
    if not path_of(keys, kept).exists():
        by_person = passphrase(name) if passphrase and offline else None
        write_key(keys, kept, passphrase=by_person or (file.read_bytes() if file.is_file() else b""))
    return read_one(keys, kept, passphrase=passphrase, secret=secret)
