"""What people do at a table with the offline keys: begin a repository, replace a key, look whether all of it holds.

Decides the order in which a key is replaced: the new one is on the disk before anything is signed with it; first both
count, then the role is signed by the new one, then the old one counts no longer. Every step is a repository that every
device accepts, and cut off anywhere the same command ends it. One of root's keys may be lost, also the one that is
replaced: the other two vouch. A key that a person opened is followed by one that a person opens, never by one that a
file opens. Refuses to begin a repository twice, and to replace a key while something waits to be announced.

    init_repository(repository, keys=keys, now=now, passphrase=asked)
    rotate_key("timestamp", repository=repository, keys=keys, now=now, passphrase=asked)
    verify_repository(repository, now=now)          # () where everything is as it is signed
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from edgewright.errors import InputError
from edgewright.release.keys import (
    KEY_NAMES,
    OFFLINE,
    ROOT_THRESHOLD,
    Passphrase,
    make_keys,
    path_of,
    read_keys,
    read_one,
    role_opens_alone,
    secret_of,
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
    new_passphrase: Passphrase | None = None,
    secret: Path | None = None,
) -> tuple[str, ...]:
    """The key is replaced by a new one; the roles that were signed.

    What vouches for it has to be opened too: two of root's keys, of `rollout` that of targets; and snapshot and
    timestamp. What nobody here has a key of, and counts for the role, counts no longer.

    Args:
        name: of a key: `root-1`, `targets`, `rollout`…
        passphrase: asked for keys that the secret does not open.
        new_passphrase: asked for the new key, where the old one is a person's; none: `passphrase` is.

    Raises:
        InputError: no such key, one that is needed is not here or not opened, or something waits to be announced.
    """
    role = next((role for role, names in KEY_NAMES.items() if name in names), None)
    if role is None:
        expected = ", ".join(each for names in KEY_NAMES.values() for each in names)
        raise InputError("not a key's name", expected=expected, got=name)
    vouching = "targets" if role == ROLLOUT else "root"
    with writing(repository):
        signed_set = SignedSet.read(repository / METADATA)
        _refuse_while_something_waits(signed_set)
        asked = cache(passphrase) if passphrase else None
        vouchers = {
            each: read_one(keys, each, passphrase=asked, secret=secret)
            for each in (_vouching_root_keys(name, keys) if vouching == "root" else ())
        }
        wanted = {vouching, role, "snapshot", "timestamp"} - {"root"}
        known = dict(read_keys(keys, sorted(wanted), passphrase=asked, secret=secret))
        if vouching == "root":
            known["root"] = tuple(vouchers.values())
        old = _old_keyids(name, role, vouchers, keys, signed_set)
        new = _next_key(
            name,
            keys,
            by_person=not role_opens_alone(keys, role, secret=secret),
            passphrase=asked,
            new_passphrase=new_passphrase or asked,
            secret=secret,
        )
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
        if gone := (old & signed_set.keyids(role)) - {new.public_key.keyid}:
            for keyid in sorted(gone):
                signed_set.drop_key(role, keyid)
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


def _refuse_while_something_waits(signed_set: SignedSet) -> None:
    for role in signed_set.waiting():
        raise InputError(
            "something waits to be announced, which the new keys might not vouch for",
            got=role,
            where=signed_set.pending(role),
            next_step="edgewright release renew, where the online keys are",
        )


def _vouching_root_keys(name: str, keys: Path) -> list[str]:
    """Root's keys that sign while `name` is replaced: the others, and itself only where another one is lost."""
    here = [each for each in KEY_NAMES["root"] if path_of(keys, each).exists()]
    others = [each for each in here if each != name]
    chosen = others if len(others) >= ROOT_THRESHOLD else here
    return chosen if len(chosen) >= ROOT_THRESHOLD else list(KEY_NAMES["root"])  # so that what is missing is said


def _old_keyids(
    name: str, role: str, vouchers: Mapping[str, CryptoSigner], keys: Path, signed_set: SignedSet
) -> set[str]:
    """What counts no longer in the end, the new key apart: by the metadata, because the file may be what was lost."""
    counting = signed_set.keyids(role)
    if role != "root":
        return counting
    if name in vouchers:
        return {vouchers[name].public_key.keyid}
    for other in KEY_NAMES["root"]:
        left = path_of(keys, f"{other}{_NEXT}")
        if other != name and left.exists():
            next_step = f"edgewright release rotate-key {other}"
            raise InputError(
                "another rotation was cut off", got=other, where=left, next_step=f"{next_step}, which ends it"
            )
    return counting - {signer.public_key.keyid for signer in vouchers.values()}


def _next_key(
    name: str,
    keys: Path,
    *,
    by_person: bool,
    passphrase: Passphrase | None,
    new_passphrase: Passphrase | None,
    secret: Path | None,
) -> CryptoSigner:
    """The new key, made where a rotation that was cut off has not left it. By a person: never the secret opens it.

    Raises:
        InputError: nobody says a passphrase, or it does not open what was left.
    """
    kept = f"{name}{_NEXT}"
    if path_of(keys, kept).exists():
        return _left_key(kept, keys, passphrase=passphrase, secret=secret)
    if not by_person:
        write_key(keys, kept, passphrase=secret_of(keys, secret))
        return read_one(keys, kept, secret=secret)
    said = new_passphrase(name) if new_passphrase else b""
    write_key(keys, kept, passphrase=said)
    return read_one(keys, kept, passphrase=lambda _: said, secret=secret)


def _left_key(kept: str, keys: Path, *, passphrase: Passphrase | None, secret: Path | None) -> CryptoSigner:
    try:
        return read_one(keys, kept, passphrase=passphrase, secret=secret)
    except InputError as error:
        raise InputError(
            "the new key that a rotation left is not opened",
            got=error.what,
            where=path_of(keys, kept),
            next_step=f"say the passphrase of {kept}; where it is lost, remove the file and begin again",
        ) from error
