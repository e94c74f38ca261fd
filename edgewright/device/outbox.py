"""What the device has to tell and has not told yet: one sqlite file, written ahead.

    seq    counts up, never twice: with it the collector takes each event once
    kind   state: a change of `core.State`; report: what a command came to; damaged: an outbox before this one was lost
    at     seconds since 1970, by the device's clock

Decides what may go. Events are synced before anything else happens. A change of state is never dropped: each holds the
state before and after, so that they form a chain in which a missing link shows. Of all else the oldest goes where there
is more than MAX_BYTES or it is older than MAX_AGE_S. A file that is damaged is put aside, and that is an event too.
Refuses nothing; an `OSError` (full, read-only or broken disk) goes to the caller.

    with opened(home) as outbox:
        outbox.add("report", {"release": 3})
        outbox.acknowledge([event.seq for event in outbox.waiting()])
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from edgewright.device.core import State
from edgewright.device.home import Home

OUTBOX_FILE, DAMAGED_FILE = "outbox.sqlite", "outbox.damaged"
BEFORE_SQLITE = "outbox.json"
"""Where agents up to 0.1.0 kept reports."""
STATE, REPORT, DAMAGED = "state", "report", "damaged"
MAX_BYTES = 8_000_000
MAX_AGE_S = 30 * 24 * 3600.0
_CLOCK_UNSET_S = 1_750_000_000.0
"""A clock that says less was not set yet: what was noted by it is no older than what came after."""
MAX_BATCH, MAX_BATCH_BYTES = 200, 256_000
MAX_BODY_BYTES = 60_000
"""Of an event; a collector takes a little more."""
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SIZES = ("page_count", "freelist_count", "page_size")
_TABLES = """
    CREATE TABLE IF NOT EXISTS events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS noted (one INTEGER PRIMARY KEY CHECK (one = 1), state TEXT NOT NULL)
