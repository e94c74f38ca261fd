"""Fanning out over a real Ray cluster of two nodes on this machine's loopback: the same bytes, whoever made them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

import edgewright
from edgewright.artifacts import Artifact, Content, LocalStore, Record
from edgewright.data import looking
from edgewright.data.dataset import DatasetWriter
from edgewright.data.ingest import ingest
from edgewright.errors import InputError
from edgewright.fanout.hands import Hand, HandLost, Hands
from edgewright.fanout.on_ray import RayHands
from edgewright.fanout.processes import ALONE, ProcessHands
from edgewright.label import annotate as labeling
from edgewright.label.train import train_labeler
from edgewright.progress import silent
from edgewright.recipe.data import IngestConfig
from edgewright.recipe.label import LabelConfig, TrainLabelerConfig
from edgewright.recipe.synth import GenerateConfig, TrainGeneratorConfig
from edgewright.synth.generate import generate
from tasks.serve.ports import free_port
from tests.edgewright.label.conftest import scene_row
from tests.edgewright.synth.test_generate import make_generator, real_dataset
from tests.scenes import publish_dataset

pytestmark = pytest.mark.slow
WITHIN_S = 60.0
NODE = (
    *("--num-cpus=1", "--object-store-memory=80000000", "--block"),
    *("--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"),
)
Files = dict[str, bytes]


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@dataclass
class Cluster:
    """A head and a second node, each its own process group."""

    folder: Path
    address: str
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *words: str) -> None:
        command = [str(Path(sys.executable).with_name("ray")), "start", *words, *NODE]
        log = self.folder / f"node-{len(self.nodes)}.log"
        with log.open("wb") as stream:
            node = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
        self.nodes.append(node)
        wait_until(lambda: b"Ray runtime started" in log.read_bytes() or node.poll() is not None)
        assert node.poll() is None, log.read_text()

    def hands(self, *, on: int) -> list[psutil.Process]:
        """The processes that are hands, on a node."""
        return [one for one in descendants(self.nodes[on].pid) if titled(one).startswith("ray::_Remote")]

    def lose(self, number: int) -> None:
        """A node, at once, as by a power cut."""
        for process in descendants(self.nodes[number].pid):
            process.kill()
        self.nodes[number].kill()
        self.nodes[number].wait()

    def stop(self) -> None:
        left = [one for node in self.nodes for one in descendants(node.pid)]
        for node in reversed(self.nodes):
            node.send_signal(signal.SIGTERM)
            node.wait(WITHIN_S)
        wait_until(lambda: not [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE])


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True) if psutil.pid_exists(pid) else []


def titled(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Ray's sockets have long names: its folder lies straight under the system's temporary one."""
    folder, address = Path(tempfile.mkdtemp(prefix="ray-")), f"127.0.0.2:{free_port()}"  # of .1 Ray makes another one
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(folder))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
        started = Cluster(folder, address)
        try:
            head = ("--head", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false")
            started.start(*head, "--node-ip-address=127.0.0.2")
            started.start(f"--address={address}", "--node-ip-address=127.0.0.3")
            yield started
        finally:
            started.stop()
            shutil.rmtree(folder)


@pytest.fixture
def ray(cluster: Cluster) -> Iterator[RayHands]:
    with RayHands(cluster.address, threads=2) as hands:
        yield hands


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("store"))


