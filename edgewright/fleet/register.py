"""Who belongs to a fleet and what they told: invitations, devices, events, in sqlite or PostgreSQL.

Decides who is let in (an invitation is good once, for one key, until it ends), who is heard (a device with the key that
it was enrolled with, and not expelled) and what is new (an event counts once, by its number and its bytes). A number
that comes with other bytes is the sign of a disk that is an older copy of itself, or of two devices with one key: that
is counted, the event is not taken under that number, and the device is told the highest one. Refuses all else. Keeps
the digest of a token's secret, never the secret. Every function is part of a transaction of the caller's.

    with engine.begin() as connection:
        accept(connection, member, events, now=now)
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    create_engine,
    delete,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from edgewright.errors import InputError, StoreUnavailable

INVITATION_S = 7 * 24 * 3600.0
MAX_KIND, MAX_BODY_BYTES, MAX_SEQ = 32, 64_000, 2**53
MAX_HISTORY = 20_000
MAX_JUMP = 2**32
"""Of a device's numbers: one that leaps to the end would leave none for who takes its place."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TABLES = MetaData()
_INVITATIONS = Table(
    "invitations",
    _TABLES,
    Column("secret_sha256", String(64), primary_key=True),
    Column("project", String(128), nullable=False),
    Column("channel", String(128), nullable=False),
    Column("tier", String(32), nullable=False),
    Column("device", String(128), nullable=False),  # "": the device says its name
    Column("server_url", Text, nullable=False),
    Column("until", Float, nullable=False),
    Column("redeemed_by", String(64)),  # sha256 of a key
    Column("redeemed_as", String(128)),
)
_DEVICES = Table(
    "devices",
    _TABLES,
    Column("project", String(128), primary_key=True),
    Column("device", String(128), primary_key=True),
    Column("key_sha256", String(64), nullable=False, index=True),
    Column("channel", String(128), nullable=False),
    Column("tier", String(32), nullable=False),
    Column("enrolled", Float, nullable=False),
    Column("expelled", Float),
    Column("why", Text),
    Column("heard", Float),
    Column("beyond", BigInteger, nullable=False),
    Column("rewound", Integer, nullable=False),
    Column("report", Text),
    Column("reported", Float),
)
_EVENTS = Table(
    "events",
    _TABLES,
    Column("project", String(128), primary_key=True),
    Column("device", String(128), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("sha256", String(64), nullable=False),
    Column("kind", String(MAX_KIND), nullable=False),
    Column("at", Float, nullable=False),
    Column("received", Float, nullable=False),
    Column("body", Text, nullable=False),
    Index("events_told", "project", "kind", "received"),
)


class Refused(Exception):
    """Who asks may not, or what is told cannot be taken; in a sentence."""


@dataclass(frozen=True)
class Member:
    """An enrolled device.

    Attributes:
        heard: when it was last, seconds since 1970. expelled: when it was, and `why`; None: it was not.
        beyond: the highest number of its events. rewound: how often it came with numbers that were taken otherwise.
    """

    project: str
    device: str
    key_sha256: str
    channel: str
    tier: str
    enrolled: float
    expelled: float | None
    why: str | None
    heard: float | None
    beyond: int
    rewound: int


@dataclass(frozen=True)
class Admission:
    """Where an invitation leads."""

    member: Member
    server_url: str


@dataclass(frozen=True)
class Told:
    """An event as the device sent it."""

    seq: int
    kind: str
    at: float
    body: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps([self.kind, self.at, self.body]).encode()).hexdigest()

    @classmethod
    def from_json(cls, value: Any) -> Told:
        """Raises Refused where it is no event."""
        try:
            seq, kind, at, body = value["seq"], value["kind"], value["at"], value["body"]
            text = _kept_text(body)
            whole = type(seq) is int and 0 < seq < MAX_SEQ and isinstance(kind, str) and isinstance(body, dict)
            if not whole or not re.fullmatch(r"[a-z_]{1,32}", kind) or not abs(float(at)) < float("inf"):
                raise ValueError("a field is not of its kind")
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Refused(f"not an event: {error}") from error
        return cls(seq, kind, float(at), text)


def _kept_text(body: Any) -> str:
    """Of one that is too long or holds what is no number, that it did: one event must not hold up all behind it."""
    try:
        text = json.dumps(body, sort_keys=True, allow_nan=False)
    except ValueError as error:
        return json.dumps({"left_out": str(error)})
    return text if len(text) <= MAX_BODY_BYTES else json.dumps({"left_out": f"{len(text)} bytes"})


@dataclass(frozen=True)
class Accepted:
    """Attributes: acknowledged: numbers that are kept. beyond: the highest. conflicts: numbers of other events."""

    acknowledged: tuple[int, ...]
    beyond: int
    conflicts: tuple[int, ...]


