"""What an enrolled device asks a server of the fleet: who it is by its certificate, and what it sends.

Decides nothing. Refuses, with the reason: no certificate, one that is no device's, a body that is too long or ends
early. Whether the device is heard is the register's (`register.admitted`).

    peer, payload = peer_of(request), await bytes_of(request, at_most=1_000_000)
"""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.requests import ClientDisconnect, Request

from edgewright.fleet.authority import sha256_of
from edgewright.fleet.register import Refused


class TooLong(Refused):
    """The rest of it is not read."""


def peer_of(request: Request) -> dict[str, str]:
    """Who the client's certificate says it is: project, device, key_sha256. Raises Refused where it showed none."""
    der = request.scope.get("state", {}).get("peer")
    if not der:
        raise Refused("a device's certificate is wanted: enroll first")
    return named(der)


async def bytes_of(request: Request, *, at_most: int) -> bytes:
    """Raises Refused where it is too long."""
    payload = b""
    try:
        async for piece in request.stream():
            payload += piece
            if len(payload) > at_most:
                raise TooLong(f"a body of more than {at_most} bytes")
    except ClientDisconnect as error:
        raise Refused("the body ended early") from error
    return payload


@lru_cache(maxsize=50_000)
def named(der: bytes) -> dict[str, str]:
    """The same certificate comes every minute. Raises Refused where it is no device's."""
    certificate = x509.load_der_x509_certificate(der)
    key = certificate.public_key()
    project, device = (
        certificate.subject.get_attributes_for_oid(oid) for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    )
    if not project or not device or not isinstance(key, ec.EllipticCurvePublicKey):
        raise Refused("a certificate that is no device's")
    return {"project": str(project[0].value), "device": str(device[0].value), "key_sha256": sha256_of(key)}
