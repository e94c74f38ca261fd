"""`edgewright serve-collector`: the home's fleet is let in and heard, until it is ended.

    fleet/authority.* collector.*   whom devices believe, and the server's own certificate
    fleet/register.sqlite           who belongs to the fleet and what it told; or PostgreSQL
    fleet/collector.json            where devices find it: a name, an address, a port
    fleet/frames/                   hard frames, a folder a project and a device

Decides where devices find the collector; that is kept by the home, because it stands in each token. Refuses to serve a
home twice, and to invite into a project that has released nothing: there would be no root to trust.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from edgewright.addresses import is_loopback, why
from edgewright.device.feed import address_in as address_of
from edgewright.device.token import Token
from edgewright.errors import ArtifactCorrupt, HomeBusy, InputError, StoreUnavailable
from edgewright.files import READABLE, try_locked, write_atomically
from edgewright.fleet.authority import CERTIFICATE_FILE, Authority, authority_in, server_files, server_seal
from edgewright.fleet.collector import collector
from edgewright.fleet.figures import Figures
from edgewright.fleet.frames import FramesBox
from edgewright.fleet.listener import listening
from edgewright.fleet.register import Member, expel, forget, invite, members, open_register, reports_of, reports_since
from edgewright.fleet.writer import Writer
from edgewright.release.address import address_in
from edgewright.release.metadata import FIRST_ROOT
from edgewright.release.server import METADATA
from edgewright.settings import Settings
from tasks.serve.backends import prepared
from tasks.serve.releases import projects_of
from tasks.serve.repeated import repeated

Say = Callable[[str], None]
REGISTER_FILE, WHERE_FILE, _LOCK_FILE = "register.sqlite", "collector.json", "serving.lock"
FRAMES_FOLDER = "frames"
NO_BROKER = "off"
PORT = 8472
_ANSWER_WITHIN_S = 5.0
REPORTS_S, LOOK_EVERY_S = 90 * 24 * 3600.0, 3600.0
"""How long reports are kept (changes of state are for good), and how often it is looked, at the certificate too."""


@dataclass(frozen=True)
class Where:
    """Attributes:
    name: by which devices find the collector: a host name or an address. host: what it listens on.
    broker: an MQTT broker at which it hears, too, or `@FILE` that holds its address; "": none.
    """

    name: str = "127.0.0.1"
    host: str = "127.0.0.1"
    port: int = PORT
    broker: str = ""

    @property
    def url(self) -> str:
        return f"https://{_bracketed(self.name)}:{self.port}"

    @property
    def here(self) -> str:
        """An address at which this machine finds it."""
        every = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what it was told to listen on
        near = is_loopback(f"https://{_bracketed(self.host)}")
        return every.get(self.host, self.host if near else self.name)

    @property
    def names(self) -> set[str]:
        """What the server's certificate is for."""
        return {self.name, "localhost", "127.0.0.1", "::1"}


