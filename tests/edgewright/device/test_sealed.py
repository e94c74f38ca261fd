"""Who wrote a message that anybody may have carried."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from edgewright.device.identity import new_key, request_for
from edgewright.device.sealed import (
    COLLECTORS,
    DEVICES,
    MAX_HEAD_BYTES,
    MAX_MESSAGE_BYTES,
    Seal,
    is_for,
    project_in,
    seal_in,
    sealed,
    topic_of,
    unsealed,
)
from edgewright.errors import InputError, UpdateRefused
from edgewright.fleet.authority import DEVICE_LIFE, Authority, authority_in, server_files, server_seal

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TOPIC = "edgewright/belt/line-1/told"
PAYLOAD = b'{"events": []}\n\x00\xff'


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority_in(tmp_path_factory.mktemp("fleet"))


def device_of(authority: Authority, device: str = "line-1") -> Seal:
    key = new_key()
    return seal_in(key, authority.vouch_for(request_for(key), project="belt", device=device, now=NOW))


@pytest.fixture(scope="module")
def seal(authority: Authority) -> Seal:
    return device_of(authority)


def read(message: bytes, authority: Authority, *, topic: str = TOPIC, now: datetime = NOW) -> bytes:
    return unsealed(message, topic=topic, authority=authority.certificate, usage=DEVICES, now=now)[0]


def test_what_was_sealed_is_read_and_by_whom(authority: Authority, seal: Seal) -> None:
    message = sealed(PAYLOAD, topic=TOPIC, seal=seal)
    payload, certificate = unsealed(message, topic=TOPIC, authority=authority.certificate, usage=DEVICES, now=NOW)
    assert (payload, project_in(certificate)) == (PAYLOAD, "belt")
    assert read(message, authority, now=datetime(1970, 1, 1, tzinfo=UTC)) == PAYLOAD, "a clock that lost its battery"


def test_any_byte_that_changed_is_refused(authority: Authority, seal: Seal) -> None:
    message = sealed(PAYLOAD, topic=TOPIC, seal=seal)
    for place in range(0, len(message), 7):
        changed = bytearray(message)
        changed[place] ^= 1
        with pytest.raises(UpdateRefused):
            read(bytes(changed), authority)


def test_another_topic_another_authority_and_another_time_are_refused(
    authority: Authority, seal: Seal, tmp_path: Path
) -> None:
    message = sealed(PAYLOAD, topic=TOPIC, seal=seal)
    with pytest.raises(UpdateRefused, match="for this message and this topic"):
        read(message, authority, topic=topic_of("belt", "line-2", "told"))
    with pytest.raises(UpdateRefused, match="did not issue"):
        read(message, authority_in(tmp_path))
    with pytest.raises(UpdateRefused, match="has ended"):
        read(message, authority, now=NOW + DEVICE_LIFE + timedelta(days=1))


def test_a_device_is_no_collector_and_a_collector_no_device(authority: Authority, seal: Seal, tmp_path: Path) -> None:
    opens = server_files(tmp_path, {"gate.example", "127.0.0.1"}, now=NOW)
    own, server = authority_in(tmp_path), server_seal(tmp_path, opens)
    with pytest.raises(UpdateRefused, match="for something else"):
        unsealed(sealed(b"", topic=TOPIC, seal=server), topic=TOPIC, authority=own.certificate, usage=DEVICES, now=NOW)
    message = sealed(b"", topic=TOPIC, seal=seal)
    with pytest.raises(UpdateRefused, match="for something else"):
        unsealed(message, topic=TOPIC, authority=authority.certificate, usage=COLLECTORS, now=NOW)
    certificate = x509.load_der_x509_certificate(server.certificate)
    assert [is_for(certificate, host) for host in ("gate.example", "GATE.example", "127.0.0.1", "gate", "::1")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert not is_for(x509.load_der_x509_certificate(seal.certificate), "127.0.0.1")
    with pytest.raises(InputError, match="no device's"):
        project_in(certificate)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b'{"certificate": 1, "signature": 2}\n',
        b'{"certificate": "AA==", "signature": "AA=="}\n',
        b'{"certificate": "!", "signature": ""}\n',
        b"[" * 5_000 + b"\n",
        b" " * (MAX_HEAD_BYTES + 1) + b"\n",
        b"\xff\n",
        b"{" * 100,
    ],
)
def test_what_is_no_message_is_refused(authority: Authority, message: bytes) -> None:
    with pytest.raises(UpdateRefused, match="nobody signed"):
        read(message, authority)


def test_one_that_is_too_long_is_refused_before_it_is_read(authority: Authority, seal: Seal) -> None:
    with pytest.raises(UpdateRefused, match="too long"):
        read(sealed(b" " * MAX_MESSAGE_BYTES, topic=TOPIC, seal=seal), authority)


def test_a_stolen_certificate_signs_nothing_without_its_key(authority: Authority, seal: Seal) -> None:
    thief = Seal(device_of(authority, "line-2").key, seal.certificate)
    with pytest.raises(UpdateRefused, match="does not hold"):
        read(sealed(PAYLOAD, topic=TOPIC, seal=thief), authority)
    head = json.dumps({"certificate": base64.b64encode(seal.certificate).decode(), "signature": ""}).encode()
    with pytest.raises(UpdateRefused, match="does not hold"):
        read(head + b"\n" + PAYLOAD, authority)


@pytest.mark.parametrize(("key", "certificate"), [(b"", b""), (b"no key", b"no certificate")])
def test_a_seal_that_cannot_be_read_is_refused(key: bytes, certificate: bytes) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        seal_in(key, certificate)
