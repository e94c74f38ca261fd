from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edgewright.device.files import Files
from edgewright.device.slots import State
from edgewright.errors import ArtifactCorrupt, DeviceUnreachable, InputError, StoreUnavailable, UpdateRefused
from edgewright.release.repository import ReleaseReport, publish_release, renew
from edgewright.runtime.instruction_sets import MODEL_FILE, SAFE_MODEL_FILE, choose_model, this_processor
from tests.edgewright.device.conftest import Device

Make = Callable[..., Path]
Publish = Callable[..., ReleaseReport]
MakeDevice = Callable[..., Device]


@pytest.fixture
def device(make_bundle: Make, publish: Publish, make_device: MakeDevice) -> Device:
    """A device that runs release 1, committed."""
    publish(make_bundle(release=1))
    device = make_device()
    device.update()
    device.start_and_commit()
    return device


def test_first_install_then_trial_then_commit(make_bundle: Make, publish: Publish, make_device: MakeDevice) -> None:
    published = publish(make_bundle(release=1))
    device = make_device()
    with pytest.raises(InputError, match="no release is installed"):
        device.start()
    done = device.update()
    assert (done.changed, done.slot, done.release, done.digest) == (True, "a", 1, published.digest)
    assert done.downloaded_bytes == published.bytes
    assert device.slots.state() == State(active="a")
    device.start()
    assert device.slots.state() == State(active="a", starts=1)
    device.start_and_commit()
    assert device.slots.state() == State(active="a", proven="a", min_release=1)


def test_an_update_that_changes_nothing_writes_nothing(device: Device) -> None:
    before = {path: path.stat().st_mtime_ns for path in device.home.root.rglob("*")}
    assert device.update().changed is False
    assert {path: path.stat().st_mtime_ns for path in device.home.root.rglob("*")} == before


def test_of_two_models_the_one_for_its_processor_is_fetched(
    make_bundle: Make, publish: Publish, make_device: MakeDevice
) -> None:
    published = publish(make_bundle(release=1, safe_gain=0.95))
    device = make_device()
    done = device.update()
    chosen = choose_model(this_processor(), (MODEL_FILE, SAFE_MODEL_FILE)).file
    assert [path.name for path in device.slots.folder("a").glob("*.onnx")] == [chosen]
    assert done.selftest is not None
    assert (done.selftest.passed, done.downloaded_bytes < published.bytes) == (True, True)
    assert device.start_and_commit().bundle.model.name == chosen
    assert device.update().changed is False


def test_the_slots_alternate(device: Device, make_bundle: Make, publish: Publish) -> None:
    for release, slot in ((2, "b"), (3, "a"), (4, "b")):
        publish(make_bundle(release=release, gain=1 - release / 100))
        assert device.update().slot == slot
        assert device.start_and_commit().slot == slot
        assert device.running == release


def model_file(repository: Path) -> Path:
    """The model of the newest release."""
    return max((repository / "targets/stable").glob("*.model.onnx"), key=lambda path: path.stat().st_mtime_ns)


def flip(path: Path) -> None:
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 1000)


def newest(repository: Path, role: str) -> Path:
    return max((repository / "metadata").glob(f"*.{role}.json"), key=lambda path: int(path.name.partition(".")[0]))


TAMPERINGS: list[tuple[str, Callable[[Path], None]]] = [
    ("one bit of the model", lambda r: flip(model_file(r))),
    ("a model cut short", lambda r: cut(model_file(r))),
    ("a model longer than signed", lambda r: grow(model_file(r))),
    ("an empty model", lambda r: model_file(r).write_bytes(b"")),
    ("one bit of each manifest", lambda r: [flip(path) for path in r.glob("targets/stable/*.manifest.json")]),
    ("one bit of the timestamp", lambda r: flip(r / "metadata/timestamp.json")),
    ("one bit of the snapshot", lambda r: flip(newest(r, "snapshot"))),
    ("one bit of the targets", lambda r: flip(newest(r, "targets"))),
    ("a timestamp that is no JSON", lambda r: (r / "metadata/timestamp.json").write_bytes(b"\xff" * 100)),
    ("a timestamp without end", lambda r: (r / "metadata/timestamp.json").write_bytes(b"{" * 200_000)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "tamper"), TAMPERINGS, ids=[name for name, _ in TAMPERINGS])
