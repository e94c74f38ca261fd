"""Shards: claimed once, taken over from the dead, whole or absent; and the same bytes after every kind of accident."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.artifacts import Artifact, LocalStore, Store
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Label, Row
from edgewright.errors import ArtifactCorrupt
from edgewright.progress import OnProgress, silent
from edgewright.recipe.synth import GenerateConfig, TrainGeneratorConfig
from edgewright.shards.folder import STALE_S, OnPicture, Shard, ShardFolder, ShardPlan, make_shards
from edgewright.shards.workers import Workers, is_told_to_stop
from edgewright.synth.generate import WORKER, GenerateReport, generate
from edgewright.synth.job import Job, describe_job
from tests.edgewright.synth.test_generate import make_generator, real_dataset

CONFIG = GenerateConfig(images=40, image_px=64, shard_images=4)
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


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def dataset(store: Store) -> Dataset:
    return real_dataset(store)


@pytest.fixture(scope="module")
def gan(store: Store, dataset: Dataset) -> Artifact:
    config = TrainGeneratorConfig(steps=2, batch=4, width=8, latent=8)
    return make_generator(store, dataset, config)[0]


def run(
    gan: Artifact,
    dataset: Dataset,
    out: Path,
    *,
    scratch: Path | None = None,
    threads: int = 1,
    on_progress: OnProgress = silent,
) -> tuple[dict[str, bytes], GenerateReport]:
    """Every byte of the dataset that generation writes, by file name."""
    writer = DatasetWriter(out, classes=dataset.classes)
    report = generate(
        gan,
        dataset,
        CONFIG,
        writer=writer,
        seed=3,
        threads=threads,
        scratch=scratch,
        on_progress=on_progress,
        workers_after_s=0.0,
    )
    writer.finish()
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}, report


@pytest.fixture(scope="module")
def straight(gan: Artifact, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes that nobody interrupts."""
    return run(gan, dataset, tmp_path_factory.mktemp("straight"))[0]


def describe(gan: Artifact, dataset: Dataset) -> Job:
    return describe_job(gan, dataset, CONFIG, seed=3)


class _Interrupt:
    """Ctrl-C after 14 pictures; keeps what was reported."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, done: int, total: int, what: str) -> None:
        self.seen.append(done)
        if done >= 12:
            raise KeyboardInterrupt


def test_ctrl_c_leaves_finished_shards_alone_and_the_next_run_continues(
    gan: Artifact, dataset: Dataset, straight: dict[str, bytes], tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    with pytest.raises(KeyboardInterrupt):
        run(gan, dataset, tmp_path / "first", scratch=scratch, on_progress=_Interrupt())
    folder = scratch / describe(gan, dataset).name
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["00000.parquet", "00001.parquet", "00002.parquet"]
    before = {name: (folder / name).stat().st_mtime_ns for name in left}
    seen: list[int] = []
    again, _ = run(gan, dataset, tmp_path / "second", scratch=scratch, on_progress=lambda done, *_: seen.append(done))
    assert again == straight
    assert {name: (folder / name).stat().st_mtime_ns for name in left} == before, "they were not made again"
    assert seen == sorted(seen) and seen[0] > 12 and seen[-1] == 40


@contextmanager
def helped(gan: Artifact, dataset: Dataset, folder: Path) -> Iterator[Workers]:
    with Workers(folder, job=describe(gan, dataset).to_bytes(), program=WORKER, at_most=1) as workers:
        workers.start(1)
        wait_until(lambda: any(folder.glob("*.claim")))
        yield workers


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.001)


def test_an_interruption_lets_workers_finish_the_shard_in_work(gan: Artifact, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), helped(gan, dataset, tmp_path) as workers:
        raise KeyboardInterrupt
    assert workers.failed == 0, (tmp_path / "worker-0.log").read_text()
    assert list(tmp_path.glob("*.parquet")) and not list(tmp_path.glob("*.claim"))
    assert not is_told_to_stop(tmp_path), "the next run's workers are not stopped"


def test_an_orphan_finishes_its_shard_and_no_other(gan: Artifact, dataset: Dataset, tmp_path: Path) -> None:
    """Its parent was gone before it had begun."""
    (tmp_path / "job.json").write_text(json.dumps(asdict(describe(gan, dataset))))
    nobody = str(int(ended_process()["pid"]))  # type: ignore[call-overload]
    orphan = subprocess.run(
        [sys.executable, "-m", "edgewright.synth.worker", str(tmp_path), nobody], check=False, timeout=60
    )
    assert orphan.returncode == 0
    assert not list(tmp_path.glob("*.parquet"))


def test_another_seed_or_config_does_not_find_these_shards(gan: Artifact, dataset: Dataset) -> None:
    other = CONFIG.model_copy(update={"min_visible": 0.5})
    names = {
        describe(gan, dataset).name,
        describe_job(gan, dataset, CONFIG, seed=4).name,
        describe_job(gan, dataset, other, seed=3).name,
    }
    assert len(names) == 3


def in_its_third_shard(folder: Path) -> bool:
    return (folder / "00001.parquet").exists() and (folder / "00002.claim").exists()


def test_a_process_killed_in_its_work_costs_one_shard_and_no_byte(
    gan: Artifact, dataset: Dataset, straight: dict[str, bytes], tmp_path: Path
) -> None:
    job, scratch = describe(gan, dataset), tmp_path / "scratch"
    folder = scratch / job.name
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(job.__dict__))
    worker = subprocess.Popen([sys.executable, "-m", "edgewright.synth.worker", str(folder)])
    deadline = time.monotonic() + 60
    while not in_its_third_shard(folder) and worker.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    worker.send_signal(signal.SIGKILL)  # and not waited for: what is left of it is a zombie, which makes no shards
    time.sleep(0.2)
    finished = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
    assert 2 <= len(finished) < 10
    assert len(list(folder.glob("*.claim"))) <= 1
    assert run(gan, dataset, tmp_path / "out", scratch=scratch)[0] == straight
    assert {name: (folder / name).read_bytes() for name in finished} == finished
    worker.wait()


def test_workers_change_no_byte(gan: Artifact, dataset: Dataset, straight: dict[str, bytes], tmp_path: Path) -> None:
    slow: list[int] = []

    def wait_for_workers(done: int, total: int, what: str) -> None:
        slow.append(done)
        folder = scratch / describe(gan, dataset).name
        deadline = time.monotonic() + 60
        while len(slow) == 2 and len(list(folder.glob("*.parquet"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)

    scratch = tmp_path / "scratch"
    made, report = run(gan, dataset, tmp_path / "out", scratch=scratch, threads=3, on_progress=wait_for_workers)
    assert made == straight
    assert (report.workers, report.workers_failed) == (2, 0)
