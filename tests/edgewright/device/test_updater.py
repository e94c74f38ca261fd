from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from edgewright.device.core import State
from edgewright.device.files import Files
from edgewright.device.home import init_home, keep_wish
from edgewright.device.offer import Course, Plan, Wish, place_of
from edgewright.device.process import SelfTester
from edgewright.device.start import start
from edgewright.device.updater import update
from edgewright.errors import ArtifactCorrupt, DeviceUnreachable, InputError, StoreUnavailable, UpdateRefused
from edgewright.release.ceremony import rotate_key
from edgewright.release.keys import KEY_NAMES, ONLINE, read_keys
from edgewright.release.metadata import SignedSet
from edgewright.release.repository import (
    ReleaseReport,
    next_release_number,
    publish_release,
    renew,
    set_plan,
    set_policy,
)
from edgewright.release.server import RepositoryServer
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.instruction_sets import MODEL_FILE, SAFE_MODEL_FILE, choose_model, this_processor
from edgewright.runtime.selftest import SelfTest
from tests.edgewright.device.conftest import Device, selftest_here

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
    assert device.state == State(active="a")
    device.start()
    assert device.state == State(active="a", starts=1)
    device.start_and_commit()
    assert device.state == State(active="a", proven="a")


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
    return max((repository / "targets/stable/full").glob("*/*.model.onnx"), key=lambda path: path.stat().st_mtime_ns)


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
    ("one bit of each manifest", lambda r: [flip(path) for path in r.glob("targets/stable/**/*.manifest.json")]),
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
    assert device.state == State(active="a", proven="a")


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


def test_a_release_below_the_floor_is_refused_however_new_its_signature(
    device: Device, make_bundle: Make, publish: Publish, tmp_path: Path, now: datetime
) -> None:
    publish(make_bundle(release=5, gain=0.9))
    set_policy(
        lambda policy: replace(policy, floor=5),
        repository=tmp_path / "repository",
        channel="stable",
        now=now,
        read=lambda roles: read_keys(tmp_path / "keys", roles),
    )
    device.update()
    device.start_and_commit()
    assert device.slots.state().floor == 5
    # The same keys sign release 2 in a repository whose metadata versions are higher than any the device has seen.
    shutil.rmtree(tmp_path / "repository/metadata")
    paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys", "now": now}
    for release in (1, 2):
        publish_release(make_bundle(release=release, gain=1 - release / 10), channel="stable", **paths)
    for release in (1, 2, 3):
        publish_release(make_bundle(release=release, channel="beta", gain=1 - release / 10), channel="beta", **paths)
    with pytest.raises(UpdateRefused, match=r"below the channel's floor.*>= 5.*got 2"):
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
    publish_release(make_bundle(release=2, gain=0.9), channel="stable", now=now, **paths)
    sign_timestamp(**paths, issued=now - timedelta(days=8), expires=now - timedelta(days=1))
    with pytest.raises(UpdateRefused, match="Expired"):
        device.update()
    assert device.start().slot == "a"  # to run needs no fresh metadata
    assert renew(**paths, now=now).signed == ("timestamp",)
    assert device.update().release == 2


def sign_timestamp(*, repository: Path, keys: Path, issued: datetime, expires: datetime) -> None:
    """As a machine whose clock is wrong would sign it, past our own checks."""
    path = repository / "metadata/timestamp.json"
    metadata = Metadata[Timestamp].from_file(str(path))
    metadata.signed.version += 1
    metadata.signed.expires = expires.replace(microsecond=0)
    metadata.signed.unrecognized_fields["issued"] = issued.replace(microsecond=0).isoformat()
    metadata.signatures.clear()
    for signer in read_keys(keys, ("timestamp",))["timestamp"]:
        metadata.sign(signer, append=True)
    metadata.to_file(str(path))


def test_a_wrong_time_that_was_signed_is_forgotten_when_its_key_is_replaced(
    device: Device, make_bundle: Make, publish: Publish, tmp_path: Path, now: datetime
) -> None:
    paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}
    ahead = now + timedelta(days=300)
    sign_timestamp(**paths, issued=ahead, expires=ahead + timedelta(days=7))
    device.update()
    assert device.slots.state().seen == int(ahead.timestamp())
    sign_timestamp(**paths, issued=now, expires=now + timedelta(days=7))
    publish(make_bundle(release=2, gain=0.9))
    with pytest.raises(UpdateRefused, match=r"Expired.*timestamp metadata that held at .*which was signed"):
        device.update()
    rotate_key("timestamp", **paths, now=now)
    assert device.update().release == 2
    assert abs(device.slots.state().seen - now.timestamp()) < 2


