"""A program for hands to run, asked with words that say what is to happen."""

from __future__ import annotations

import json
import os
import time

from edgewright.data.rows import Row
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.fanout.hands import Make
from edgewright.shards.folder import MakeShard, OnPicture, Shard, serve


def open_job(job: bytes) -> Make:
    """`refuse`, `break`, `end` when it is opened; `shards:SECONDS` makes shards; else the job stands before a piece."""
    word, _, value = job.decode().partition(":")
    if word == "refuse":
        raise InputError("not this job", next_step="another one")
    if word == "break":
        raise RuntimeError("nobody expected this")
    if word == "end":
        os._exit(7)
    return serve(rows_after(float(value))) if word == "shards" else _asked(job)


def _asked(job: bytes) -> Make:
    def make(piece: bytes) -> bytes:
        print("what libraries say")
        if piece == b"end":
            os._exit(7)
        if piece == b"fail":
            raise ArtifactCorrupt("no such piece", got="fail")
        return b"%d:" % os.getpid() + job + piece

    return make


def rows_after(seconds: float) -> MakeShard:
    """A picture takes so long; its bytes are its number."""

    def make(indexes: range, on_picture: OnPicture) -> Shard:
        for done, _ in enumerate(indexes, start=1):
            time.sleep(seconds)
            on_picture(done)
        payloads = tuple(json.dumps(index).encode() for index in indexes)
        return Shard(tuple(Row(f"{index}.png", "") for index in indexes), payloads, {"made": len(indexes)})

    return make