class Fated:
    """Hands of which two begin together, and over one of which an accident comes.

    It is held in its first piece; when the other has answered its own, `strike` is called. `lost`: hands that were.
    """

    def __init__(
        self, hands: Hands, victim: Callable[[], psutil.Process], strike: Callable[[psutil.Process], None]
    ) -> None:
        self._hands, self.here = hands, hands.here
        self._victim, self._strike = victim, strike
        self._held: psutil.Process | None = None
        self._lock, self.struck = threading.Lock(), False
        self.together = threading.Barrier(2, action=self._hold, timeout=WITHIN_S)
        self.hired = self.lost = 0

    def beside(self, busy: int) -> int:
        return self._hands.beside(busy)

    def hire(self, program: str, job: bytes, *, log: Path | None = None) -> Hand:
        self.hired += 1
        return FatedHand(self, self._hands.hire(program, job, log=log), waits=self.hired <= 2)

    def answered(self) -> None:
        with self._lock:
            if not self.struck and self._held:
                self._strike(self._held)
                self.struck = True

    def go_on(self, done: int, total: int, what: str) -> None:
        """For the progress: this process does not make everything alone meanwhile."""
        if self.hired:
            wait_until(lambda: self.struck)

    def _hold(self) -> None:
        self._held = self._victim()
        self._held.suspend()


class FatedHand:
    def __init__(self, fated: Fated, hand: Hand, *, waits: bool) -> None:
        self._fated, self._hand, self._waits = fated, hand, waits

    def begin(self) -> None:
        self._hand.begin()

    def ask(self, piece: bytes) -> bytes:
        if self._waits:
            self._waits = False
            self._fated.together.wait()
        try:
            answer = self._hand.ask(piece)
        except HandLost:
            self._fated.lost += 1
            raise
        self._fated.answered()
        return answer

    def end(self) -> None:
        self._hand.end()


@pytest.fixture
def killed(cluster: Cluster, ray: RayHands) -> Fated:
    """The hand on the second node is killed in its work."""
    return Fated(ray, lambda: cluster.hands(on=1)[0], lambda hand: hand.kill())