def test_a_time_later_than_the_end_of_what_says_it_is_refused(device: Device, tmp_path: Path, now: datetime) -> None:
    paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}
    before = device.slots.state()
    sign_timestamp(**paths, issued=now + timedelta(days=300), expires=now + timedelta(days=7))
    with pytest.raises(UpdateRefused, match=r"a time that cannot be.*before it expires.*got signed at"):
        device.update()
    assert device.slots.state() == before
    sign_timestamp(**paths, issued=now, expires=now + timedelta(days=7))
    assert device.update().changed is False


def test_a_root_that_had_expired_by_what_was_signed_is_refused(device: Device) -> None:
    state = device.slots.state()
    device.slots.save(replace(state, seen=state.seen + 400 * 86_400))
    with pytest.raises(UpdateRefused, match=r"Expired.*root metadata that held at"):
        device.update()


def test_a_floor_is_of_one_channel(
    device: Device, make_bundle: Make, publish: Publish, tmp_path: Path, now: datetime
) -> None:
    publish(make_bundle(release=5, gain=0.9))
    set_policy(
        lambda policy: replace(policy, floor=5),
        repository=tmp_path / "repository",
        channel="stable",
        now=now,
        read=lambda roles: read_keys(tmp_path / "keys", roles),
    )
    device.update()
    assert (device.slots.state().floor, device.slots.state().channel) == (5, "stable")
    publish(make_bundle(release=1, channel="beta", gain=0.8), channel="beta")
    moved = replace(device.home.config, channel="beta")
    device.home = init_home(device.home.root, trust_root=device.home.trust_root, config=moved, files=Files())
    assert device.update().release == 1
    assert (device.slots.state().floor, device.slots.state().channel) == (0, "beta")


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


def test_a_release_that_fails_here_is_withdrawn_and_not_tried_again_until_it_changes_or_a_person_says_so(
    device: Device, make_bundle: Make, publish: Publish
) -> None:
    publish(make_bundle(release=2, gain=0.9, latency_budget_ms=50.0))
    with pytest.raises(UpdateRefused, match=r"fails its self-test.*too hot"):
        update(device.home, selftest=lambda folder: SelfTest.failed("too hot"))
    assert device.slots.bundle("b") is None
    assert device.start().slot == "a"
    with pytest.raises(UpdateRefused, match="failed on this device"):
        device.update()
    done = update(device.home, selftest=selftest_here, again=True)
    assert (done.slot, done.downloaded_bytes) == ("b", 0)


def test_a_release_for_a_newer_agent_is_refused(device: Device, make_bundle: Make, publish: Publish) -> None:
    bundle = make_bundle(release=2, gain=0.9)
    document = json.loads((bundle / "manifest.json").read_bytes())
    (bundle / "manifest.json").write_text(json.dumps({**document, "min_agent_version": "99.0"}))
    publish(bundle)
    with pytest.raises(UpdateRefused, match="needs a newer agent"):
        device.update()


def test_a_signed_manifest_that_says_another_channel_is_refused(
    device: Device, make_bundle: Make, publish: Publish, tmp_path: Path, now: datetime
) -> None:
    """By a slip, or by who moves a bundle to where it was never meant to run."""
    publish(make_bundle(release=2, gain=0.9))
    publish(make_bundle(release=2, channel="beta", gain=0.8), channel="beta")
    signed_set, served = SignedSet.read(tmp_path / "repository/metadata"), tmp_path / "repository/targets"
    targets = signed_set.targets.signed.targets
    other = targets["beta/full/2/manifest.json"]
    targets["stable/full/2/manifest.json"] = TargetFile(other.length, other.hashes, "stable/full/2/manifest.json")
    shutil.copy(served / other.get_prefixed_paths()[0], served / "stable/full/2")
    signed_set.sign(read_keys(tmp_path / "keys"), now=now, changed=("targets",))
    with pytest.raises(UpdateRefused, match=r"a manifest for another release or channel.*got beta 2"):
        device.update()
    assert device.running == 1


def test_an_active_slot_that_rots_is_left_and_repaired(device: Device, make_bundle: Make, publish: Publish) -> None:
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    device.start_and_commit()
    flip(device.slots.folder("b") / "model.onnx")
    started = device.start()
    assert (started.slot, started.bundle.manifest.release) == ("a", 1)
    assert "bytes differ" in started.fell_back
    assert device.state == State(active="a", proven="a")
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


