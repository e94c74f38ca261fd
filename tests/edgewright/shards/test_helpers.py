"""Helpers: the same bytes with and without them, and after every kind of accident."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from edgewright.artifacts import Artifact, LocalStore, Store
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.errors import EdgewrightError, InputError
from edgewright.fanout.processes import ProcessHands
from edgewright.progress import OnProgress, silent
from edgewright.recipe.synth import GenerateConfig, TrainGeneratorConfig
from edgewright.shards.folder import ShardFolder, ShardPlan
from edgewright.shards.helpers import Help, Helped, Helpers, make_with_help
from edgewright.synth.generate import GenerateReport, generate
from edgewright.synth.job import Job, describe_job
from tests.edgewright.synth.test_generate import make_generator, real_dataset
from tests.programs import rows_after

CONFIG = GenerateConfig(images=40, image_px=64, shard_images=4)
PLAN = ShardPlan(24, 2)


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
        hands=ProcessHands(threads),
        scratch=scratch,
        on_progress=on_progress,
        helpers_after_s=0.0,
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


def test_another_seed_or_config_does_not_find_these_shards(gan: Artifact, dataset: Dataset) -> None:
    other = CONFIG.model_copy(update={"min_visible": 0.5})
    names = {
        describe(gan, dataset).name,
        describe_job(gan, dataset, CONFIG, seed=4).name,
        describe_job(gan, dataset, other, seed=3).name,
    }
    assert len(names) == 3


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.001)


@contextmanager
def helped(program: str, folder: Path) -> Iterator[Helpers]:
    """One helper, at its first shard; nobody else works."""
    with Helpers(ShardFolder(folder, PLAN), Help(ProcessHands(2), program, b"shards:0.05")) as helpers:
        helpers.start(1)
        wait_until(lambda: any(folder.glob("*.claim")))
        yield helpers


def test_an_interruption_lets_helpers_finish_the_shard_in_work(program: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), helped(program, tmp_path) as helpers:
        raise KeyboardInterrupt
    assert helpers.helped.failed == 0, (tmp_path / "helper-0.log").read_text()
    assert list(tmp_path.glob("*.parquet")) and not list(tmp_path.glob("*.claim"))
    assert len(list(tmp_path.glob("*.parquet"))) < len(PLAN), "and no other"
    assert hands_of(os.getpid()) == []


def test_work_that_is_done_ends_its_helpers(program: str, tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, PLAN)
    said: list[str] = []
    by = Help(ProcessHands(3), program, b"shards:0.01", after_s=0.0)
    done = make_with_help(
        folder, rows_after(0.2), helped_by=by, on_progress=lambda *told: said.append(told[2]), what="rows"
    )
    assert done == Helped(started=2, failed=0)
    assert set(said) == {"rows"} and hands_of(os.getpid()) == []
    rows = [row.id for number in range(len(PLAN)) for row in folder.read(number).rows]
    assert rows == [f"{index}.png" for index in range(24)]


def test_few_seconds_of_work_start_nobody(program: str, tmp_path: Path) -> None:
    by = Help(ProcessHands(3), program, b"shards:0")
    folder = ShardFolder(tmp_path, PLAN)
    assert make_with_help(folder, rows_after(0), helped_by=by, on_progress=silent, what="rows").started == 0


def test_a_helper_that_is_killed_again_and_again_gives_up_and_loses_nothing(program: str, tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, PLAN)
    by = Help(ProcessHands(2), program, b"end", after_s=0.0)
    done = make_with_help(folder, rows_after(0.2), helped_by=by, on_progress=silent, what="rows")
    assert (done.started, done.failed) == (1, 1)
    assert done.warnings == (f"1 of 1 helpers gave up: {done.why}",)
    assert done.why
    assert not folder.unfinished()


@pytest.mark.parametrize(
    ("job", "error", "message"), [(b"refuse", InputError, "not this job"), (b"break", type(None), "")]
)
def test_only_a_refusal_ends_the_work(
    program: str, job: bytes, error: type[EdgewrightError], message: str, tmp_path: Path
) -> None:
    """What is wrong with one process is no reason to end the others' work; what a person must cure is."""
    folder = ShardFolder(tmp_path, PLAN)
    by = Help(ProcessHands(2), program, job, after_s=0.0)
    raised: EdgewrightError | None = None
    try:
        make_with_help(folder, rows_after(0.3), helped_by=by, on_progress=silent, what="rows")
    except EdgewrightError as caught:
        raised = caught
    assert type(raised) is error and message in str(raised)
    assert bool(folder.unfinished()) == (raised is not None)


