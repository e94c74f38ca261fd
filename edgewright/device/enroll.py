"""A device joins a fleet: with a token, once; or again, after the power went in the middle.

Decides the order in which its folder comes to be: key, authority, certificate, then `device.json`, with which it is a
device. Cut off anywhere, the same token ends it: the collector gives the key that redeemed it the same answer again,
and any other key none. Refuses an authority or a root of releases that the token does not name, whatever the line says.

    home = enroll(Path("device"), Token.from_text(text), files=Files())
"""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from edgewright.device.collector import ask
from edgewright.device.files import Files
from edgewright.device.home import CONFIG_FILE, DeviceConfig, Home, init_home, open_home
from edgewright.device.identity import (
    AUTHORITY_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    Identity,
    check_certificate,
    checked_authority,
    new_key,
    own_key,
    request_for,
)
from edgewright.device.token import Token
from edgewright.errors import HomeBusy, InputError, UpdateRefused
from edgewright.files import try_locked

_ANEW = "give another --home, or remove this one to install the device anew"
RENEW_BEFORE = timedelta(days=120)
"""Of two years: a device that is away for weeks finds time to do it."""


def enroll(root: Path, token: Token, *, files: Files, device_id: str = "") -> Home:
    """The folder of an enrolled device. One that `init` made joins with what it has, if it is the same device.

    Args:
        device_id: the name that it asks for, where its token names none.

    Raises:
        DeviceUnreachable: the collector does not answer; the same command goes on later.
        UpdateRefused: it refuses the token, or is not the one that the token names.
        InputError: the folder belongs to another device. HomeBusy: it is being enrolled.
    """
    files.make_dir(root)
    with try_locked(root) as free:  # two at once would keep the one's key with the other's certificate
        if not free:
            raise HomeBusy("another agent runs on this folder", where=root, next_step="wait for it")
        return _enrolled(root, token, files, device_id)


def _enrolled(root: Path, token: Token, files: Files, device_id: str) -> Home:
    known = open_home(root, files=files) if (root / CONFIG_FILE).exists() else None
    if known and hashlib.sha256(known.trust_root).hexdigest() != token.root_sha256:
        raise InputError("this device trusts another repository than the token names", where=root, next_step=_ANEW)
    folder = root / "identity"
    key = _kept_key(root, folder, files)
    authority = checked_authority(_authority(token), sha256=token.authority_sha256)
    authority_pem = authority.public_bytes(Encoding.PEM)  # that one alone: what came may hold others beside it
    context = ssl.create_default_context(cadata=authority_pem.decode())
    name = device_id or (known.config.device_id if known else "")
    body = {"secret": token.secret, "request": request_for(key).decode(), "device": name}
    certificate, trust_root, config = _told(ask(token.url, "/enroll", context=context, body=body), token)
    if known and known.config.device_id != config.device_id:
        got = config.device_id
        raise InputError("the token is another device's", expected=known.config.device_id, got=got, next_step=_ANEW)
    check_certificate(certificate, key=key, authority=authority)
    files.replace(folder / AUTHORITY_FILE, authority_pem)
    files.replace(folder / CERTIFICATE_FILE, certificate)
    return init_home(root, trust_root=trust_root, config=config, files=files)


def renew_identity(home: Home, *, now: datetime | None = None) -> bool:
    """A new certificate over the same key, where the old one ends soon; whether there is one.

    Raises DeviceUnreachable or UpdateRefused as `enroll` does; the old one stands then.
    """
    identity = Identity(home.identity)
    if identity.expires - (now or datetime.now(UTC)) > RENEW_BEFORE:
        return False
    key = own_key(home.identity)
    if key is None:
        raise InputError("the device's key cannot be read", where=home.identity, next_step="enroll it again")
    request = {"request": request_for(key).decode()}
    answer = ask(home.config.collector_url, "/renew", context=identity.context(), body=request)
    pem = (home.identity / AUTHORITY_FILE).read_bytes()
    authority = checked_authority(pem, sha256=_digest_of(pem))
    certificate = _bytes(answer, "certificate")
    check_certificate(certificate, key=key, authority=authority)
    home.files.replace(home.identity / CERTIFICATE_FILE, certificate)
    return True


def _kept_key(root: Path, folder: Path, files: Files) -> bytes:
    files.make_dir(folder)
    folder.chmod(0o700)
    if key := own_key(folder):
        return key
    key = new_key()
    files.replace(folder / KEY_FILE, key)
    files.fsync_dir(root)
    files.fsync_dir(root.parent)
    return key


def _authority(token: Token) -> bytes:
    """By a line that proves nothing: the digest does. Nothing is told on it."""
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    return _bytes(ask(token.url, "/authority", context=blind), "authority")


def _bytes(answer: dict[str, object], name: str) -> bytes:
    """Of a text; what no text can be is none that is right."""
    return str(answer.get(name, "")).encode(errors="replace")


def _digest_of(pem: bytes) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()


def _told(answer: dict[str, object], token: Token) -> tuple[bytes, bytes, DeviceConfig]:
    """(certificate, root of releases, who the device is)."""
    try:
        certificate, trust_root = (_bytes(answer, name) for name in ("certificate", "root"))
        names = {name: str(answer[name]) for name in ("device_id", "server_url", "channel", "tier")}
    except KeyError as error:
        raise UpdateRefused("the collector's answer lacks a field", expected=error.args[0]) from error
    got = hashlib.sha256(trust_root).hexdigest()
    if got != token.root_sha256:
        raise UpdateRefused("another trust root than the token names", expected=token.root_sha256[:12], got=got[:12])
    return certificate, trust_root, DeviceConfig(**names, collector_url=token.url)