def test_a_trial_ends_without_a_download_where_the_proven_release_is_offered_again(
    device: Device, make_bundle: Make, publish: Publish, tmp_path: Path, now: datetime
) -> None:
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}
    set_plan(Plan("back", 2, 0.0, 1), **paths, channel="stable", now=now)
    done = update(device.home, selftest=no_selftest)
    assert (done.changed, done.slot, done.release, done.selftest, done.downloaded_bytes) == (True, "a", 1, None, 0)
    assert device.state == State(active="a", proven="a")
    assert device.slots.bundle("b") is not None
    assert update(device.home, selftest=no_selftest).changed is False


def no_selftest(folder: Path) -> SelfTest:
    raise AssertionError(folder)


def only(slot: str) -> SelfTester:
    """A device on which the bundle in the other slot fails."""
    return lambda folder: selftest_here(folder) if folder.name == slot else SelfTest.failed("too hot")


def test_a_proven_release_that_fails_once_is_not_to_blame_and_comes_back(
    device: Device, make_bundle: Make, publish: Publish
) -> None:
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    device.start_and_commit()
    started = start(device.slots, selftest=only("a"))
    assert (started.slot, started.fell_back) == ("a", "slot b failed: too hot")
    assert device.state == State("a", "a")
    assert (device.update().release, device.start_and_commit().slot) == (2, "b")


def test_a_release_on_trial_that_fails_a_start_is_to_blame(device: Device, make_bundle: Make, publish: Publish) -> None:
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    assert start(device.slots, selftest=only("a")).slot == "a"
    with pytest.raises(UpdateRefused, match="failed on this device"):
        device.update()


def test_a_start_counts_once_and_before_its_self_test(device: Device, make_bundle: Make, publish: Publish) -> None:
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    for number in (1, 2, 3):
        with pytest.raises(AssertionError):
            start(device.slots, selftest=no_selftest)
        assert device.state == State("b", "a", starts=number)
    assert device.start().slot == "a"


def test_without_another_slot_that_works_a_release_has_more_than_three_starts(
    device: Device, make_bundle: Make, publish: Publish
) -> None:
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    device.slots.save(replace(device.slots.state(), starts=3))
    flip(device.slots.folder("a") / "model.onnx")
    started = device.start()
    assert (started.slot, started.fell_back) == ("b", "")
    device.start_and_commit()
    assert device.state == State("b", "b")


@pytest.mark.parametrize("starts", [0, 3])
def test_where_no_slot_passes_nothing_is_taken_away_and_a_later_start_finds_it(
    device: Device, make_bundle: Make, publish: Publish, starts: int
) -> None:
    """Without a network there is nothing else, and what failed may have been the hour's fault."""
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    device.slots.save(replace(device.slots.state(), starts=starts))
    with pytest.raises(ArtifactCorrupt, match=r"no slot passes.*too hot.*edgewright-device update"):
        start(device.slots, selftest=only("neither"))
    assert all(device.slots.bundle(slot) for slot in ("a", "b"))
    assert device.start().bundle.manifest.release == (2 if not starts else 1)


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
    assert renew(**paths, now=later).signed == ("root", "targets", "rollout", "snapshot", "timestamp")
    now = datetime.now(UTC)
    sign_timestamp(**paths, issued=now, expires=now + timedelta(days=1))
    publish_release(make_bundle(release=2, gain=0.9), channel="stable", now=now, **paths)
    assert device.update().release == 2
    assert (device.home.trust / "root_history/2.root.json").exists()


def write_repository_of_before(repository: Path, keys: Path, bundle: Path) -> None:
    """As 0.1.0 wrote them: four roles, plain keys, a channel's files right below its name."""
    keys.mkdir(mode=0o700)
    signers: dict[str, list[CryptoSigner]] = {}
    for role, names in KEY_NAMES.items():
        for name in names if role != "rollout" else ():
            signer = CryptoSigner.generate_ed25519()
            (keys / f"{name}.pem").write_bytes(signer.private_bytes)
            (keys / f"{name}.pem").chmod(0o600)
            signers.setdefault(role, []).append(signer)
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=5)
    root = Root(expires=expires, consistent_snapshot=True)
    for role, of_role in signers.items():
        for signer in of_role:
            root.add_key(signer.public_key, role)
    root.roles["root"].threshold = 2
    targets = Targets(expires=expires)
    manifest = Bundle.load(bundle).manifest
    for name in ("manifest.json", *manifest.files):
        payload = (bundle / name).read_bytes()
        target = TargetFile.from_data(f"stable/{name}", payload, ["sha256"])
        target.unrecognized_fields["custom"] = {"release": manifest.release, "digest": manifest.digest}
        targets.targets[target.path] = target
        path = repository / "targets" / target.get_prefixed_paths()[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)
    (repository / "metadata").mkdir(exist_ok=True)
    signed = {
        "root": Metadata(root),
        "targets": Metadata(targets),
        "snapshot": Metadata(Snapshot(expires=expires, meta={"targets.json": MetaFile(1)})),
        "timestamp": Metadata(Timestamp(expires=expires, snapshot_meta=MetaFile(1))),
    }
    for role, metadata in signed.items():
        for signer in signers[role]:
            metadata.sign(signer, append=True)
        metadata.to_file(str(repository / "metadata" / ("timestamp.json" if role == "timestamp" else f"1.{role}.json")))


