"""Shards of work: generation cut into pieces that several processes make without overlap, and that survive the rest.

Decides who makes which shard. A shard is made by whoever creates its claim file (`O_EXCL`) and exists when its file
does, which is put in its place whole; so an interruption loses at most the shard in work, and a second run finds the
others. A claim whose process is gone is taken over: on this machine when no such process lives, on another when it
showed no sign of life for STALE_S. Refuses a shard file that cannot be read. What is in a shard follows from the plan
alone, so it does not matter who made it.

    00002.parquet     rows, encoded pictures, counts            00003.claim     who makes it: host, pid, start
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from edgewright.data.rows import Row, rows_from_table, rows_to_table
from edgewright.errors import ArtifactCorrupt
from edgewright.fanout.hands import Make
from edgewright.files import locked, write_atomically
from edgewright.processes import ProcessIdentity, identity_of, is_alive

STALE_S = 300.0
"""A claim of another machine that was not touched for so long is dead."""
_TORN_S = 10.0
"""So is one that does not say whose it is: its process ended before it could write that."""
_TOUCH_S = 1.0
_POLL_S = 0.1
OnPicture = Callable[[int], None]
"""How many pictures of the shard in work are made."""


@dataclass(frozen=True)
class Shard:
    """Consecutive pictures: their rows, their encoded bytes, and what was counted while they were made."""

    rows: tuple[Row, ...]
    payloads: tuple[bytes, ...]
    counts: Mapping[str, int]


MakeShard = Callable[[range, OnPicture], Shard]


def shard_to_bytes(shard: Shard) -> bytes:
    """As it lies in a folder, and as it travels. Law: `shard_from_bytes(shard_to_bytes(shard)) == shard`."""
    table = rows_to_table(shard.rows).append_column("payload", pa.array(shard.payloads, pa.binary()))
    named = {**(table.schema.metadata or {}), b"counts": json.dumps(dict(shard.counts), sort_keys=True).encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(named), sink, compression="none", store_schema=True)
    return bytes(sink.getvalue().to_pybytes())


def shard_from_bytes(payload: bytes) -> Shard:
    """Raises what Arrow raises, KeyError, TypeError or ValueError where it is none."""
    table = pq.read_table(pa.BufferReader(payload))
    counts = json.loads(table.schema.metadata[b"counts"])
    return Shard(tuple(rows_from_table(table.drop_columns(["payload"]))), tuple(table["payload"].to_pylist()), counts)


def serve(make: MakeShard) -> Make:
    """What a program gives that makes shards: indexes in, a shard out."""

    def serving(piece: bytes) -> bytes:
        start, stop = json.loads(piece)
        return shard_to_bytes(make(range(start, stop), lambda _: None))

    return serving


@dataclass(frozen=True)
class ShardPlan:
    """`images` pictures in shards of `shard_images`; the last one may be smaller."""

    images: int
    shard_images: int

    def __len__(self) -> int:
        return -(-self.images // self.shard_images)

    def indexes(self, number: int) -> range:
        """Which pictures a shard holds."""
        return range(number * self.shard_images, min((number + 1) * self.shard_images, self.images))


@dataclass
class ShardFolder:
    """The shards of one plan in one folder, which any number of processes may share.

    Law: between `claim(n)` giving True and `release(n)`, no other `claim(n)` gives True while this process lives.
    """

    path: Path
    plan: ShardPlan
    _touched: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    def unfinished(self) -> list[int]:
        return [number for number in range(len(self.plan)) if not self.is_done(number)]

    def is_done(self, number: int) -> bool:
        return self._file(number).exists()

    def claim(self, number: int) -> bool:
        """Whether this process may make the shard now."""
        claimed = self._create(number) or (self._clear_if_dead(number) and self._create(number))
        if claimed and self.is_done(number):  # finished between the look and the claim
            self.release(number)
            return False
        return claimed

    def release(self, number: int) -> None:
        self._claim(number).unlink(missing_ok=True)

    def touch(self, number: int) -> None:
        """A sign of life; call it often."""
        if time.monotonic() - self._touched > _TOUCH_S:
            self._touched = time.monotonic()
            with suppress(FileNotFoundError):  # another machine took it for dead: both make the same bytes
                os.utime(self._claim(number))

    def claim_next(self) -> int | None:
        """A shard that nobody makes, which is this process's now; None where there is none."""
        return next((number for number in self.unfinished() if self.claim(number)), None)

    def write(self, number: int, shard: Shard) -> None:
        """Put a finished shard in its place: whole, or not at all."""
        write_atomically(self._file(number), shard_to_bytes(shard))

    def read(self, number: int) -> Shard:
        """Raises ArtifactCorrupt where the file is not a shard of this plan."""
        try:
            shard = shard_from_bytes(self._file(number).read_bytes())
        except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
            raise self._corrupt(number, got=error) from error
        if len(shard.rows) != len(self.plan.indexes(number)):
            raise self._corrupt(number, got=f"{len(shard.rows)} rows")
        return shard

    def _corrupt(self, number: int, *, got: object) -> ArtifactCorrupt:
        where = self._file(number)
        return ArtifactCorrupt("not a shard of this work", got=got, where=where, next_step="delete it and run again")

    def _file(self, number: int) -> Path:
        return self.path / f"{number:05d}.parquet"

    def _claim(self, number: int) -> Path:
        return self.path / f"{number:05d}.claim"

    def _create(self, number: int) -> bool:
        try:
            handle = os.open(self._claim(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w") as stream:
            json.dump(_identity(), stream)
        return True

    def _clear_if_dead(self, number: int) -> bool:
        """Remove the claim of a process that is gone; one at a time, so that nobody removes what has just been made."""
        with locked(self.path / "takeover.lock"):
            dead = _is_dead(self._claim(number))
            if dead:
                self.release(number)
            return dead


def make_shards(
    folder: ShardFolder, make: MakeShard, *, on_picture: OnPicture, go_on: Callable[[], bool] = lambda: True
) -> None:
    """Make what nobody else makes until every shard is finished, waiting for others where nothing is left to claim.

    Args:
        go_on: asked before each shard.
        make: the shard of some pictures; calls back after each of them.
        on_picture: called after each picture, and with 0 after a shard and while waiting.
    """
    while go_on() and folder.unfinished():
        number = folder.claim_next()
        if number is None:
            time.sleep(_POLL_S)
        else:
            make_one(folder, number, make, on_picture=on_picture)
        on_picture(0)


def make_one(folder: ShardFolder, number: int, make: MakeShard, *, on_picture: OnPicture) -> None:
    """Make a shard that was claimed. The claim is released, whatever happens."""

    def report(done: int) -> None:
        folder.touch(number)
        on_picture(done)

    try:
        folder.write(number, make(folder.plan.indexes(number), report))
    finally:
        folder.release(number)


def _identity() -> dict[str, str | int | float | None]:
    me = identity_of(os.getpid())
    return {"host": platform.node(), "pid": os.getpid(), "began_s": me.began_s if me else None}


def _is_dead(claim: Path) -> bool:
    """Whether the process that made a claim is gone. A claim that is no longer there is not dead but done."""
    try:
        idle_s = time.time() - claim.stat().st_mtime
        owner = json.loads(claim.read_text())
    except FileNotFoundError:
        return False
    except ValueError:
        return idle_s > _TORN_S
    if owner["host"] == platform.node():
        # A claim of a version that wrote other beginnings counts as dead: both would make the same bytes.
        return not is_alive(ProcessIdentity(owner["pid"], owner.get("began_s", 0.0)))
    return idle_s > STALE_S
