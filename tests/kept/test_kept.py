"""What every released version wrote is read by this one: `tests/kept/<version>`, written by `write.py`.

Fails where a change of a format leaves old homes, stores, releases or records behind. The cure is a reader of the old
format, never a new `tests/kept/<version>` in the old one's place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewright.artifacts import Artifact, ArtifactRef, LocalStore, manifest
from edgewright.data.dataset import Dataset
from edgewright.data.splits import LEDGER_FILE, SplitLedger
from edgewright.detect.evaluate import Evaluation
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, Home, init_home
from edgewright.device.slots import Slots
from edgewright.device.updater import update
from edgewright.errors import ArtifactCorrupt, UpdateRefused
from edgewright.gates.verdict import Outcome, Verdict
from edgewright.release.metadata import FIRST_ROOT
from edgewright.release.server import serve_repository
from edgewright.runtime import bundle
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.selftest import SelfTest, run_selftest
from tasks.engine.journal import find_journal, journals

VERSIONS = sorted(path.parent for path in Path(__file__).parent.glob("*/facts.json"))
ARTIFACTS = {"ingest": "dataset_real", "gate_data": "dataset_training", "gate_model": "model_verdict"}


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy, so that a test may damage it."""
    return Path(shutil.copytree(request.param, tmp_path / "kept"))


@pytest.fixture
def facts(kept: Path) -> dict[str, Any]:
    """What was put in."""
    return dict(json.loads((kept / "facts.json").read_bytes()))


@pytest.fixture
def record(kept: Path, facts: dict[str, Any]) -> dict[str, Any]:
    return find_journal(kept / "runs", facts["run_id"]).state


@pytest.fixture
def store(kept: Path) -> LocalStore:
    return LocalStore(kept / "store")


def open_kept(store: LocalStore, record: dict[str, Any], stage: str) -> Artifact:
    """The artifact of a stage; the record names the store by where it lay when the run ended."""
    ref = ArtifactRef.from_json(record["refs"][stage])
    return store.open(store.ref(ref.sha256, ref.kind))


def test_the_formats_of_today_are_kept() -> None:
    """Whoever raises a format's number adds what it writes from then on: `python tests/kept/write.py`."""
    artifacts = {json.loads(path.read_bytes())["content"]["format_version"] for path in kept_files("manifest.json")}
    bundles = {json.loads(path.read_bytes())["format_version"] for path in kept_files("*.manifest.json")}
    assert manifest.FORMAT_VERSION in artifacts
    assert bundle.FORMAT_VERSION in bundles


def kept_files(pattern: str) -> list[Path]:
    return [path for version in VERSIONS for path in version.rglob(pattern)]


def test_the_record_of_a_run_is_read(kept: Path, record: dict[str, Any]) -> None:
    (journal,) = journals(kept / "runs")
    assert journal.public == {name: record.get(name, {}) for name in journal.public}, "what came later is empty"
    assert (record["status"], record["error"]) == ("finished", None)
    assert [gate["name"] for gate in record["gates"]] == ["gate_data", "gate_model"]
    assert record["refs"].keys() == {stage["name"] for stage in record["stages"]}


@pytest.mark.parametrize("stage", ARTIFACTS)
def test_an_artifact_is_whole_and_recalled_by_its_key(store: LocalStore, record: dict[str, Any], stage: str) -> None:
    artifact = open_kept(store, record, stage)
    assert artifact.ref.kind == ARTIFACTS[stage]
    assert all(artifact.path(name).is_file() for name in artifact.files)
    keys = [path.stem for path in (store.root / "keys").iterdir()]
    assert artifact.ref in [store.recall(key) for key in keys]


def test_the_splits_of_a_project_are_recalled(store: LocalStore, record: dict[str, Any]) -> None:
    """By a key that holds no code: photographs that are added later keep what was test in test."""
    ref = store.recall("splits-kept")
    assert ref is not None
    ledger = SplitLedger.from_json(store.open(ref).json(LEDGER_FILE))
    rows = Dataset.open(store, ref).usable
    assert {row.group: row.split for row in rows} == {group: ledger.splits[group] for group in {r.group for r in rows}}


def test_a_data_set_gives_back_its_rows_and_pictures(
    store: LocalStore, record: dict[str, Any], facts: dict[str, Any]
) -> None:
    dataset = Dataset.open(store, open_kept(store, record, "ingest").ref)
    described = [
        {
            "id": row.id,
            "split": row.split,
            "state": row.state,
            "quarantine": row.quarantine,
            "boxes": [[label.class_id, *label.xyxy] for label in row.labels],
        }
        for row in dataset.rows
    ]
    assert described == facts["rows"]
    assert [len(dataset.usable), len(dataset.quarantined)] == [59, 1]
    for row in dataset.usable:
        image = dataset.image(row)
        assert image.shape == (72, 96, 3)
        for label in row.labels:
            x, y = (round((a + b) / 2) for a, b in zip(label.xyxy[:2], label.xyxy[2:], strict=True))
            assert ("red", "green", "blue")[image[y, x].argmax()] == dataset.classes[label.class_id]