def test_tampering_is_refused_and_the_old_slot_runs(
    device: Device,
    make_bundle: Make,
    publish: Publish,
    tmp_path: Path,
    name: str,
    tamper: Callable[[Path], object],
) -> None:
    publish(make_bundle(release=2, gain=0.9))
    tamper(tmp_path / "repository")
    with pytest.raises(UpdateRefused):
        device.update()
    assert device.start().slot == "a"
    assert device.running == 1
    assert device.slots.state() == State(active="a", proven="a", min_release=1)


def test_a_file_the_server_has_lost(device: Device, make_bundle: Make, publish: Publish, tmp_path: Path) -> None:
    publish(make_bundle(release=2, gain=0.9))
    model_file(tmp_path / "repository").unlink()
    with pytest.raises(DeviceUnreachable):
        device.update()
    assert device.running == 1


def test_old_metadata_are_refused(device: Device, make_bundle: Make, publish: Publish, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "repository", tmp_path / "yesterday")
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    shutil.rmtree(tmp_path / "repository/metadata")
    shutil.copytree(tmp_path / "yesterday/metadata", tmp_path / "repository/metadata")
    with pytest.raises(UpdateRefused, match="BadVersionNumber"):
        device.update()
    assert device.running == 2


def test_an_older_release_is_refused_however_new_its_signature(
    device: Device, make_bundle: Make, publish: Publish, tmp_path: Path, now: datetime
) -> None:
    publish(make_bundle(release=5, gain=0.9))
    device.update()
    device.start_and_commit()
    # The same keys sign release 2 in a repository whose metadata versions are higher than any the device has seen.
    shutil.rmtree(tmp_path / "repository/metadata")
    paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys", "now": now}
    for release in (1, 2):
        publish_release(make_bundle(release=release, gain=1 - release / 10), channel="stable", **paths)
    for release in (1, 2, 3):
        publish_release(make_bundle(release=release, channel="beta", gain=1 - release / 10), channel="beta", **paths)
    with pytest.raises(UpdateRefused, match=r"an older release.*>= 5.*got 2"):
        device.update()
    assert device.running == 5


def test_another_repository_is_refused(device: Device, make_bundle: Make, tmp_path: Path, now: datetime) -> None:
    shutil.rmtree(tmp_path / "repository/metadata")
    publish_release(
        make_bundle(release=9), repository=tmp_path / "repository", keys=tmp_path / "thief", channel="stable", now=now
    )
    with pytest.raises(UpdateRefused, match="Unsigned"):
        device.update()


def test_a_frozen_server_is_refused_until_it_signs_again(
    device: Device, make_bundle: Make, tmp_path: Path, now: datetime
) -> None:
    paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}
    bundle = make_bundle(release=2, gain=0.9)
    publish_release(bundle, channel="stable", now=now - timedelta(days=8), **paths)
    with pytest.raises(UpdateRefused, match="Expired"):
        device.update()
    assert device.start().slot == "a"  # to run needs no fresh metadata
    assert renew(**paths, now=now).signed == ("timestamp",)
    assert device.update().release == 2


def test_a_silent_server_is_not_a_refusal(device: Device, tmp_path: Path) -> None:
    root = device.home.trust_root
    device.__init__(device.home.root, trust_root=root, server_url="http://127.0.0.1:9")
    with pytest.raises(DeviceUnreachable):
        device.update()
    assert device.start().slot == "a"


def test_no_release_on_the_channel(make_bundle: Make, publish: Publish, make_device: MakeDevice) -> None:
    publish(make_bundle(channel="beta"), channel="beta")
    with pytest.raises(UpdateRefused, match="not signed as a part of a release"):
        make_device().update()


class SmallDisk(Files):
    """A disk with this much space: says so, or only finds out while it writes."""

    def __init__(self, *, says: int, holds: int) -> None:
        self.says, self.holds, self.written = says, holds, 0

    def free_bytes(self, path: Path) -> int:
        return self.says

    def write(self, stream: Any, piece: bytes) -> None:
        if self.written + len(piece) > self.holds:
            raise OSError(28, "No space left on device")
        self.written += len(piece)
        super().write(stream, piece)