@pytest.mark.parametrize("same", [True, False])
def test_a_device_of_a_repository_of_before_goes_on_when_it_gets_plans(
    make_bundle: Make, publish: Publish, make_device: MakeDevice, tmp_path: Path, now: datetime, same: bool
) -> None:
    write_repository_of_before(tmp_path / "repository", tmp_path / "keys", make_bundle(release=1))
    device = make_device()
    assert device.update().release == 1
    device.start_and_commit()
    device.slots.save(replace(device.slots.state(), floor=1))  # as 0.1.0 took its committed release for a floor
    number = next_release_number(tmp_path / "repository", "stable")
    report = publish(make_bundle(release=number) if same else make_bundle(release=number, gain=0.9))
    assert (report.published, report.version) == (not same, 1 if same else 2)
    assert {"targets", "rollout"} <= set(report.signed)
    assert device.update().release == report.version
    device.start_and_commit()
    plan = Plan("back", release=1, share=1.0, otherwise=1)
    paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}
    set_plan(plan, **paths, channel="stable", now=now)
    assert device.update().release == 1, "what was permitted before is permitted still"
    fresh = make_device("fresh")
    assert fresh.update().release == 1


def test_what_is_permitted_and_planned_for_nobody_is_taken_by_nobody(
    make_bundle: Make, make_device: MakeDevice, tmp_path: Path, now: datetime
) -> None:
    paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}
    publish_release(make_bundle(release=1), **paths, channel="stable", now=now, roll_out=False)
    with pytest.raises(UpdateRefused, match="nothing is rolled out on the channel yet"):
        make_device().update()


def test_a_plan_takes_a_cohort_forth_and_back_and_what_is_there_is_not_fetched_again(
    device: Device, make_bundle: Make, publish: Publish, tmp_path: Path, now: datetime
) -> None:
    paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}
    bundle = make_bundle(release=2, gain=0.9)
    publish_release(bundle, **paths, channel="stable", now=now, roll_out=False)
    assert device.update().changed is False, "permitted is not rolled out"
    place = place_of("device-0", "canary")
    for share, release in ((place - 1e-6, 1), (place + 1e-6, 2)):
        set_plan(Plan("canary", 2, share, 1), **paths, channel="stable", now=now)
        device.update()
        assert device.start_and_commit().bundle.manifest.release == release
    set_plan(Plan("canary", 2, 0.0, 1, Course.HALTED), **paths, channel="stable", now=now)
    assert device.update().changed is False, "who has it keeps it"
    set_plan(Plan("canary", 2, 0.0, 1, Course.WITHDRAWN), **paths, channel="stable", now=now)
    done = device.update()
    assert (done.release, done.downloaded_bytes) == (1, 0), "it lies in the other slot"
    device.start_and_commit()
    set_plan(Plan("canary", 2, 1.0, 1), **paths, channel="stable", now=now)
    keep_wish(device.home, Wish(window="22-6"))
    assert update(device.home, selftest=selftest_here, hour=12).release == 2, "nothing is fetched at noon"


def test_a_stolen_online_key_chooses_among_what_is_permitted_and_nothing_else(
    device: Device, make_bundle: Make, publish: Publish, tmp_path: Path, now: datetime
) -> None:
    """It can neither permit a release, nor go below the floor, nor sign a file of another name."""
    publish(make_bundle(release=2, gain=0.9))
    repository, keys = tmp_path / "repository", tmp_path / "keys"
    set_policy(
        lambda policy: replace(policy, floor=2),
        repository=repository,
        channel="stable",
        now=now,
        read=lambda roles: read_keys(keys, roles),
    )
    for release, said in ((1, r"below the channel's floor.*>= 2.*got 1"), (7, "not signed as a part of a release")):
        forge_plan(repository, keys, Plan("theft", release, 1.0, release), now)
        with pytest.raises(UpdateRefused, match=said):
            device.update()
    signed_set = SignedSet.read(repository / "metadata")
    evil = TargetFile.from_data("stable/full/7/manifest.json", b"{}", ["sha256"])
    signed_set.rollout.signed.targets[evil.path] = evil
    signed_set.sign(read_keys(keys, ONLINE), now=now, changed=("rollout",))
    with pytest.raises(UpdateRefused, match="not signed as a part of a release"):
        device.update()
    assert device.running == 1


