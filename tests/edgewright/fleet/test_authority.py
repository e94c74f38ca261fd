from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store

from edgewright.device.identity import new_key, request_for
from edgewright.errors import InputError
from edgewright.fleet.authority import (
    CERTIFICATE_FILE,
    DEVICE_LIFE,
    KEY_FILE,
    SERVER_CERTIFICATE_FILE,
    SERVER_KEY_FILE,
    SERVER_LIFE,
    authority_in,
    key_in,
    server_files,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_it_is_made_once_and_its_key_is_encrypted(tmp_path: Path) -> None:
    authority = authority_in(tmp_path)
    assert authority_in(tmp_path).sha256 == authority.sha256
    assert b"ENCRYPTED" in (tmp_path / KEY_FILE).read_bytes()
    assert {path.name: oct(path.stat().st_mode)[-3:] for path in tmp_path.glob("*.pem")} == {KEY_FILE: "600"}
    with pytest.raises(TypeError):
        load_pem_private_key((tmp_path / KEY_FILE).read_bytes(), None)


def test_it_vouches_for_a_device_by_the_books(tmp_path: Path) -> None:
    """As another implementation of RFC 5280 sees it."""
    authority = authority_in(tmp_path)
    pem = authority.vouch_for(request_for(new_key()), project="belt", device="line-1", now=NOW)
    certificate = x509.load_pem_x509_certificate(pem)
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.subject.rfc4514_string() == "CN=line-1,O=belt"
    assert certificate.not_valid_after_utc == NOW + DEVICE_LIFE
    assert certificate.not_valid_before_utc.year == 1970
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each.dotted_string for each in usage] == ["1.3.6.1.5.5.7.3.2"]  # of clients alone
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize("host", ["gate.example", "127.0.0.1", "::1"])
def test_a_server_is_believed_under_its_names_alone(tmp_path: Path, host: str) -> None:
    server_files(tmp_path, {host}, now=NOW)
    certificate = x509.load_pem_x509_certificate((tmp_path / SERVER_CERTIFICATE_FILE).read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == [host]
    if host == "gate.example":
        policy = PolicyBuilder().store(Store([authority_in(tmp_path).certificate])).time(NOW)
        assert policy.build_server_verifier(x509.DNSName(host)).verify(certificate, [])
        with pytest.raises(x509.verification.VerificationError):
            policy.build_server_verifier(x509.DNSName("other.example")).verify(certificate, [])


def test_a_servers_files_last_until_they_do_not(tmp_path: Path) -> None:
    hosts = {"gate.example"}
    opens = server_files(tmp_path, hosts, now=NOW)
    first = (tmp_path / SERVER_CERTIFICATE_FILE).read_bytes()
    assert server_files(tmp_path, hosts, now=NOW + timedelta(days=30)) == opens
    assert (tmp_path / SERVER_CERTIFICATE_FILE).read_bytes() == first
    load_pem_private_key((tmp_path / SERVER_KEY_FILE).read_bytes(), opens.encode())
    for change in (
        lambda: server_files(tmp_path, hosts, now=NOW + SERVER_LIFE - timedelta(days=10)),
        lambda: server_files(tmp_path, {"other.example"}, now=NOW),
        lambda: (cut_between(tmp_path), server_files(tmp_path, hosts, now=NOW)),
        lambda: ((tmp_path / SERVER_CERTIFICATE_FILE).write_bytes(b"broken"), server_files(tmp_path, hosts, now=NOW)),
    ):
        before = (tmp_path / SERVER_CERTIFICATE_FILE).read_bytes()
        change()
        assert (tmp_path / SERVER_CERTIFICATE_FILE).read_bytes() != before


def cut_between(folder: Path) -> None:
    """The power failed when a new key was there and its certificate was not."""
    server_files(folder / "other", {"gate.example"}, now=NOW)
    shutil.copy(folder / "other" / SERVER_KEY_FILE, folder / SERVER_KEY_FILE)


def test_an_authority_whose_key_does_not_open_is_no_new_one(tmp_path: Path) -> None:
    authority_in(tmp_path)
    (tmp_path / "secret").write_bytes(b"another")
    with pytest.raises(InputError, match="put the authority's own key back"):
        authority_in(tmp_path)
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(InputError, match="cannot be opened"):
        authority_in(tmp_path)
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(InputError, match="others may read"):
        authority_in(tmp_path)


def test_a_certificate_that_was_swapped_is_not_its_own(tmp_path: Path) -> None:
    """The pair does not match: what it would sign, no device would believe."""
    authority, other = authority_in(tmp_path / "a"), authority_in(tmp_path / "b")
    pem = other.vouch_for(request_for(new_key()), project="belt", device="line-1", now=NOW)
    with pytest.raises((InvalidSignature, ValueError)):
        x509.load_pem_x509_certificate(pem).verify_directly_issued_by(authority.certificate)
    shutil.copy(tmp_path / "b" / CERTIFICATE_FILE, tmp_path / "a" / CERTIFICATE_FILE)
    with pytest.raises(InputError, match="do not belong together"):
        authority_in(tmp_path / "a")


def request_by(key: object) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def test_other_keys_and_broken_requests_are_refused() -> None:
    whole = request_for(new_key())
    body = whole.split(b"\n")
    for request in (
        b"",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        request_by(ec.generate_private_key(ec.SECP384R1())),
        request_by(rsa.generate_private_key(65_537, 2_048)),
        b"\n".join([*body[:-4], body[-4][:-4] + b"AAAA", *body[-3:]]),
    ):
        with pytest.raises(InputError, match="signing request"):
            key_in(request)
    assert key_in(whole).curve.name == "secp256r1"
