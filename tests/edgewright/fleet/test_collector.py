"""What may be said to a collector, over real TLS, and what it refuses."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edgewright.device.enroll import enroll
from edgewright.device.files import Files
from edgewright.device.home import Home
from edgewright.device.identity import Identity, new_key, request_for
from edgewright.fleet import listener
from edgewright.fleet.authority import SERVER_LIFE, server_files
from edgewright.fleet.collector import MAX_BODY_BYTES, MAX_EVENTS
from tests.collectors import RunningCollector, running_collector, say

EVENT = {"seq": 1, "kind": "state", "at": 1.0, "body": {"n": 1}}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    with running_collector(tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.fixture(scope="module")
def home(collector: RunningCollector, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return enroll(tmp_path_factory.mktemp("device"), collector.token(), files=Files(), device_id="line-1")


def answer_to(collector: RunningCollector, context: ssl.SSLContext) -> bytes:
    """What comes back on a line of one's own; nothing where TLS ends it. In TLS 1.3 that comes after the handshake."""
    with (
        suppress(ssl.SSLError, ConnectionError),
        socket.create_connection(("127.0.0.1", collector.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
    ):
        line.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        said = b""
        while b"}" not in said and (piece := line.recv(1_000)):
            said += piece
        return said
    return b""


def body(*events: Any) -> bytes:
    return json.dumps({"events": events}).encode()


def test_it_is_well(collector: RunningCollector) -> None:
    assert say(collector, "/health", b"", method="GET") == (204, {})


@pytest.mark.parametrize("path", ["/events", "/renew"])
def test_who_shows_no_certificate_tells_nothing(collector: RunningCollector, path: str) -> None:
    status, answer = say(
        collector, path, json.dumps({"events": [], "request": request_for(new_key()).decode()}).encode()
    )
    assert status == 403
    assert "enroll first" in answer["why"]


def test_who_belongs_is_answered_on_such_a_line(collector: RunningCollector, home: Home) -> None:
    assert b"events are a list" in answer_to(collector, Identity(home.identity).context())


def test_a_certificate_of_another_authority_ends_the_connection(collector: RunningCollector, tmp_path: Path) -> None:
    """Also one that says the right name: whoever has an authority of their own can write any."""
    with running_collector(tmp_path / "other") as other:
        stranger = enroll(tmp_path / "device", other.token(), files=Files(), device_id="line-1")
    context = ssl.create_default_context(cadata=collector.authority.pem.decode())
    folder = stranger.identity
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    assert answer_to(collector, context) == b""


def test_a_server_certificate_is_no_devices(collector: RunningCollector, tmp_path: Path) -> None:
    """One of the authority's own, but for servers: OpenSSL asks what it is for."""
    context = ssl.create_default_context(cadata=collector.authority.pem.decode())
    folder = Path(str(collector.engine.url.database)).parent
    opens = (folder / "secret").read_text()
    context.load_cert_chain(folder / "collector.crt", folder / "collector.pem", password=opens)
    assert answer_to(collector, context) == b""


def test_plain_words_are_not_heard(collector: RunningCollector) -> None:
    with suppress(OSError), socket.create_connection(("127.0.0.1", collector.port), timeout=10) as line:
        line.sendall(b"GET /authority HTTP/1.1\r\nHost: x\r\n\r\n")
        assert line.recv(1_000)[:4] != b"HTTP"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "no JSON"),
        (b"[]", "no object"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"events": ' + b'{"a":' * 20_000, "no JSON"),
        (b"{}", "a list"),
        (b'{"events": {}}', "a list"),
        (json.dumps({"events": [EVENT] * (MAX_EVENTS + 1)}).encode(), "at most"),
        (body({**EVENT, "seq": -1}), "not an event"),
        (body({**EVENT, "kind": "a" * 100}), "not an event"),
        (b" " * (MAX_BODY_BYTES + 1), "more than"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_reason(
    collector: RunningCollector, home: Home, said: bytes, why: str
) -> None:
    status, answer = say(collector, "/events", said, home=home)
    assert status == (413 if why == "more than" else 403)
    assert why in answer["why"]
    assert collector.events("line-1") == []


def test_nothing_of_a_message_is_kept_where_one_event_is_refused(collector: RunningCollector, home: Home) -> None:
    status, _ = say(collector, "/events", body(EVENT, {**EVENT, "seq": "two"}), home=home)
    assert status == 403
    assert collector.events("line-1") == []


def test_a_certificate_that_ends_soon_is_replaced_while_it_listens(tmp_path: Path) -> None:
    with running_collector(tmp_path / "fleet") as collector:
        context = ssl.create_default_context(cadata=collector.authority.pem.decode())

        def shown() -> object:
            with (
                socket.create_connection(("127.0.0.1", collector.port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
            ):
                return (line.getpeercert() or {})["serialNumber"]

        before = shown()
        server_files(tmp_path / "fleet", {"127.0.0.1"}, now=datetime.now(UTC) + SERVER_LIFE)
        assert shown() == before
        collector.renew()
        assert shown() != before


def test_who_says_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With or without a certificate, before the first word or in the middle of it."""
    monkeypatch.setattr(listener, "CONNECTION_S", 0.5)
    with running_collector(tmp_path / "fleet") as collector:
        context = ssl.create_default_context(cadata=collector.authority.pem.decode())
        for words in (b"", b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"):
            with (
                socket.create_connection(("127.0.0.1", collector.port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
            ):
                line.sendall(words)
                with suppress(ConnectionError, ssl.SSLError):  # not TimeoutError: that is a line which stands
                    assert line.recv(1_000) == b""
        assert say(collector, "/health", b"", method="GET") == (204, {})


def test_an_endless_body_is_cut_off(collector: RunningCollector, home: Home) -> None:
    context = Identity(home.identity).context()
    with (
        socket.create_connection(("127.0.0.1", collector.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
    ):
        line.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with suppress(OSError):
            while sent < 100 * MAX_BODY_BYTES:
                line.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                sent += 65_536
        assert sent < 20 * MAX_BODY_BYTES


@pytest.mark.parametrize("path", ["/", "/devices", "/../fleet/authority.pem", "/events/1"])
def test_there_is_nothing_else(collector: RunningCollector, home: Home, path: str) -> None:
    context = Identity(home.identity).context()
    with (
        socket.create_connection(("127.0.0.1", collector.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
    ):
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert line.recv(1_000).split(b" ")[1] == b"404"


def test_a_certificate_is_renewed_over_its_own_key_alone(collector: RunningCollector, home: Home) -> None:
    asked = json.dumps({"request": request_for(new_key()).decode()}).encode()
    status, answer = say(collector, "/renew", asked, home=home)
    assert (status, answer["why"]) == (403, "a certificate is renewed over the same key")
    status, answer = say(collector, "/renew", b'{"request": "no request"}', home=home)
    assert (status, "not a certificate signing request" in answer["why"]) == (400, True)


def test_a_fleet_outlives_its_collector(tmp_path: Path) -> None:
    """Another process later, on the same folder: the same authority, the same devices."""
    with running_collector(tmp_path / "fleet") as first:
        home = enroll(tmp_path / "device", first.token(), files=Files(), device_id="line-1")
        assert say(first, "/events", body(EVENT), home=home)[0] == 200
    with running_collector(tmp_path / "fleet") as second:
        assert say(second, "/events", body(EVENT), home=home) == (200, {"acknowledged": [1], "beyond": 1})
        assert [told.seq for told in second.events("line-1")] == [1]
