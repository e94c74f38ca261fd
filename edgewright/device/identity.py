"""Who the device is to its fleet: a key that never leaves it, and a certificate over it.

    identity/key.pem           P-256, made here                 identity/authority.pem   whom the device believes
    identity/certificate.pem   what the authority says of it

Decides that a certificate is taken for what the device asked for: its own key, issued by the authority that its token
named. Refuses any other. The authority is a private one, and its certificates begin in 1970: a device whose clock lost
its battery still speaks to its collector.

    identity = identity_of(home)
    identity.context()     # what proves both ends to each other
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edgewright.device.home import Home
from edgewright.errors import InputError, UpdateRefused

KEY_FILE, CERTIFICATE_FILE, AUTHORITY_FILE = "key.pem", "certificate.pem", "authority.pem"


@dataclass(frozen=True)
class Identity:
    """The folder of one."""

    folder: Path

    def context(self) -> ssl.SSLContext:
        """TLS that believes the authority alone, and shows the certificate. Raises InputError: files are damaged."""
        try:
            context = ssl.create_default_context(cafile=str(self.folder / AUTHORITY_FILE))
            context.load_cert_chain(self.folder / CERTIFICATE_FILE, self.folder / KEY_FILE)
        except (OSError, ssl.SSLError) as error:
            raise InputError(
                "the device's identity cannot be used", got=error, where=self.folder, next_step="enroll it again"
            ) from error
        return context

    @property
    def expires(self) -> datetime:
        """Raises InputError where the certificate cannot be read."""
        try:
            return x509.load_pem_x509_certificate((self.folder / CERTIFICATE_FILE).read_bytes()).not_valid_after_utc
        except (OSError, ValueError) as error:
            raise InputError("the device's certificate cannot be read", got=error, where=self.folder) from error


def identity_of(home: Home) -> Identity | None:
    """None where the device was not enrolled."""
    return Identity(home.identity) if home.config.collector_url else None


def own_key(folder: Path) -> bytes | None:
    """The device's private key; None where there is none, or no whole one."""
    try:
        payload = (folder / KEY_FILE).read_bytes()
        load_pem_private_key(payload, None)
    except (OSError, ValueError):
        return None
    return payload


def new_key() -> bytes:
    """P-256 as PEM (PKCS8)."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def request_for(key: bytes) -> bytes:
    """A certificate signing request, PEM. It names nobody: who the device is, the authority says."""
    private = load_pem_private_key(key, None)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def checked_authority(pem: bytes, *, sha256: str) -> x509.Certificate:
    """Raises UpdateRefused where it is not the one whose digest (DER) was told."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise UpdateRefused("not an authority's certificate", got=error) from error
    got = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    if got != sha256:
        raise UpdateRefused("another authority than the token names", expected=sha256[:12], got=got[:12])
    return certificate


def check_certificate(pem: bytes, *, key: bytes, authority: x509.Certificate) -> None:
    """Raises UpdateRefused where it is not over this key, or the authority did not issue it."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise UpdateRefused("a certificate that the authority did not issue", got=error) from error
    spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    own = load_pem_private_key(key, None).public_key()
    if certificate.public_key().public_bytes(*spki) != own.public_bytes(*spki):
        raise UpdateRefused("a certificate over another key than this device's")
