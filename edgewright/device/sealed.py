"""Messages that come over a line which nobody vouches for: signed by who wrote them, for one topic.

    {"certificate": "<base64 DER>", "signature": "<base64>"}\\n<the payload's bytes>

Decides who wrote a message: the holder of a certificate that the fleet's authority issued, for a device or for a
collector, over the topic and the payload. Refuses one that is longer than MAX_MESSAGE_BYTES, was changed, was signed
for another topic or by a key of the wrong kind, and a certificate that has ended. Says nothing about when it was
written: whoever carries it may bring it again.

    message = sealed(payload, topic="edgewright/belt/line-1/told", seal=seal_in(key_pem, certificate_pem))
    payload, certificate = unsealed(message, topic="edgewright/belt/line-1/told", authority=authority, usage=DEVICES)
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgewright.errors import InputError, UpdateRefused

MAX_MESSAGE_BYTES = 1_000_000
"""As much as a collector reads of a body by HTTPS."""
MAX_HEAD_BYTES = 8_000
DEVICES, COLLECTORS = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
TOLD, HEARD = "told", "heard"
"""What a device tells, and what a collector answers."""
_ABOUT = b"edgewright by broker, 1"
"""Before what is signed: no signature that this key makes elsewhere is one here."""


@dataclass(frozen=True)
class Seal:
    """What somebody signs with. `certificate`: DER."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: bytes


def seal_in(key_pem: bytes, certificate_pem: bytes, *, password: bytes | None = None) -> Seal:
    """Raises InputError where they cannot be read."""
    try:
        key = load_pem_private_key(key_pem, password)
        certificate = x509.load_pem_x509_certificate(certificate_pem).public_bytes(Encoding.DER)
    except (ValueError, TypeError) as error:
        raise InputError("a key or its certificate cannot be read", got=error) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError("a key of another type", expected="P-256")
    return Seal(key, certificate)


def topic_of(project: str, device: str, way: str) -> str:
    """
    >>> topic_of("belt/2", "line-1", TOLD)
    'edgewright/belt%2F2/line-1/told'
    >>> topic_of("+", "#", HEARD)
    'edgewright/%2B/%23/heard'
    """
    return f"edgewright/{quote(project, safe='')}/{quote(device, safe='')}/{way}"


def sealed(payload: bytes, *, topic: str, seal: Seal) -> bytes:
    signature = seal.key.sign(_signed(topic, payload), ec.ECDSA(hashes.SHA256()))
    words = {"certificate": seal.certificate, "signature": signature}
    head = json.dumps({name: base64.b64encode(each).decode() for name, each in words.items()})
    return head.encode() + b"\n" + payload


def unsealed(
    message: bytes,
    *,
    topic: str,
    authority: x509.Certificate,
    usage: x509.ObjectIdentifier,
    now: datetime | None = None,
) -> tuple[bytes, x509.Certificate]:
    """(payload, who wrote it). Raises UpdateRefused where that does not hold."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise UpdateRefused("a message that is too long", expected=f"at most {MAX_MESSAGE_BYTES} bytes")
    head, found, payload = message.partition(b"\n")
    if not found or len(head) > MAX_HEAD_BYTES:
        raise UpdateRefused("a message that nobody signed")
    try:
        words = json.loads(head)
        der, signature = (base64.b64decode(words[name], validate=True) for name in ("certificate", "signature"))
        certificate = x509.load_der_x509_certificate(der)
    except (ValueError, TypeError, KeyError, RecursionError, x509.InvalidVersion) as error:
        raise UpdateRefused("a message that nobody signed", got=error) from error
    _check_issued(certificate, authority=authority, usage=usage, now=now or datetime.now(UTC))
    key = certificate.public_key()  # of what the authority has signed: nothing else is looked into
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UpdateRefused("a certificate over a key of another type", expected="P-256")
    try:
        key.verify(signature, _signed(topic, payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise UpdateRefused("a signature that does not hold for this message and this topic") from error
    return payload, certificate


def project_in(certificate: x509.Certificate) -> str:
    """Whose device it is, as the authority says. Raises InputError where it is no device's."""
    found = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    if not found:
        raise InputError("a certificate that is no device's")
    return str(found[0].value)


def is_for(certificate: x509.Certificate, host: str) -> bool:
    """Whether a collector's certificate names the host, as TLS asks."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    try:
        return ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        return host.lower() in {name.lower() for name in names.get_values_for_type(x509.DNSName)}


def _signed(topic: str, payload: bytes) -> bytes:
    return b"\0".join((_ABOUT, topic.encode(), payload))


def _check_issued(
    certificate: x509.Certificate, *, authority: x509.Certificate, usage: x509.ObjectIdentifier, now: datetime
) -> None:
    """What TLS would have checked. Raises UpdateRefused."""
    try:
        certificate.verify_directly_issued_by(authority)
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound) as error:
        raise UpdateRefused("a certificate that the authority did not issue", got=error) from error
    if usage not in usages:
        raise UpdateRefused("a certificate for something else", expected=usage.dotted_string)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise UpdateRefused("a certificate that has ended", got=certificate.not_valid_after_utc)