def forge_plan(repository: Path, keys: Path, plan: Plan, now: datetime) -> None:
    """As whoever has the online keys alone would write it, past our own checks."""
    signed_set = SignedSet.read(repository / "metadata")
    target = TargetFile.from_data("rollout/stable.json", plan.to_bytes(), ["sha256"])
    (repository / "targets" / target.get_prefixed_paths()[0]).write_bytes(plan.to_bytes())
    signed_set.rollout.signed.targets[target.path] = target
    signed_set.sign(read_keys(keys, ONLINE), now=now, changed=("rollout",))


def test_a_repository_that_was_brought_by_hand_is_as_good_as_the_server_and_no_better(
    device: Device, make_bundle: Make, publish: Publish, tmp_path: Path, server: RepositoryServer
) -> None:
    publish(make_bundle(release=2, gain=0.9))
    shutil.copytree(tmp_path / "repository", tmp_path / "stick")
    device.__init__(device.home.root, trust_root=device.home.trust_root, server_url="http://127.0.0.1:9")
    with pytest.raises(DeviceUnreachable):
        device.update()
    done = update(device.home, selftest=selftest_here, folder=tmp_path / "stick")
    assert (done.release, done.changed) == (2, True)
    device.start_and_commit()
    publish(make_bundle(release=3, gain=0.8))
    shutil.rmtree(tmp_path / "stick")
    shutil.copytree(tmp_path / "repository", tmp_path / "stick")
    flip(newest(tmp_path / "stick", "targets"))
    with pytest.raises(UpdateRefused, match=f"in {tmp_path}/stick"):
        update(device.home, selftest=selftest_here, folder=tmp_path / "stick")
    with pytest.raises(DeviceUnreachable, match=r"cannot be fetched"):
        update(device.home, selftest=selftest_here, folder=tmp_path / "nothing")
    assert device.running == 2


def test_what_somebody_at_the_device_wants_goes_before_the_plan_and_not_beyond_what_is_permitted(
    device: Device, make_bundle: Make, publish: Publish
) -> None:
    for release in (2, 3):
        publish(make_bundle(release=release, gain=1 - release / 10))
    keep_wish(device.home, Wish(hold=True))
    assert device.update().changed is False
    keep_wish(device.home, Wish(pin=2))
    assert device.update().release == 2
    device.start_and_commit()
    assert device.update().changed is False
    keep_wish(device.home, Wish(pin=9))
    with pytest.raises(UpdateRefused, match="not signed as a part of a release"):
        device.update()
    keep_wish(device.home, Wish(window="22-6"))
    with pytest.raises(UpdateRefused, match=r"outside of the hours.*22-6.*got 12 o'clock"):
        update(device.home, selftest=selftest_here, hour=12)
    assert update(device.home, selftest=selftest_here, hour=23).release == 3
    (device.home.root / "wish.json").write_bytes(b"{")
    with pytest.raises(InputError, match="not a wish"):
        device.update()


def test_a_clock_that_went_back_makes_no_old_metadata_new_and_one_far_ahead_poisons_nothing(
    device: Device, make_bundle: Make, publish: Publish, tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = device.slots.state()
    assert abs(state.seen - now.timestamp()) < 2, "what was signed, not what the clock says"
    later = now + timedelta(days=30)
    device.slots.save(replace(state, seen=int(later.timestamp())))  # it has seen a later time, and lost its clock since
    publish(make_bundle(release=2, gain=0.9))
    with pytest.raises(UpdateRefused, match=r"Expired.*that held at .*which was signed"):
        device.update()
    device.slots.save(state)
    ahead = now + timedelta(days=3650)

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return ahead.astimezone(tz)

    clock = SimpleNamespace(datetime=Ahead, timezone=timezone)
    monkeypatch.setattr("tuf.ngclient._internal.trusted_metadata_set.datetime", clock)
    with pytest.raises(UpdateRefused, match="Expired"):
        device.update()
    monkeypatch.undo()
    assert device.slots.state().seen == state.seen
    assert device.update().release == 2