def open_register(url: str) -> Engine:
    """The database, its tables made where there are none. Raises StoreUnavailable where it cannot be had.

    sqlite syncs each commit: a device forgets what it was told is kept.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _as_we_want)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        _TABLES.create_all(engine)
    except SQLAlchemyError as error:
        raise StoreUnavailable("the fleet's register cannot be opened", got=error, where=engine.url) from error
    return engine


def invite(
    connection: Connection,
    *,
    project: str,
    channel: str,
    tier: str,
    server_url: str,
    now: float,
    device: str = "",
    life_s: float = INVITATION_S,
) -> str:
    """A secret that lets one device in. Raises InputError for a name that no device can have."""
    if device and not _NAME.fullmatch(device):
        raise InputError("not a device's name", expected="letters, digits, . _ -, at most 128", got=device)
    secret = secrets.token_urlsafe(32)
    connection.execute(
        insert(_INVITATIONS).values(
            secret_sha256=_sha256(secret),
            project=project,
            channel=channel,
            tier=tier,
            device=device,
            server_url=server_url,
            until=now + life_s,
        )
    )
    return secret


def redeem(connection: Connection, secret: str, *, key_sha256: str, device: str, now: float) -> Admission:
    """Let a device in. The key that redeemed an invitation gets the same answer again; no other key gets any.

    Raises Refused: no such invitation, one that was redeemed or has ended, a name that is taken.
    """
    found = connection.execute(select(_INVITATIONS).where(_INVITATIONS.c.secret_sha256 == _sha256(secret))).first()
    if found is None:
        raise Refused("no such invitation")
    if found.redeemed_by not in (None, key_sha256):
        raise Refused("the invitation was redeemed by another key")
    if found.redeemed_by is None and found.until < now:
        raise Refused("the invitation has ended")
    name = found.redeemed_as or found.device or device
    if not _NAME.fullmatch(name):
        raise Refused(f"not a device's name: {name[:40]!r}")
    known = member_named(connection, found.project, name)
    other = known is not None and (known.key_sha256 != key_sha256 or known.expelled is not None)
    if other and not found.device and found.redeemed_by is None:
        raise Refused(f"the name {name} is taken; an invitation that names it lets a new key take its place")
    if found.redeemed_by is None:
        _take(connection, found.secret_sha256, key_sha256, name)
        _enter(connection, found, name, key_sha256, now, known=known)
    member = member_named(connection, found.project, name)
    if member is None or member.key_sha256 != key_sha256:
        raise Refused("another key has taken this device's place since")
    return Admission(member, found.server_url)


def member_named(connection: Connection, project: str, device: str) -> Member | None:
    row = connection.execute(_ONE_MEMBER, {"of_project": project, "of_device": device}).first()
    return Member(*row) if row else None


def members(connection: Connection, project: str) -> list[Member]:
    rows = connection.execute(select(*_MEMBER).where(_DEVICES.c.project == project).order_by(_DEVICES.c.device))
    return [Member(*row) for row in rows]


def admitted(connection: Connection, *, project: str, device: str, key_sha256: str) -> Member:
    """Whoever shows a certificate with these. Raises Refused."""
    member = member_named(connection, project, device)
    if member is None:
        raise Refused(f"{device} is not enrolled")
    if member.expelled is not None:
        raise Refused(f"{device} was expelled: {member.why}")
    if member.key_sha256 != key_sha256:
        raise Refused(f"another key has taken the place of this one of {device}")
    return member


def accept(connection: Connection, member: Member, events: Sequence[Told], *, now: float) -> Accepted:
    """Keep what is new. Law: the same events again change nothing but when the device was heard.

    Raises Refused where a number leaps.
    """
    if events and max(told.seq for told in events) > member.beyond + MAX_JUMP:
        raise Refused(f"a number more than {MAX_JUMP} above the last, {member.beyond}")
    known = _known(connection, member, [told.seq for told in events])
    fresh = {told.seq: told for told in reversed(events) if told.seq not in known}  # the first of equal numbers
    kept = known | {seq: told.sha256 for seq, told in fresh.items()}
    conflicts = tuple(sorted({told.seq for told in events if kept[told.seq] != told.sha256}))
    if fresh:
        rows = [_row(member, told, now) for told in sorted(fresh.values(), key=lambda told: told.seq)]
        connection.execute(_KEPT, rows)
    beyond = max([member.beyond, *fresh])
    own = {"of_project": member.project, "of_device": member.device}
    heard = {"heard": now, "beyond": beyond, "rewound": member.rewound + bool(conflicts)}
    # Above what was told before: one that a line held back for weeks is kept, and is not the last.
    reports = [told for told in fresh.values() if told.kind == "report" and told.seq > member.beyond]
    if reports:
        last = max(reports, key=lambda told: told.seq)
        connection.execute(_REPORTED, {**own, **heard, "report": last.body, "reported": now})
    else:
        connection.execute(_HEARD, {**own, **heard})
    acknowledged = sorted({told.seq for told in events} - set(conflicts))
    return Accepted(tuple(acknowledged), beyond, conflicts)


def expel(connection: Connection, project: str, device: str, *, why: str, now: float) -> None:
    """It is heard no more. Raises InputError where there is no such device."""
    own = (_DEVICES.c.project == project, _DEVICES.c.device == device)
    if not connection.execute(update(_DEVICES).where(*own).values(expelled=now, why=why)).rowcount:
        known = ", ".join(member.device for member in members(connection, project))
        raise InputError("no such device", expected=known, got=device)


def reports_of(connection: Connection, project: str) -> dict[str, tuple[float, dict[str, Any]]]:
    """Device => when its last report arrived, and that; of those that are heard."""
    rows = connection.execute(
        select(_DEVICES.c.device, _DEVICES.c.reported, _DEVICES.c.report).where(
            _DEVICES.c.project == project, _DEVICES.c.expelled.is_(None), _DEVICES.c.report.is_not(None)
        )
    )
    return {row.device: (row.reported, json.loads(row.report)) for row in rows}


def reports_since(connection: Connection, project: str, since: float) -> list[tuple[str, float, dict[str, Any]]]:
    """(device, when it arrived, report), the oldest first; of more than MAX_HISTORY the newest."""
    of_reports = (_EVENTS.c.project == project, _EVENTS.c.kind == "report", _EVENTS.c.received >= since)
    columns = (_EVENTS.c.device, _EVENTS.c.received, _EVENTS.c.body)
    rows = connection.execute(
        select(*columns).where(*of_reports).order_by(_EVENTS.c.received.desc()).limit(MAX_HISTORY)
    )
    return [(row.device, row.received, json.loads(row.body)) for row in reversed(list(rows))]


def forget(connection: Connection, *, before: float) -> int:
    """Reports that arrived before; changes of state stay. How many went."""
    old = delete(_EVENTS).where(_EVENTS.c.kind == "report", _EVENTS.c.received < before)
    return int(connection.execute(old).rowcount)


def events_of(connection: Connection, project: str, device: str, *, kind: str = "") -> list[Told]:
    """In the order of their numbers, of one kind or of all."""
    own = (_EVENTS.c.project == project, _EVENTS.c.device == device)
    wanted = (_EVENTS.c.kind == kind,) if kind else ()
    columns = (_EVENTS.c.seq, _EVENTS.c.kind, _EVENTS.c.at, _EVENTS.c.body)
    rows = connection.execute(select(*columns).where(*own, *wanted).order_by(_EVENTS.c.seq))
    return [Told(*row) for row in rows]


# What each check-in says, made once: SQLAlchemy knows a statement again by the object.
_MEMBER = [_DEVICES.c[name] for name in Member.__dataclass_fields__]
_OWN = (_DEVICES.c.project == bindparam("of_project"), _DEVICES.c.device == bindparam("of_device"))
_ONE_MEMBER = select(*_MEMBER).where(*_OWN)
_NOW: dict[str, Any] = {name: bindparam(name) for name in ("heard", "beyond", "rewound")}
_HEARD = update(_DEVICES).where(*_OWN).values(_NOW)
_REPORTED = update(_DEVICES).where(*_OWN).values({**_NOW, **{name: bindparam(name) for name in ("report", "reported")}})
_KEPT = insert(_EVENTS)


def _take(connection: Connection, secret_sha256: str, key_sha256: str, name: str) -> None:
    """Of two that redeem at once, one does."""
    free = (_INVITATIONS.c.secret_sha256 == secret_sha256, _INVITATIONS.c.redeemed_by.is_(None))
    taken = update(_INVITATIONS).where(*free).values(redeemed_by=key_sha256, redeemed_as=name)
    if not connection.execute(taken).rowcount:
        raise Refused("the invitation was redeemed by another key")


def _enter(connection: Connection, found: Any, name: str, key_sha256: str, now: float, *, known: Member | None) -> None:
    values = {"key_sha256": key_sha256, "channel": found.channel, "tier": found.tier, "enrolled": now}
    if known:
        own = (_DEVICES.c.project == found.project, _DEVICES.c.device == name)
        connection.execute(update(_DEVICES).where(*own).values(**values, expelled=None, why=None))
    else:
        fresh = {"project": found.project, "device": name, "beyond": 0, "rewound": 0}
        connection.execute(insert(_DEVICES).values(**fresh, **values))


def _known(connection: Connection, member: Member, seqs: Sequence[int]) -> dict[int, str]:
    """Number => digest of what is kept under it."""
    if not seqs or min(seqs) > member.beyond:
        return {}
    own = (_EVENTS.c.project == member.project, _EVENTS.c.device == member.device, _EVENTS.c.seq.in_(seqs))
    return {row.seq: row.sha256 for row in connection.execute(select(_EVENTS.c.seq, _EVENTS.c.sha256).where(*own))}


def _row(member: Member, told: Told, now: float) -> dict[str, Any]:
    return {
        "project": member.project,
        "device": member.device,
        "seq": told.seq,
        "sha256": told.sha256,
        "kind": told.kind,
        "at": told.at,
        "received": now,
        "body": told.body,
    }


def _as_we_want(connection: Any, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions are SQLAlchemy's, by BEGIN
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA busy_timeout = 10000")


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