def hands_of(pid: int) -> list[psutil.Process]:
    """The hands that a process has begun and not seen off."""
    living = [one for one in psutil.Process(pid).children() if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in living if "edgewright.fanout.processes" in one.cmdline()]


class _Kill:
    """Waits for the helper's first shard in work, then ends its process."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.killed = folder, 0

    def __call__(self, done: int, total: int, what: str) -> None:
        if not self.killed and (hands := hands_of(os.getpid())):
            own = int(done % CONFIG.shard_images > 0)  # this process's shard, in the middle of which it is told
            wait_until(lambda: len(list(self._folder.glob("*.claim"))) > own)
            self.killed = hands[0].pid
            hands[0].kill()
            hands[0].wait()
            wait_until(lambda: bool(hands_of(os.getpid())))


def test_a_hand_killed_in_its_work_is_replaced_and_costs_no_byte(
    gan: Artifact, dataset: Dataset, straight: dict[str, bytes], tmp_path: Path
) -> None:
    kill = _Kill(tmp_path / "scratch" / describe(gan, dataset).name)
    made, report = run(gan, dataset, tmp_path / "out", scratch=tmp_path / "scratch", threads=2, on_progress=kill)
    assert kill.killed
    assert made == straight
    assert (report.workers, report.workers_failed) == (1, 0)


def test_helpers_change_no_byte(gan: Artifact, dataset: Dataset, straight: dict[str, bytes], tmp_path: Path) -> None:
    slow: list[int] = []

    def wait_for_helpers(done: int, total: int, what: str) -> None:
        slow.append(done)
        folder = scratch / describe(gan, dataset).name
        deadline = time.monotonic() + 60
        while len(slow) == 2 and len(list(folder.glob("*.parquet"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)

    scratch = tmp_path / "scratch"
    made, report = run(gan, dataset, tmp_path / "out", scratch=scratch, threads=3, on_progress=wait_for_helpers)
    assert made == straight
    assert (report.workers, report.workers_failed) == (2, 0)


_RUN = """
import json, sys
from pathlib import Path
from edgewright.artifacts import open_store
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.progress import silent
from edgewright.recipe.synth import GenerateConfig
from edgewright.synth.generate import generate
from edgewright.synth.job import Job
job, out = Job.from_bytes(sys.argv[1].encode()), Path(sys.argv[2])
generator, dataset = (open_store(ref.store_uri) for ref in job.refs)
dataset = Dataset.open(dataset, job.refs[1])
writer = DatasetWriter(out / "lost", classes=dataset.classes)
config = GenerateConfig.model_validate(job.config)
generator, scratch = generator.open(job.refs[0]), out / "scratch"
generate(generator, dataset, config, writer=writer, seed=3, scratch=scratch, on_progress=silent)
"""


def test_a_process_killed_in_its_work_costs_one_shard_and_no_byte(
    gan: Artifact, dataset: Dataset, straight: dict[str, bytes], tmp_path: Path
) -> None:
    job = describe(gan, dataset)
    folder = tmp_path / "scratch" / job.name
    process = subprocess.Popen([sys.executable, "-c", _RUN, job.to_bytes().decode(), str(tmp_path)])
    third = folder / "00002.claim"
    wait_until(lambda: ((folder / "00001.parquet").exists() and third.exists()) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)  # and not waited for: what is left of it is a zombie, which makes no shards
    time.sleep(0.2)
    finished = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
    assert 2 <= len(finished) < 10
    assert len(list(folder.glob("*.claim"))) <= 1
    assert run(gan, dataset, tmp_path / "out", scratch=tmp_path / "scratch")[0] == straight
    assert {name: (folder / name).read_bytes() for name in finished} == finished
    process.wait()