@pytest.mark.parametrize(
    ("disk", "error"),
    [
        (SmallDisk(says=1000, holds=1 << 30), UpdateRefused),  # known before the download
        (SmallDisk(says=1 << 30, holds=50), StoreUnavailable),  # full while the metadata are kept
        (SmallDisk(says=1 << 30, holds=3000), StoreUnavailable),  # full while the release is written
    ],
)
def test_a_full_disk_leaves_the_running_slot(
    device: Device,
    make_bundle: Make,
    publish: Publish,
    make_device: MakeDevice,
    disk: SmallDisk,
    error: type[Exception],
) -> None:
    publish(make_bundle(release=2, gain=0.9))
    with pytest.raises(error):
        make_device(files=disk).update()
    assert device.start().slot == "a"
    assert device.update().release == 2  # as soon as there is space again


def test_a_release_that_fails_here_is_withdrawn_and_fetched_again_without_download(
    device: Device, make_bundle: Make, publish: Publish
) -> None:
    publish(make_bundle(release=2, gain=0.9, latency_budget_ms=50.0))
    from edgewright.device.updater import update
    from edgewright.runtime.selftest import SelfTest

    with pytest.raises(UpdateRefused, match=r"fails its self-test.*too hot"):
        update(device.home, selftest=lambda folder: SelfTest.failed("too hot"))
    assert device.slots.bundle("b") is None
    assert device.start().slot == "a"
    done = device.update()
    assert (done.slot, done.downloaded_bytes) == ("b", 0)


def test_a_release_for_a_newer_agent_is_refused(device: Device, make_bundle: Make, publish: Publish) -> None:
    bundle = make_bundle(release=2, gain=0.9)
    document = json.loads((bundle / "manifest.json").read_bytes())
    (bundle / "manifest.json").write_text(json.dumps({**document, "min_agent_version": "99.0"}))
    publish(bundle)
    with pytest.raises(UpdateRefused, match="needs a newer agent"):
        device.update()


def test_an_active_slot_that_rots_is_left_and_repaired(device: Device, make_bundle: Make, publish: Publish) -> None:
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    device.start_and_commit()
    flip(device.slots.folder("b") / "model.onnx")
    started = device.start()
    assert (started.slot, started.bundle.manifest.release) == ("a", 1)
    assert "bytes differ" in started.fell_back
    assert device.slots.state() == State(active="a", proven="a", min_release=2)
    assert device.update().release == 2
    assert device.start_and_commit().slot == "b"


def test_three_starts_without_a_frame_and_the_other_slot_runs(
    device: Device, make_bundle: Make, publish: Publish
) -> None:
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    assert [device.start().slot for _ in range(3)] == ["b", "b", "b"]
    started = device.start()
    assert started.slot == "a"
    assert "3 starts on trial" in started.fell_back


def test_a_release_on_trial_is_overwritten_not_the_proven_one(
    device: Device, make_bundle: Make, publish: Publish
) -> None:
    for release in (2, 3):
        publish(make_bundle(release=release, gain=1 - release / 10))
        assert device.update().slot == "b"
    assert device.slots.bundle("a").manifest.release == 1
    assert device.start_and_commit().bundle.manifest.release == 3


def test_no_slot_that_works_is_an_error_that_says_so(device: Device) -> None:
    flip(device.slots.folder("a") / "model.onnx")
    with pytest.raises(ArtifactCorrupt, match=r"no slot passes.*slot a.*slot b.*edgewright-device update"):
        device.start()
    assert device.update().release == 1
    assert device.start().slot == "b"


def test_lost_trust_metadata_are_fetched_again(device: Device, make_bundle: Make, publish: Publish) -> None:
    shutil.rmtree(device.home.trust)
    publish(make_bundle(release=2, gain=0.9))
    assert device.update().release == 2


def test_the_device_follows_a_renewed_root(device: Device, tmp_path: Path, make_bundle: Make) -> None:
    later = datetime.now(UTC) + timedelta(days=200)  # past half of root's and targets' year
    paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}
    assert renew(**paths, now=later).signed == ("root", "targets", "snapshot", "timestamp")
    publish_release(make_bundle(release=2, gain=0.9), channel="stable", now=datetime.now(UTC), **paths)
    assert device.update().release == 2
    assert (device.home.trust / "root_history/2.root.json").exists()