def test_a_data_set_reads_pictures_in_its_parents_shards(store: LocalStore, record: dict[str, Any]) -> None:
    training = Dataset.open(store, open_kept(store, record, "gate_data").ref)
    photographs = [row for row in training.usable if row.origin == "real"]
    assert len(photographs) == 59
    assert training.image(photographs[0]).shape == (72, 96, 3)


def test_what_was_measured_is_read(store: LocalStore, record: dict[str, Any]) -> None:
    """Later versions measure more: what was not measured then is said to be unknown."""
    measured = open_kept(store, record, "gate_model").json("measured.json")
    for name in ("float_torch", "float_onnx", "int8"):
        found = Evaluation.from_json(measured[name])
        assert (found.map50, found.n_images) == (measured[name]["map50"], measured[name]["n_images"])
        assert found.to_json().items() >= {"by_size": {}, "operating": None, "calibration": None}.items()


def test_a_verdict_is_read(store: LocalStore, record: dict[str, Any]) -> None:
    verdict = Verdict.from_json(open_kept(store, record, "gate_model").json("verdict.json"))
    assert (verdict.gate, verdict.outcome) == ("gate_model", Outcome.PASS)


@pytest.mark.parametrize("stage", ARTIFACTS)
def test_one_other_byte_in_an_artifact_is_refused(store: LocalStore, record: dict[str, Any], stage: str) -> None:
    artifact = open_kept(store, record, stage)
    for name in artifact.files:
        spoil(artifact.path(name))
        with pytest.raises(ArtifactCorrupt, match="bytes differ"):
            artifact.path(name)
    path = store.root / "artifacts" / artifact.ref.sha256 / "manifest.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ArtifactCorrupt, match="the manifest was changed"):
        store.open(artifact.ref)


def spoil(path: Path) -> None:
    """Turn the last bit."""
    payload = path.read_bytes()
    path.write_bytes(payload[:-1] + bytes([payload[-1] ^ 1]))


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Iterator[Home]:
    """A device that was given the first root, beside a server of the kept release."""
    trust_root = (kept / "repository/metadata" / FIRST_ROOT).read_bytes()
    with serve_repository(kept / "repository", reports=tmp_path / "reports") as server:
        config = DeviceConfig("line-1", server.url, "stable")
        yield init_home(tmp_path / "device", trust_root=trust_root, config=config, files=Files())


def selftest_here(folder: Path) -> SelfTest:
    return run_selftest(Bundle.load(folder))


def test_a_device_takes_a_release(home: Home) -> None:
    done = update(home, selftest=selftest_here)
    assert (done.changed, done.slot, done.release) == (True, "a", 1)
    assert done.selftest is not None
    assert (done.selftest.passed, done.selftest.expected, done.selftest.found) == (True, 4, 4)
    installed = Slots(home).bundle("a")
    assert installed is not None
    assert installed.manifest.spec.classes == ("red", "green")
    assert update(home, selftest=selftest_here).changed is False


@pytest.mark.parametrize("name", ["timestamp.json", "1.snapshot.json", "1.targets.json"])
def test_a_signature_that_does_not_hold_is_refused(home: Home, kept: Path, name: str) -> None:
    path = kept / "repository/metadata" / name
    document = json.loads(path.read_bytes())
    sig = document["signatures"][0]["sig"]
    document["signatures"][0]["sig"] = sig[:-1] + ("1" if sig[-1] == "0" else "0")
    path.write_text(json.dumps(document))
    with pytest.raises(UpdateRefused, match="Unsigned"):
        update(home, selftest=selftest_here)


@pytest.mark.parametrize("pattern", ["*.manifest.json", "*.model.onnx", "golden/*.first.png"])
def test_one_other_byte_in_a_release_is_refused(home: Home, kept: Path, pattern: str) -> None:
    (path,) = (kept / "repository/targets/stable").glob(pattern)
    spoil(path)
    with pytest.raises(UpdateRefused, match="refused"):
        update(home, selftest=selftest_here)


def test_no_private_key_is_kept(kept: Path) -> None:
    assert [path for path in kept.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()] == []
    assert list(kept.rglob("*.pem")) == []
