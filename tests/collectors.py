"""A collector on this machine, over real TLS, and what it takes to come to it."""

from __future__ import annotations

import hashlib
import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from edgewright.device.home import Home
from edgewright.device.identity import Identity
from edgewright.device.token import Token
from edgewright.fleet.authority import Authority, authority_in, server_files
from edgewright.fleet.collector import collector
from edgewright.fleet.figures import Figures
from edgewright.fleet.frames import FramesBox
from edgewright.fleet.listener import listening
from edgewright.fleet.register import Member, Told, events_of, expel, invite, member_named, open_register
from edgewright.fleet.writer import Writer

PROJECT, ROOT = "belt", b'{"root": "of belt"}'
RELEASES = "http://127.0.0.1:9/belt"


@dataclass(frozen=True)
class RunningCollector:
    """Attributes: port: it listens on 127.0.0.1. renew: has it show the certificate that lies in its folder now."""

    port: int
    authority: Authority
    engine: Engine
    renew: Callable[[], None]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def token(self, *, device: str = "", life_s: float = 60.0, root: bytes = ROOT, server_url: str = RELEASES) -> Token:
        with self.engine.begin() as connection:
            secret = invite(
                connection,
                project=PROJECT,
                channel="stable",
                tier="full",
                server_url=server_url,
                now=time.time(),
                device=device,
                life_s=life_s,
            )
        return Token(self.url, secret, self.authority.sha256, hashlib.sha256(root).hexdigest())

    def events(self, device: str, kind: str = "") -> list[Told]:
        with self.engine.begin() as connection:
            return events_of(connection, PROJECT, device, kind=kind)

    def member(self, device: str) -> Member | None:
        with self.engine.begin() as connection:
            return member_named(connection, PROJECT, device)

    def expel(self, device: str, why: str) -> None:
        with self.engine.begin() as connection:
            expel(connection, PROJECT, device, why=why, now=time.time())


@contextmanager
def running_collector(folder: Path, *, engine: Engine | None = None, root: bytes = ROOT) -> Iterator[RunningCollector]:
    """Args:
    folder: of the authority; the same again is the same fleet.
    engine: of its register; sqlite in the folder unless given. root: of its releases.
    """
    opens = server_files(folder, {"127.0.0.1"}, now=datetime.now(UTC))
    authority, own = authority_in(folder), engine or open_register(f"sqlite:///{folder / 'register.sqlite'}")
    try:
        with Writer(own) as writer:
            frames = FramesBox(folder / "frames")
            application = collector(
                writer, authority, roots={PROJECT: root}.__getitem__, figures=Figures(), frames=frames
            )
            with listening(application, folder, key_opened_by=opens, host="127.0.0.1", port=0) as line:
                yield RunningCollector(line.port, authority, own, line.renew)
    finally:
        own.dispose()


def context_of(collector: RunningCollector, home: Home | None = None) -> ssl.SSLContext:
    """As a device speaks to it, or as one without a certificate."""
    if home is not None:
        return Identity(home.identity).context()
    return ssl.create_default_context(cadata=collector.authority.pem.decode())


def say(
    collector: RunningCollector, path: str, body: bytes, *, home: Home | None = None, method: str = "POST"
) -> tuple[int, dict[str, Any]]:
    """(status, answer) of whatever is said."""
    connection = HTTPSConnection("127.0.0.1", collector.port, timeout=10, context=context_of(collector, home))
    try:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        payload = answer.read()
        return answer.status, json.loads(payload) if payload else {}
    finally:
        connection.close()
