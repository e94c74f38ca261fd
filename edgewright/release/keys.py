"""The repository's private keys: Ed25519, one encrypted PEM (PKCS8) file a key, made at run time.

Decides who may sign what, and what opens a key. The roles that a server signs with unattended are opened by the secret
in a file, the two that belong offline by a person's passphrase. Where a home makes its own keys the file opens all of
them: the shape of production, where root's three and `targets` are taken elsewhere and no device needs a new root.
Of root's three any two are enough, so that one may be lost. Keys from before there was a secret stay plain until they
are replaced. Refuses key files that others may read, and never writes them anywhere but into this folder: private from
their first byte on, and never half a key.

    root       root-1 root-2 root-3 (threshold 2)     offline: which keys count
    targets    targets                                offline: which files are a release, and the channel's floor
    rollout    rollout                                online: what a cohort runs, of what targets permits
    snapshot   snapshot                               online: which metadata belong together
    timestamp  timestamp                              online: that this is the newest; signed again every few days
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner

from edgewright.errors import InputError
from edgewright.files import PRIVATE, write_atomically

OFFLINE, ONLINE = ("root", "targets"), ("rollout", "snapshot", "timestamp")
ROLES = (*OFFLINE, *ONLINE)
"""In the order in which they are signed."""
KEY_NAMES = {"root": ("root-1", "root-2", "root-3"), **{role: (role,) for role in ROLES[1:]}}
ROOT_THRESHOLD = 2
SECRET_FILE = "secret"
"""Beside the keys unless the settings name a file elsewhere: it opens what no person has to open."""

Keys = Mapping[str, tuple[CryptoSigner, ...]]
"""Role => its signers."""
Passphrase = Callable[[str], bytes]
"""Name of a key => what a person says opens it."""


def make_keys(folder: Path, *, passphrase: Passphrase | None = None, secret: Path | None = None) -> Keys:
    """The folder's keys, with those made that are missing. For a repository that does not exist yet.

    Args:
        passphrase: asked for each offline key; none: the secret opens them too.
        secret: the file of the secret; made where there is none.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    opened_by = secret_of(folder, secret)
    asked = cache(passphrase) if passphrase else None
    for role, names in KEY_NAMES.items():
        for name in names:
            if not path_of(folder, name).exists():
                write_key(folder, name, passphrase=asked(name) if asked and role in OFFLINE else opened_by)
    return read_keys(folder, passphrase=asked, secret=secret)


def write_key(folder: Path, name: str, *, passphrase: bytes) -> None:
    """A new key under this name. Raises InputError for an empty passphrase."""
    if not passphrase:
        raise InputError("a key needs a passphrase", got="nothing", where=path_of(folder, name))
    payload = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)
    )
    write_atomically(path_of(folder, name), payload, mode=PRIVATE)


def read_keys(
    folder: Path, roles: Iterable[str] = ROLES, *, passphrase: Passphrase | None = None, secret: Path | None = None
) -> Keys:
    """Of root those that are here, where they are enough.

    Raises InputError: a key is missing, unreadable, no Ed25519 key, readable by others, or not opened.
    """
    return {
        role: tuple(read_one(folder, name, passphrase=passphrase, secret=secret) for name in _names(folder, role))
        for role in roles
    }


def read_one(
    folder: Path, name: str, *, passphrase: Passphrase | None = None, secret: Path | None = None
) -> CryptoSigner:
    """A key by its name. Raises InputError as `read_keys` does."""
    file = secret or folder / SECRET_FILE
    return _read(path_of(folder, name), file.read_bytes() if file.is_file() else None, passphrase)


def roles_in(folder: Path) -> tuple[str, ...]:
    """The roles of which enough keys lie in the folder: the others' are offline."""
    return tuple(role for role in ROLES if all(path_of(folder, name).exists() for name in _names(folder, role)))


def role_opens_alone(folder: Path, role: str, *, secret: Path | None = None) -> bool:
    """Whether the role's keys here need no person. Raises InputError as `read_keys` does for any other reason."""
    try:
        read_keys(folder, (role,), secret=secret)
    except InputError as error:
        if "passphrase" in error.what:
            return False
        raise
    return True


def path_of(folder: Path, name: str) -> Path:
    return folder / f"{name}.pem"


def secret_of(folder: Path, secret: Path | None) -> bytes:
    """What opens the keys that no person has to open; made where there is none. Raises InputError: others may read."""
    path = secret or folder / SECRET_FILE
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(32).encode(), mode=PRIVATE)
    if path.stat().st_mode & 0o077:
        raise InputError("a secret that others may read", expected="mode 0600", where=path)
    return path.read_bytes()


def _names(folder: Path, role: str) -> tuple[str, ...]:
    """The role's keys that are to be opened: all, or of root those that are here if they reach the threshold."""
    names = KEY_NAMES[role]
    here = tuple(name for name in names if path_of(folder, name).exists())
    return here if role == "root" and len(here) >= ROOT_THRESHOLD else names


def _read(path: Path, secret: bytes | None, passphrase: Passphrase | None) -> CryptoSigner:
    try:
        if path.stat().st_mode & 0o077:
            raise InputError("a private key that others may read", expected="mode 0600", where=path)
        signer = CryptoSigner(_opened(path, secret, passphrase))  # type: ignore[arg-type]
    except OSError as error:
        next_step = "put the repository's own keys back; new keys would be refused by every device"
        raise InputError("a signing key is missing", got=error.strerror, where=path, next_step=next_step) from error
    if signer.public_key.keytype != "ed25519":
        raise InputError("a key of another type", expected="ed25519", got=signer.public_key.keytype, where=path)
    return signer


def _opened(path: Path, secret: bytes | None, passphrase: Passphrase | None) -> object:
    """By the secret, by what a person says, or, as older repositories have them, as it lies there."""
    payload = path.read_bytes()
    asked = [secret] if b"ENCRYPTED" in payload else [None]
    for said in asked:
        try:
            return load_pem_private_key(payload, said)
        except (ValueError, TypeError):
            continue
    if b"ENCRYPTED" not in payload:
        raise InputError("not a private key", expected="PEM, PKCS8, Ed25519", where=path)
    if passphrase is None:
        raise InputError("a key that only a passphrase opens", where=path, next_step="sign where a person can type it")
    try:
        return load_pem_private_key(payload, passphrase(path.stem))
    except (ValueError, TypeError) as error:
        raise InputError("the passphrase does not open the key", where=path) from error
