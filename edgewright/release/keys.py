"""The repository's private keys: Ed25519, one PEM (PKCS8) file a key, made at run time for demos.

Decides who may sign what. Root is 2 of 3: with the demo's keys in one folder that protects nothing, but it is the
shape of production, where two of the three and `targets` are taken offline and no device needs a new root. Refuses
key files that others may read, and never writes them anywhere but into this folder: private from their first byte on,
and never half a key.

    root       root-1 root-2 root-3 (threshold 2)     which keys count; signed rarely
    targets    targets                                which files are a release
    snapshot   snapshot                               which metadata belong together
    timestamp  timestamp                              that this is the newest; signed again every few days
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner

from edgewright.errors import InputError
from edgewright.files import PRIVATE, write_atomically

ROLES = ("root", "targets", "snapshot", "timestamp")
KEY_NAMES = {"root": ("root-1", "root-2", "root-3"), **{role: (role,) for role in ROLES[1:]}}
ROOT_THRESHOLD = 2

Keys = Mapping[str, tuple[CryptoSigner, ...]]
"""Role => its signers."""


def make_keys(folder: Path) -> Keys:
    """The folder's keys, with those made that are missing. For a repository that does not exist yet."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for names in KEY_NAMES.values():
        for name in names:
            if not _path(folder, name).exists():
                write_atomically(_path(folder, name), CryptoSigner.generate_ed25519().private_bytes, mode=PRIVATE)
    return read_keys(folder)


def read_keys(folder: Path, roles: Iterable[str] = ROLES) -> Keys:
    """Raises InputError: a key is missing, unreadable, no Ed25519 key, or readable by others."""
    return {role: tuple(_read(_path(folder, name)) for name in KEY_NAMES[role]) for role in roles}


def roles_in(folder: Path) -> tuple[str, ...]:
    """The roles whose keys all lie in the folder: the others' are offline."""
    return tuple(role for role in ROLES if all(_path(folder, name).exists() for name in KEY_NAMES[role]))


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.pem"


def _read(path: Path) -> CryptoSigner:
    try:
        if path.stat().st_mode & 0o077:
            raise InputError("a private key that others may read", expected="mode 0600", where=path)
        signer = CryptoSigner(load_pem_private_key(path.read_bytes(), None))
    except OSError as error:
        next_step = "put the repository's own keys back; new keys would be refused by every device"
        raise InputError("a signing key is missing", got=error.strerror, where=path, next_step=next_step) from error
    except (ValueError, TypeError) as error:
        raise InputError("not a private key", expected="PEM, PKCS8, Ed25519", where=path) from error
    if signer.public_key.keytype != "ed25519":
        raise InputError("a key of another type", expected="ed25519", got=signer.public_key.keytype, where=path)
    return signer
