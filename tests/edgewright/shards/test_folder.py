"""Shards: claimed once, taken over from the dead, whole or absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.data.rows import Label, Row
from edgewright.errors import ArtifactCorrupt
from edgewright.shards.folder import STALE_S, OnPicture, Shard, ShardFolder, ShardPlan, make_shards

SHARD = Shard(
    (Row("a", "", labels=(Label(0, 1, (0, 0, 5, 5), mask="0 3"),), scores={"x": 1.5}),), (b"png",), {"kept": 2}
)


@given(images=st.integers(0, 500), shard_images=st.integers(1, 80))
def test_a_plan_holds_every_picture_once(images: int, shard_images: int) -> None:
    plan = ShardPlan(images, shard_images)
    assert [index for number in range(len(plan)) for index in plan.indexes(number)] == list(range(images))


def test_a_shard_round_trip(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path / "new", ShardPlan(3, 1))
    folder.write(1, SHARD)
    assert folder.read(1) == SHARD
    assert folder.unfinished() == [0, 2]
    assert sorted(path.name for path in folder.path.iterdir()) == ["00001.parquet"]


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"garbage" * 100])
def test_a_damaged_shard_is_corrupt_and_not_made_anew_in_silence(tmp_path: Path, damage: bytes) -> None:
    folder = ShardFolder(tmp_path, ShardPlan(1, 1))
    (tmp_path / "00000.parquet").write_bytes(damage)
    with pytest.raises(ArtifactCorrupt, match="not a shard"):
        folder.read(0)


def test_a_shard_of_another_length_is_corrupt(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, ShardPlan(2, 2))
    folder.write(0, SHARD)
    with pytest.raises(ArtifactCorrupt, match="1 rows"):
        folder.read(0)


def test_a_claim_excludes_everybody_until_it_is_released(tmp_path: Path) -> None:
    one, other = (ShardFolder(tmp_path, ShardPlan(2, 1)) for _ in range(2))
    assert one.claim(0) and not other.claim(0) and not one.claim(0)
    assert other.claim(1)
    one.release(0)
    assert other.claim(0)


def test_a_finished_shard_cannot_be_claimed(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, ShardPlan(1, 1))
    folder.write(0, SHARD)
    assert not folder.claim(0)
    assert not (tmp_path / "00000.claim").exists()


def ended_process() -> dict[str, object]:
    """What a claim of a process says that has come and gone."""
    code = "from edgewright.shards.folder import _identity; import json; print(json.dumps(_identity()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("owner", "idle_s", "taken"),
    [
        ({}, 0, True),  # a process of this machine that is gone
        ({"pid": os.getpid(), "began_s": 0.0}, 0, True),  # its number lives on in another process
        ({"host": "elsewhere"}, STALE_S / 2, False),  # another machine, heard of lately
        ({"host": "elsewhere"}, STALE_S * 2, True),  # another machine, silent
    ],
)
def test_only_the_claim_of_the_dead_is_taken_over(
    tmp_path: Path, owner: dict[str, object], idle_s: float, taken: bool
) -> None:
    claim = tmp_path / "00000.claim"
    claim.write_text(json.dumps({**ended_process(), **owner}))
    os.utime(claim, (time.time() - idle_s,) * 2)
    assert ShardFolder(tmp_path, ShardPlan(1, 1)).claim(0) is taken


@pytest.mark.parametrize(("idle_s", "taken"), [(0, False), (60, True)])
def test_a_claim_that_names_nobody_is_given_some_seconds(tmp_path: Path, idle_s: float, taken: bool) -> None:
    claim = tmp_path / "00000.claim"
    claim.touch()
    os.utime(claim, (time.time() - idle_s,) * 2)
    assert ShardFolder(tmp_path, ShardPlan(1, 1)).claim(0) is taken


def test_a_failure_releases_its_claim_and_writes_nothing(tmp_path: Path) -> None:
    def fail(indexes: range, on_picture: OnPicture) -> Shard:
        raise ArtifactCorrupt("no such picture", got=indexes)

    with pytest.raises(ArtifactCorrupt):
        make_shards(ShardFolder(tmp_path, ShardPlan(1, 1)), fail, on_picture=lambda _: None)
    assert list(tmp_path.iterdir()) == []


_WORKER = """
import os, sys, time
from pathlib import Path
from edgewright.shards.folder import *
from edgewright.data.rows import Row
folder = ShardFolder(Path(sys.argv[1]), ShardPlan(60, 1))
def make(indexes, on_picture):
    with (folder.path.parent / "made").open("a") as stream:
        stream.write(f"{indexes[0]}\\n")
    time.sleep(0.005)
    return Shard((Row(str(indexes[0]), ""),), (b"",), {})
make_shards(folder, make, on_picture=lambda _: None)
"""


def test_independent_processes_make_every_shard_once_dead_claims_included(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    for number in range(0, 60, 3):
        (shared / f"{number:05d}.claim").write_text(json.dumps(ended_process() if number == 0 else dead_claim(number)))
    workers = [subprocess.Popen([sys.executable, "-c", _WORKER, str(shared)]) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert sorted(map(int, (tmp_path / "made").read_text().split())) == list(range(60))
    assert list(shared.glob("*.claim")) == []


def dead_claim(number: int) -> dict[str, object]:
    return {"host": os.uname().nodename, "pid": os.getpid(), "began_s": -float(number)}