def files_in(folder: Path) -> Files:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ingestion(killed: Fated, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose pictures travel, as no node sees this machine's files."""
    monkeypatch.setattr(looking, "MANY", 20)
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed in range(60):
        row, payload = scene_row(seed)
        (folder / f"{row.id}.png").write_bytes(payload if seed != 7 else payload[:300])
    made = []
    for hands in (ALONE, ProcessHands(2), killed):
        with store.workspace() as work:
            ingest(folder, IngestConfig(), workspace=work, scratch=tmp_path / "scratch", seed=0, hands=hands)
            made.append(files_in(work))
    assert made[0] == made[1] == made[2]
    assert killed.struck and killed.lost == 1


def test_generation(killed: Fated, store: LocalStore, tmp_path: Path) -> None:
    """By a network, whose last bits are what a machine makes of them."""
    dataset = real_dataset(store)
    generator, _ = make_generator(store, dataset, TrainGeneratorConfig(steps=1, batch=4, width=8, latent=8))
    made = {}
    for name, hands in {"inline": ALONE, "processes": ProcessHands(2), "ray": killed}.items():
        writer = DatasetWriter(tmp_path / name, classes=dataset.classes)
        report = generate(
            generator,
            dataset,
            GenerateConfig(images=40, image_px=64, shard_images=4),
            writer=writer,
            seed=3,
            hands=hands,
            on_progress=killed.go_on,
            helpers_after_s=0.0,
        )
        writer.finish()
        made[name] = files_in(tmp_path / name)
    assert made["ray"] == made["processes"] == made["inline"]
    assert (report.workers, report.workers_failed) == (2, 0)
    assert killed.struck and killed.lost == 1


_OTHER = """
import sys
from edgewright.errors import InputError
from edgewright.fanout.on_ray import RayHands
with RayHands(sys.argv[1], threads=2) as hands:
    hand = hands.hire("edgewright.data.looking", b'[1000, "source"]')
    try:
        hand.begin()
    except InputError as error:
        print(error)
"""


def test_nodes_with_other_code_than_this_process_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    """A process whose edgewright says one thing more; the nodes have that of this test."""
    other = tmp_path / "other" / "edgewright"
    shutil.copytree(Path(edgewright.__path__[0]), other, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "data" / "phash.py").open("a") as stream:
        stream.write("# a thing more\n")
    command, env = [sys.executable, "-c", _OTHER, cluster.address], {**os.environ, "PYTHONPATH": str(other.parent)}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "a Ray node would make something else than this process (got edgewright: " in done.stdout
    assert "install the same edgewright" in done.stdout


def test_a_node_without_this_code_is_refused(ray: RayHands) -> None:
    hand = ray.hire("edgewright.nowhere", b"")
    with pytest.raises(InputError, match="not installed there, or is an older one"):
        hand.begin()
    hand.end()


@pytest.fixture(scope="module")
def labeler(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """One that has hardly learned anything."""
    photographs = publish_dataset(store, [scene_row(seed) for seed in range(14)], classes=("disk", "bar"))
    config = TrainLabelerConfig(image_px=64, steps=1, batch=4, width=8, folds=2)
    with store.workspace() as out:
        scratch = tmp_path_factory.mktemp("scratch")
        train_labeler(photographs, config, out=out, scratch=scratch, seed=0, threads=1, on_progress=silent)
        return store.open(store.publish(out, Content("labeler", "train_labeler"), Record()))


def test_labeling_survives_a_lost_node(
    cluster: Cluster,
    ray: RayHands,
    labeler: Artifact,
    store: LocalStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last one: the cluster has one node then."""
    monkeypatch.setattr(labeling, "SHARD_ROWS", 2)
    constructed = {"origin": "synthetic", "state": "constructed", "split": "train"}
    unlabeled = {"state": "unlabeled", "labels": (), "split": "train"}
    rows = [scene_row(seed, **(unlabeled if seed % 3 else constructed)) for seed in range(100, 130)]
    dataset = publish_dataset(store, rows, classes=("disk", "bar"))
    lost = Fated(ray, lambda: cluster.hands(on=1)[0], lambda _: cluster.lose(1))
    made = {}
    for name, hands in {"inline": ALONE, "ray": lost}.items():
        writer = DatasetWriter(tmp_path / name, classes=dataset.classes)
        report = labeling.annotate(
            labeler,
            dataset,
            LabelConfig(),
            writer=writer,
            hands=hands,
            on_progress=lost.go_on,
            helpers_after_s=0.0,
        )
        writer.finish()
        made[name] = (report, files_in(tmp_path / name))
    assert made["ray"] == made["inline"]
    assert (report.judged_images, report.pseudo_labeled_images) == (10, 20)
    assert lost.struck and lost.lost == 1


_LOCAL = """
import signal
from edgewright.fanout.on_ray import RayHands
from edgewright.settings import configure_libraries, read_settings
settings = read_settings()
configure_libraries(settings)
signal.signal(signal.SIGTERM, print)
with RayHands(settings.ray_address, threads=2) as hands:
    hand = hands.hire("edgewright.data.looking", b'[1000, "source"]')
    hand.begin()
    print(hands.beside(1), hand.ask(b'[["a.png", "", 3]]\\nabc').decode().strip())
    print(*(node["NodeManagerAddress"] for node in hands._ray.nodes()))
    assert signal.getsignal(signal.SIGTERM) is print, "who cancels a run is heard"
"""


def test_one_that_is_begun_here_is_nobodys_else_and_leaves_nothing(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # for what has long names in it
        places = {"TMPDIR": folder, "HOME": str(tmp_path), "EDGEWRIGHT_HOME": str(tmp_path / "home")}
        words = {"EDGEWRIGHT_FANOUT": "ray", "EDGEWRIGHT_RAY_ADDRESS": "local"}
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        command = [sys.executable, "-c", _LOCAL]
        done = subprocess.run(command, env={**own, **places, **words}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answer, addresses = done.stdout.splitlines()
        assert answer.startswith('1 {"sha256":') and "not a picture" in answer
        assert addresses == "127.0.0.1"
        assert os.listdir(folder) == []
        assert not (tmp_path / ".ray").exists(), "nor a token in the home"
        assert not [one for one in psutil.process_iter() if folder in titled(one)]
