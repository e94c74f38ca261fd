"""The small authority of a fleet: it vouches for devices to the collector and for the collector to devices.

    authority.pem  authority.crt    20 years; the key is encrypted, and opened by the keys' secret
    collector.pem  collector.crt    of a server, a year; made anew when it ends soon or its names change

Decides what a certificate says: of a device its project and its name, of a collector its hosts. All begin in 1970, for
devices whose clock lost its battery. Refuses to vouch for a key that is no P-256 one. Whom it no longer vouches for is
not written into certificates: the collector knows its devices, and asks its register every time.

    authority = authority_in(folder, secret=None)
    certificate = authority.vouch_for(request, project="belt", device="line-1", now=now)
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgewright.device.sealed import Seal, seal_in
from edgewright.errors import InputError
from edgewright.files import PRIVATE, READABLE, write_atomically
from edgewright.release.keys import secret_of

KEY_FILE, CERTIFICATE_FILE = "authority.pem", "authority.crt"
SERVER_KEY_FILE, SERVER_CERTIFICATE_FILE = "collector.pem", "collector.crt"
COLLECTOR = "collector"
DEVICE_LIFE, SERVER_LIFE, AUTHORITY_LIFE = timedelta(days=730), timedelta(days=365), timedelta(days=20 * 365)
_SERVER_RENEWED_BEFORE = timedelta(days=60)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Authority:
    """Its certificate, and the key that signs for it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def sha256(self) -> str:
        """What a token names it by."""
        return hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).hexdigest()

    def vouch_for(self, request: bytes, *, project: str, device: str, now: datetime) -> bytes:
        """A device's certificate, PEM, over the key of its signing request. Raises InputError: it is no request."""
        name = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, project), x509.NameAttribute(NameOID.COMMON_NAME, device)]
        )
        made = self._signed(name, key_in(request), now + DEVICE_LIFE, ExtendedKeyUsageOID.CLIENT_AUTH)
        return made.public_bytes(Encoding.PEM)

    def vouch_for_server(self, key: ec.EllipticCurvePublicKey, hosts: Collection[str], *, now: datetime) -> bytes:
        """A collector's certificate, PEM."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgewright collector")])
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        made = self._signed(name, key, now + SERVER_LIFE, usage, [_general(host) for host in hosts])
        return made.public_bytes(Encoding.PEM)

    def _signed(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePublicKey,
        until: datetime,
        usage: x509.ObjectIdentifier,
        hosts: Collection[x509.GeneralName] = (),
    ) -> x509.Certificate:
        builder = _begun(name, key, until).issuer_name(self.certificate.subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(own, critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def authority_in(folder: Path, *, secret: Path | None = None) -> Authority:
    """The folder's; made where there is none. Raises InputError where it cannot be read or opened."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    opened_by = secret_of(folder, secret)
    if not (folder / CERTIFICATE_FILE).exists():
        _make(folder, opened_by)
    key = _key_in(folder / KEY_FILE, opened_by)
    try:
        certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE_FILE).read_bytes())
    except ValueError as error:
        raise InputError("the authority's certificate cannot be read", got=error, where=folder) from error
    if certificate.public_key() != key.public_key():
        raise InputError("the authority's key and certificate do not belong together", where=folder)
    return Authority(certificate, key)


def server_files(
    folder: Path, hosts: Collection[str], *, now: datetime, secret: Path | None = None, of: str = COLLECTOR
) -> str:
    """What opens the server's key; the files are made anew where they end soon or name other hosts.

    Args: of: which of the fleet's servers; each has files of its own.
    """
    authority, opened_by = authority_in(folder, secret=secret), secret_of(folder, secret)
    key_file, certificate_file = files_of(folder, of)
    if not _is_good(folder, hosts, authority, opened_by, now, of):
        key = ec.generate_private_key(ec.SECP256R1())
        _write_key(key_file, key, opened_by)
        certificate = authority.vouch_for_server(key.public_key(), sorted(hosts), now=now)
        write_atomically(certificate_file, certificate, mode=READABLE)
    return opened_by.decode()


def server_seal(folder: Path, opened_by: str) -> Seal:
    """What the server signs with, as it lies in the folder now. Raises InputError where it cannot be read."""
    key, certificate = files_of(folder, COLLECTOR)
    return _seal(folder, opened_by, certificate.stat().st_mtime_ns, key.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _seal(folder: Path, opened_by: str, *_: int) -> Seal:
    """Read again where a file is another: opening a key takes some milliseconds, by intent."""
    return seal_in(*(path.read_bytes() for path in files_of(folder, COLLECTOR)), password=opened_by.encode())


def files_of(folder: Path, server: str) -> tuple[Path, Path]:
    """The key and the certificate of one of the fleet's servers."""
    return folder / f"{server}.pem", folder / f"{server}.crt"


def key_in(request: bytes) -> ec.EllipticCurvePublicKey:
    """Of a signing request, PEM. Raises InputError where it is none, or over another kind of key."""
    try:
        asked = x509.load_pem_x509_csr(request)
        whole = asked.is_signature_valid
        key = asked.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError("not a certificate signing request", got=error) from error
    if not whole or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise InputError("a signing request that is not over a P-256 key of its own")
    return key


def sha256_of(key: ec.EllipticCurvePublicKey) -> str:
    """What the register knows a device's key by."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _begun(name: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGINNING)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _make(folder: Path, opened_by: bytes) -> None:
    """Its key first: a certificate alone would be taken for all of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"edgewright fleet {secrets.token_hex(4)}")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _begun(name, key.public_key(), datetime.now(UTC) + AUTHORITY_LIFE).issuer_name(name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())
    _write_key(folder / KEY_FILE, key, opened_by)
    write_atomically(folder / CERTIFICATE_FILE, certificate.public_bytes(Encoding.PEM), mode=READABLE)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey, opened_by: bytes) -> None:
    payload = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(opened_by))
    write_atomically(path, payload, mode=PRIVATE)


def _key_in(path: Path, opened_by: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), opened_by)
    except (OSError, ValueError, TypeError) as error:
        next_step = "put the authority's own key back; devices believe no other"
        raise InputError("the authority's key cannot be opened", got=error, where=path, next_step=next_step) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError("a key of another type", expected="P-256", where=path)
    return key


def _is_good(
    folder: Path, hosts: Collection[str], authority: Authority, opened_by: bytes, now: datetime, of: str
) -> bool:
    """Whether the server's files belong together, name these hosts and last."""
    key_file, certificate_file = files_of(folder, of)
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        certificate.verify_directly_issued_by(authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        own = certificate.public_key() == _key_in(key_file, opened_by).public_key()
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, InputError):
        return False
    lasts = certificate.not_valid_after_utc - now > _SERVER_RENEWED_BEFORE
    return own and lasts and set(names) == {*map(_general, hosts)}


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