def where_of(settings: Settings) -> Where:
    """Raises ArtifactCorrupt where what was kept cannot be read."""
    path = settings.fleet / WHERE_FILE
    try:
        return Where(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Where()
    except (OSError, ValueError, TypeError) as error:
        next_step = "remove it, and serve again with the name that devices know"
        raise ArtifactCorrupt("the collector's address", got=error, where=path, next_step=next_step) from error


def has_fleet(settings: Settings) -> bool:
    """Whether anybody was ever invited here, or a collector served: devices look for one."""
    return (settings.fleet / CERTIFICATE_FILE).exists()


def require_collector(settings: Settings, where: Where) -> None:
    """Ask whether it is well, at its name and as a device does, by the home's authority.

    Raises StoreUnavailable: nobody answers there, another server does, or the register cannot be written.
    """
    try:
        trusted = ssl.create_default_context(cafile=settings.fleet / CERTIFICATE_FILE)
        with closing(HTTPSConnection(where.name, where.port, timeout=_ANSWER_WITHIN_S, context=trusted)) as connection:
            connection.request("GET", "/health")
            status = connection.getresponse().status
        if status != HTTPStatus.NO_CONTENT:
            raise HTTPException(f"status {status}")
    except (OSError, HTTPException) as error:
        raise StoreUnavailable(
            "the collector does not answer as a device expects",
            got=why(error),
            where=where.url,
            next_step="edgewright serve-collector, or edgewright up, where this home is",
        ) from error


@contextmanager
def register_of(settings: Settings) -> Iterator[Engine]:
    """The home's. Raises StoreUnavailable, or InputError where the database's driver is missing."""
    databases = prepared(settings)
    try:
        settings.fleet.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable("the fleet's folder cannot be made", got=error, where=settings.fleet) from error
    engine = open_register(databases.fleet if databases else f"sqlite:///{settings.fleet / REGISTER_FILE}")
    try:
        yield engine
    except SQLAlchemyError as error:
        raise StoreUnavailable("the fleet's register cannot be used", got=error) from error
    finally:
        engine.dispose()


def invited(
    settings: Settings, project: str, *, channel: str, tier: str, device: str, life_s: float, releases_url: str = ""
) -> Token:
    """A token for one device. Raises InputError for a project that has released nothing.

    Args: releases_url: where the device finds the project's releases; the home's own address unless given.
    """
    (repository,) = projects_of(settings, project=project)
    authority = authority_in(settings.fleet, secret=settings.keys_opened_by)
    with register_of(settings) as engine, engine.begin() as connection:
        secret = invite(
            connection,
            project=project,
            channel=channel,
            tier=tier,
            device=device,
            server_url=releases_url or f"{address_in(settings.releases).url}/{project}",
            now=time.time(),
            life_s=life_s,
        )
    root = sha256(_first_root(repository)).hexdigest()
    return Token(where_of(settings).url, secret=secret, authority_sha256=authority.sha256, root_sha256=root)


def frames_of(settings: Settings) -> FramesBox:
    """Hard frames that devices of the home's fleets have sent."""
    return FramesBox(settings.fleet / FRAMES_FOLDER)


def members_of(settings: Settings, project: str) -> list[Member]:
    """The project's devices, expelled ones among them."""
    with register_of(settings) as engine, engine.begin() as connection:
        return members(connection, project)


def reports_in(settings: Settings, project: str) -> dict[str, tuple[float, dict[str, Any]]] | None:
    """Device => when its last report arrived, and that; None where no device of the project was ever enrolled."""
    if not settings.database and not (settings.fleet / REGISTER_FILE).exists():
        return None
    with register_of(settings) as engine, engine.begin() as connection:
        return reports_of(connection, project) if members(connection, project) else None


def history_in(settings: Settings, project: str, *, since: float) -> list[tuple[str, float, dict[str, Any]]]:
    """(device, when it arrived, report), the oldest first; empty where there is no register."""
    if reports_in(settings, project) is None:
        return []
    with register_of(settings) as engine, engine.begin() as connection:
        return reports_since(connection, project, since)


def expelled(settings: Settings, project: str, device: str, *, why: str) -> None:
    """It is heard no more. Raises InputError where there is no such device."""
    with register_of(settings) as engine, engine.begin() as connection:
        expel(connection, project, device, why=why, now=time.time())


@contextmanager
def collector_served(
    settings: Settings,
    *,
    say: Say,
    name: str = "",
    host: str = "",
    port: int = 0,
    broker: str = "",
    figures: Figures | None = None,
) -> Iterator[Where]:
    """Serve in this block; what is given is the home's from now on; NO_BROKER ends that one is heard.

    Raises:
        HomeBusy: another process serves it. StoreUnavailable: the port is taken, or the database cannot be had.
        InputError: it would listen to other machines under a name that is this one's alone.
    """
    kept = where_of(settings)
    where = replace(kept, name=name or kept.name, host=host or kept.host, port=port or kept.port)
    where = replace(where, broker="" if broker == NO_BROKER else broker or kept.broker)
    refuse_unfindable(where)
    _refuse_broker(where)
    settings.fleet.mkdir(mode=0o700, parents=True, exist_ok=True)
    with try_locked(settings.fleet / _LOCK_FILE) as free:
        if not free:
            raise HomeBusy("this home's collector is served already", where=where.url)
        secret = settings.keys_opened_by
        opens = server_files(settings.fleet, where.names, now=datetime.now(UTC), secret=secret)
        authority = authority_in(settings.fleet, secret=secret)
        with register_of(settings) as engine, Writer(engine) as writer:
            counted = figures or Figures()
            application = collector(
                writer,
                authority,
                roots=lambda project: _root_of(settings, project),
                figures=counted,
                frames=frames_of(settings),
            )

            def look() -> None:
                server_files(settings.fleet, where.names, now=datetime.now(UTC), secret=secret)
                line.renew()
                _forget(writer)

            with (
                listening(application, settings.fleet, key_opened_by=opens, host=where.host, port=where.port) as line,
                _heard_by_broker(where, writer, authority, settings.fleet, opens, counted, say),
                repeated(look, every_s=LOOK_EVERY_S, say=say),
            ):
                write_atomically(settings.fleet / WHERE_FILE, json.dumps(asdict(where)).encode(), mode=READABLE)
                say(f"Collector {where.url}")
                yield where


@contextmanager
def _heard_by_broker(
    where: Where, writer: Writer, authority: Authority, folder: Path, opens: str, figures: Figures, say: Say
) -> Iterator[None]:
    """Beside HTTPS, where the home has a broker."""
    if not where.broker:
        yield
        return
    from edgewright.fleet.by_broker import heard_by_broker  # paho is an extra

    address = address_of(where.broker)
    with heard_by_broker(address, writer, authority, seal=lambda: server_seal(folder, opens), figures=figures, say=say):
        yield


def _refuse_broker(where: Where) -> None:
    if "@" in where.broker[1:] and not where.broker.startswith("@"):
        raise InputError("a broker's password where all may read it", expected="@FILE", next_step="--mqtt @FILE")


def _forget(writer: Writer) -> None:
    before = time.time() - REPORTS_S
    writer.submit(lambda connection: forget(connection, before=before)).result()


def refuse_unfindable(where: Where) -> None:
    if is_loopback(f"https://{_bracketed(where.name)}") and not is_loopback(f"https://{_bracketed(where.host)}"):
        raise InputError(
            "devices elsewhere do not find it",
            expected="a name or an address by which they do",
            got=where.name,
            next_step="--name, as gate.example",
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _root_of(settings: Settings, project: str) -> bytes:
    (repository,) = projects_of(settings, project=project)
    return _first_root(repository)


def _first_root(repository: Path) -> bytes:
    try:
        return (repository / METADATA / FIRST_ROOT).read_bytes()
    except OSError as error:
        raise InputError("the project's first root cannot be read", got=error.strerror, where=repository) from error