"""


@dataclass(frozen=True)
class Event:
    seq: int
    kind: str
    at: float
    body: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"seq": self.seq, "kind": self.kind, "at": self.at, "body": self.body}


class Outbox:
    """Made by `opened`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection, self._run = connection, connection.execute

    def note(self, state: State) -> bool:
        """An event, where the state is not the one that was noted last; durable when this returns."""
        after = state.to_bytes().decode()
        before = self._noted()
        if before == after:
            return False
        body = {
            name: json.loads(each)["state"] if each else None for name, each in (("before", before), ("after", after))
        }
        with self._transaction(durable=True):
            self._insert(STATE, body, time.time())
            self._run("INSERT OR REPLACE INTO noted (one, state) VALUES (1, ?)", (after,))
        return True

    def add(self, kind: str, body: Mapping[str, Any], *, at: float | None = None) -> None:
        """An event that may go when there is no room."""
        now = time.time() if at is None else at
        # Synced, because it may be told at once: a number that a power cut takes back would be given to another.
        with self._transaction(durable=True):
            self._insert(kind, body, now)
            old = (STATE, _CLOCK_UNSET_S, now - MAX_AGE_S)
            self._run("DELETE FROM events WHERE kind != ? AND at BETWEEN ? AND ?", old)
            self._drop_oldest()

    def waiting(self, kind: str = "") -> list[Event]:
        """The oldest, of one kind or of all, as many as go in one message: one at least."""
        events: list[Event] = []
        size = 0
        rows = self._run(
            "SELECT seq, kind, at, body FROM events WHERE ? IN ('', kind) ORDER BY seq LIMIT ?", (kind, MAX_BATCH)
        )
        for seq, of_kind, at, body in rows:
            size += len(body)
            if events and size > MAX_BATCH_BYTES:
                break
            events.append(Event(seq, of_kind, at, _parsed(body)))
        return events

    def count(self) -> int:
        return self._number("SELECT COUNT(*) FROM events")

    def acknowledge(self, seqs: Collection[int]) -> None:
        """The collector has them. A power cut may undo this: they are sent again then, and taken once."""
        with self._transaction():
            for seq in seqs:
                self._run("DELETE FROM events WHERE seq = ?", (seq,))

    def keep_latest(self, kind: str, count: int) -> None:
        """Of a kind, the latest alone."""
        with self._transaction():
            self._run(
                "DELETE FROM events WHERE kind = ? AND seq NOT IN "
                "(SELECT seq FROM events WHERE kind = ? ORDER BY seq DESC LIMIT ?)",
                (kind, kind, count),
            )

    def number_beyond(self, beyond: int, seqs: Sequence[int]) -> None:
        """Give these events new numbers, in their order, above `beyond` and all that wait.

        The collector knows other events by their numbers: this disk is an older copy of the device's.
        """
        if not seqs:
            return
        highest = self._number("SELECT COALESCE(MAX(seq), 0) FROM events")
        following = max(beyond, highest) + 1
        with self._transaction(durable=True):
            for offset, seq in enumerate(seqs):
                self._run("UPDATE events SET seq = ? WHERE seq = ?", (following + offset, seq))
            self._run("UPDATE sqlite_sequence SET seq = ? WHERE name = 'events'", (following + len(seqs) - 1,))

    def _noted(self) -> str | None:
        row = next(iter(self._run("SELECT state FROM noted")), None)
        return None if row is None or not _parsed(str(row[0])).get("state") else str(row[0])

    def _insert(self, kind: str, body: Mapping[str, Any], at: float) -> None:
        self._run("INSERT INTO events (kind, at, body) VALUES (?, ?, ?)", (kind, at, _text_of(body)))

    def _drop_oldest(self) -> None:
        pages, free, page_bytes = (self._number(f"PRAGMA {each}") for each in _SIZES)
        if (pages - free) * page_bytes <= MAX_BYTES:  # without reading them all: they are no more than their pages
            return
        excess = self._number("SELECT COALESCE(SUM(LENGTH(body)), 0) FROM events") - MAX_BYTES
        dropped: list[int] = []
        rows = self._run(  # the newest stays, whatever there is of changes of state
            "SELECT seq, LENGTH(body) FROM events WHERE kind != ? ORDER BY seq LIMIT "
            "(SELECT COUNT(*) - 1 FROM events WHERE kind != ?)",
            (STATE, STATE),
        )
        for seq, size in rows:
            if excess <= 0:
                break
            dropped.append(seq)
            excess -= size
        for seq in dropped:
            self._run("DELETE FROM events WHERE seq = ?", (seq,))

    def _number(self, query: str) -> int:
        return int(next(iter(self._run(query)))[0])

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[None]:
        self._run(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk has ended it
                self._run("ROLLBACK")
            raise


def _text_of(body: Mapping[str, Any]) -> str:
    """As it is told; of one that no collector takes, that it was one."""
    try:
        text = json.dumps(body, sort_keys=True, allow_nan=False)
    except ValueError as error:
        return json.dumps({"left_out": str(error)})
    return text if len(text) <= MAX_BODY_BYTES else json.dumps({"left_out": f"{len(text)} bytes"})


def _parsed(text: str) -> dict[str, Any]:
    """What a disk has changed is told as that."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"left_out": "damaged on the device's disk"}


def _is_corrupt(error: sqlite3.Error) -> bool:
    """By sqlite's primary code; what Python itself finds wrong with a text has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _CORRUPT


@contextmanager
def opened(home: Home) -> Iterator[Outbox]:
    """Raises OSError where the disk does not let it."""
    try:
        with _connected(home) as connection:
            yield Outbox(connection)
    except sqlite3.Error as error:
        if _is_corrupt(error):
            _put_aside(home)
        raise OSError(f"{OUTBOX_FILE}: {error}") from error


@contextmanager
def _connected(home: Home) -> Iterator[sqlite3.Connection]:
    """The file, put aside and begun anew where it is damaged."""
    try:
        connection = _checked(home)
    except sqlite3.DatabaseError as error:
        if not _is_corrupt(error):
            raise
        _put_aside(home)
        connection = _checked(home)
        Outbox(connection).add(DAMAGED, {"why": str(error)})
    try:
        _take_over(home, Outbox(connection))
        yield connection
    finally:
        connection.close()


def _checked(home: Home) -> sqlite3.Connection:
    connection = home.files.database(home.root / OUTBOX_FILE)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        for table in _TABLES.split(";"):
            connection.execute(table)
        for name in ("events", "noted"):
            list(connection.execute(f"SELECT * FROM {name} LIMIT 1"))  # noqa: S608 - our own names
    except BaseException:
        connection.close()
        raise
    return connection


def _put_aside(home: Home) -> None:
    path = home.root / OUTBOX_FILE
    for end in ("-wal", "-shm"):
        home.files.remove(path.with_name(path.name + end))
    home.files.rename(path, home.root / DAMAGED_FILE)


def _take_over(home: Home, outbox: Outbox) -> None:
    """What an older agent had not sent. Cut off in between, it is sent twice, as it was by that agent."""
    path = home.root / BEFORE_SQLITE
    if not path.exists():
        return
    with suppress(OSError, ValueError, RecursionError):
        queue = json.loads(path.read_bytes())
        for report in queue if isinstance(queue, list) else []:
            if isinstance(report, dict):
                outbox.add(REPORT, report)
    home.files.remove(path)


@contextmanager
def noting(home: Home) -> Iterator[Callable[[State], None]]:
    """Notes states as far as the disk lets it: what is not noted now is with the next change, and stops no device."""
    with ExitStack() as held:
        outbox: Outbox | None = None
        with suppress(OSError):
            outbox = held.enter_context(opened(home))

        def note(state: State) -> None:
            if outbox is not None:
                with suppress(sqlite3.Error, OSError, ValueError):
                    outbox.note(state)

        yield note
