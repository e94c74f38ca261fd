"""A repository as files that others serve: a folder behind HTTP, and a bucket of a real S3 server."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest

from edgewright.artifacts.s3 import S3Folder
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home
from edgewright.device.offer import Course, Plan
from edgewright.device.slots import Slots
from edgewright.device.trust import open_channel
from edgewright.device.updater import update
from edgewright.errors import ArtifactCorrupt, InputError, StoreUnavailable, UpdateRefused
from edgewright.release.ceremony import rotate_key, verify_repository
from edgewright.release.keys import read_keys
from edgewright.release.mirror import ASK_AGAIN, Place, mirror
from edgewright.release.repository import ReleaseReport, publish_release, renew, revoke_release, set_plan
from edgewright.release.server import serve_repository
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.selftest import SelfTest, run_selftest

Make = Callable[..., Path]
Publish = Callable[..., ReleaseReport]


@dataclass(frozen=True)
class FolderPlace:
    """Objects as files of a folder."""

    root: Path

    @property
    def uri(self) -> str:
        return str(self.root)

    def sizes(self) -> dict[str, int]:
        files = (path for path in sorted(self.root.rglob("*")) if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.stat().st_size for path in files}

    def read(self, name: str) -> bytes | None:
        path = self.root / name
        return path.read_bytes() if path.exists() else None

    def write(self, name: str, payload: bytes, *, cache_control: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)

    def remove(self, name: str) -> None:
        (self.root / name).unlink()


@dataclass
class Watched:
    """A place where somebody looks before each change. Attributes: done: the names that were changed."""

    place: Place
    look: Callable[[], object]
    done: list[str] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return self.place.uri

    def sizes(self) -> Mapping[str, int]:
        return self.place.sizes()

    def read(self, name: str) -> bytes | None:
        return self.place.read(name)

    def write(self, name: str, payload: bytes, *, cache_control: str) -> None:
        self._note(name)
        self.place.write(name, payload, cache_control=cache_control)

    def remove(self, name: str) -> None:
        self._note(name)
        self.place.remove(name)

    def _note(self, name: str) -> None:
        self.look()
        self.done.append(name)


class Cut(Watched):
    """A place that goes away after so many changes."""

    def __init__(self, place: Place, *, after: int) -> None:
        super().__init__(place, lambda: self._end(after))

    def _end(self, after: int) -> None:
        if len(self.done) == after:
            raise StoreUnavailable("cut")


@dataclass(frozen=True)
class Site:
    """Attributes: url: where devices read what lies in the place."""

    place: Place
    url: str


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "site")


@pytest.fixture
def site(place: FolderPlace, tmp_path: Path) -> Iterator[Site]:
    place.root.mkdir()
    with serve_repository(place.root, reports=tmp_path / "reports") as server:
        yield Site(place, server.url)


@pytest.fixture
def bucket(s3_site: str, s3_bucket: str) -> Site:
    return Site(S3Folder(f"s3://{s3_bucket}/releases/belt"), f"{s3_site}/releases/belt")


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    return {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}


def selftest_here(folder: Path) -> SelfTest:
    return run_selftest(Bundle.load(folder))


def updated(home: Path, repository: Path, url: str) -> int:
    """A device updates from the site; the release that it has then."""
    trust_root = (repository / "metadata/1.root.json").read_bytes()
    device = init_home(home, trust_root=trust_root, config=DeviceConfig("line-1", url, "stable"), files=Files())
    return update(device, selftest=selftest_here).release


def test_what_is_written_in_which_order_and_once(
    site: Site, make_bundle: Make, publish: Publish, paths: dict[str, Path], tmp_path: Path
) -> None:
    publish(make_bundle(release=1))
    first = mirror(paths["repository"], site.place)
    metadata = ["1.rollout.json", "1.snapshot.json", "1.targets.json", "1.root.json", "timestamp.json"]
    assert first.written[-5:] == tuple(f"metadata/{name}" for name in metadata)
    assert all(name.startswith("targets/") for name in first.written[:-5])
    assert first.removed == ()
    assert first.bytes == sum(site.place.sizes().values())
    assert updated(tmp_path / "device", paths["repository"], site.url) == 1
    again = mirror(paths["repository"], site.place)
    assert (again.written, again.removed, str(again)) == ((), (), f"{site.place.uri} is as it is signed")
    publish(make_bundle(release=2, gain=0.9))
    second = mirror(paths["repository"], site.place)
    assert not {*first.written} & {*second.written} - {"metadata/timestamp.json"}
    assert updated(tmp_path / "device", paths["repository"], site.url) == 2
    assert verify_repository(as_folder(site.place, tmp_path / "copy"), now=datetime.now(UTC)) == ()


def as_folder(place: Place, folder: Path) -> Path:
    for name in place.sizes():
        FolderPlace(folder).write(name, place.read(name) or b"", cache_control="")
    return folder


@pytest.mark.parametrize("where", ["site", "bucket"])
def test_between_any_two_objects_a_device_sees_the_old_release_or_the_new_one(
    where: str,
    make_bundle: Make,
    publish: Publish,
    paths: dict[str, Path],
    tmp_path: Path,
    now: datetime,
    request: pytest.FixtureRequest,
) -> None:
    """A new key of the timestamp and a new release, which that key alone announces, in one mirroring."""
    site, repository = request.getfixturevalue(where), paths["repository"]
    publish(make_bundle(release=1))
    mirror(repository, site.place)
    assert updated(tmp_path / "old", repository, site.url) == 1
    rotate_key("timestamp", now=now, **paths)
    publish(make_bundle(release=2, gain=0.9))
    seen: list[int] = []

    def look() -> None:
        home = shutil.copytree(tmp_path / "old", tmp_path / f"device-{len(seen)}")
        seen.append(updated(home, repository, site.url))

    watched = Watched(site.place, look)
    written = mirror(repository, watched).written
    look()
    at = written.index("metadata/timestamp.json")
    assert seen == [1] * (at + 1) + [2] * (len(written) - at)
    assert written[at - 1 :] == ("metadata/2.root.json", "metadata/timestamp.json", "metadata/3.root.json")


def test_cut_off_at_any_object_it_goes_on_there(
    place: FolderPlace, make_bundle: Make, publish: Publish, paths: dict[str, Path], tmp_path: Path
) -> None:
    repository, changed = paths["repository"], list[str]()
    for release in (1, 2, 3):
        publish(make_bundle(release=release, gain=1 - release / 100))
        while True:
            cut = Cut(place, after=1)
            done = ended(partial(mirror, repository, cut))
            changed += cut.done
            if done:
                break
            assert release == 1 or offered(tmp_path / "device", repository, place.root) in (release - 1, release)
        assert offered(tmp_path / "device", repository, place.root) == release
    changes = Counter(changed)
    assert changes.pop("metadata/timestamp.json") == 3
    assert {name for name, count in changes.items() if count != 1} == {*changes} - {*place.sizes()}  # written, removed
    assert verify_repository(place.root, now=datetime.now(UTC)) == ()


def ended(work: Callable[[], object]) -> bool:
    try:
        work()
    except StoreUnavailable:
        return False
    return True


@pytest.mark.parametrize("name", ["root-1", "targets", "rollout", "snapshot", "timestamp"])
def test_no_key_that_is_replaced_stops_a_device(
    name: str,
    place: FolderPlace,
    make_bundle: Make,
    publish: Publish,
    paths: dict[str, Path],
    tmp_path: Path,
    now: datetime,
) -> None:
    repository = paths["repository"]
    publish(make_bundle(release=1))
    mirror(repository, place)
    rotate_key(name, now=now, **paths)
    while not ended(lambda: mirror(repository, Cut(place, after=1))):
        assert offered(tmp_path / "device", repository, place.root) == 1
    assert offered(tmp_path / "device", repository, place.root) == 1


def offered(home: Path, repository: Path, folder: Path) -> int:
    trust_root = (repository / "metadata/1.root.json").read_bytes()
    config = DeviceConfig("line-1", "http://127.0.0.1:9", "stable")
    device = init_home(home, trust_root=trust_root, config=config, files=Files())
    with open_channel(device, folder=folder, state=Slots(device).state()) as channel:
        return channel.offer_to("line-1", running=0).release


def test_what_is_released_no_longer_stays_for_one_mirroring(
    place: FolderPlace, make_bundle: Make, publish: Publish, paths: dict[str, Path], now: datetime
) -> None:
    """A device that asked for the timestamp a moment ago goes on by what that says."""
    publish(make_bundle(release=1))
    publish(make_bundle(release=2, gain=0.9))
    mirror(paths["repository"], place)
    revoke_release(
        1,
        repository=paths["repository"],
        channel="stable",
        now=now,
        read=lambda roles: read_keys(paths["keys"], roles),
    )
    assert mirror(paths["repository"], place).removed == ()
    removed = mirror(paths["repository"], place).removed
    assert {name.rsplit("/", 1)[0].removesuffix("/golden") for name in removed} == {"targets/stable/full/1"}
    assert not any(name.startswith("targets/stable/full/1/") for name in place.sizes())


def test_what_caches_are_told(bucket: Site) -> None:
    """By a bucket that holds other things too, which are left alone."""
    elsewhere = S3Folder(bucket.place.uri.removesuffix("/belt"))
    elsewhere.write("belt-2/timestamp.json", b"another project", cache_control="no-store")
    bucket.place.write("metadata/timestamp.json", b"new", cache_control=ASK_AGAIN)
    with urlopen(f"{bucket.url}/metadata/timestamp.json") as answer:
        assert (answer.headers["Cache-Control"], answer.read()) == ("no-cache", b"new")
    assert bucket.place.sizes() == {"metadata/timestamp.json": 3}
    assert bucket.place.read("metadata/1.root.json") is None
    bucket.place.remove("metadata/timestamp.json")
    assert elsewhere.sizes() == {"belt-2/timestamp.json": 15}


def test_renewed_signatures_reach_devices(
    place: FolderPlace, make_bundle: Make, paths: dict[str, Path], tmp_path: Path, now: datetime
) -> None:
    publish_release(make_bundle(release=1), channel="stable", now=now - timedelta(days=10), **paths)
    mirror(paths["repository"], place)
    with pytest.raises(UpdateRefused, match="Expired"):
        offered(tmp_path / "device", paths["repository"], place.root)
    renew(now=now, **paths)
    assert mirror(paths["repository"], place).written == ("metadata/timestamp.json",)
    assert offered(tmp_path / "device", paths["repository"], place.root) == 1


def test_another_repository_and_newer_metadata_are_refused(
    place: FolderPlace, make_bundle: Make, publish: Publish, paths: dict[str, Path], tmp_path: Path, now: datetime
) -> None:
    repository = paths["repository"]
    other = {"repository": tmp_path / "other", "keys": tmp_path / "other-keys"}
    publish_release(make_bundle(release=1), channel="stable", now=now, **other)
    publish(make_bundle(release=1))
    mirror(repository, place)
    before = place.sizes()
    with pytest.raises(InputError, match="another repository is mirrored there"):
        mirror(other["repository"], place)
    shutil.copytree(repository, tmp_path / "backup")
    publish(make_bundle(release=2, gain=0.9))
    mirror(repository, place)
    with pytest.raises(InputError, match=r"newer metadata.*got 2"):
        mirror(tmp_path / "backup", place)
    publish_release(
        make_bundle(release=2, gain=0.8),
        repository=tmp_path / "backup",
        keys=paths["keys"],
        channel="stable",
        now=now + timedelta(minutes=1),
    )
    with pytest.raises(InputError, match=r"newer metadata.*or this one.*got 2"):
        mirror(tmp_path / "backup", place)
    assert {*before} <= {*place.sizes()}
    assert offered(tmp_path / "device", repository, place.root) == 2


def test_what_is_damaged_here_is_not_announced_and_what_is_damaged_there_is_written_again(
    place: FolderPlace, make_bundle: Make, publish: Publish, paths: dict[str, Path], tmp_path: Path
) -> None:
    repository = paths["repository"]
    publish(make_bundle(release=1))
    mirror(repository, place)
    model = next(name for name in place.sizes() if name.endswith("model.onnx"))
    (place.root / model).write_bytes(b"half")
    (place.root / "metadata/timestamp.json").write_bytes(b"nonsense")
    assert mirror(repository, place).written == (model, "metadata/timestamp.json")
    publish(make_bundle(release=2, gain=0.9))
    new = max((repository / "targets/stable/full/2").glob("*.model.onnx"))
    new.write_bytes(new.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactCorrupt, match="not as it is signed"):
        mirror(repository, place)
    assert offered(tmp_path / "device", repository, place.root) == 1


def test_metadata_of_another_history_are_replaced(
    place: FolderPlace, make_bundle: Make, publish: Publish, paths: dict[str, Path], tmp_path: Path, now: datetime
) -> None:
    """A home that came back from a backup signs versions again that lie there already, as long as these."""
    repository = paths["repository"]
    publish(make_bundle(release=1))
    shutil.copytree(repository, tmp_path / "backup")
    publish(make_bundle(release=2, gain=0.9))
    mirror(repository, place)
    back = {"repository": tmp_path / "backup", "keys": paths["keys"]}
    publish_release(make_bundle(release=2, gain=0.8), channel="stable", now=now, **back)
    publish_release(make_bundle(release=3, gain=0.7), channel="stable", now=now, **back)
    mirror(back["repository"], place)
    for name in ("3.targets.json", "3.rollout.json", "3.snapshot.json", "timestamp.json"):
        assert place.read(f"metadata/{name}") == (back["repository"] / "metadata" / name).read_bytes()
    assert offered(tmp_path / "device", repository, place.root) == 3


def test_a_plan_that_is_signed_meanwhile_waits_its_turn(
    place: FolderPlace, make_bundle: Make, publish: Publish, paths: dict[str, Path], tmp_path: Path, now: datetime
) -> None:
    """Nobody who signs waits for a place, and what one mirroring writes is not mixed with what the next one will."""
    repository = paths["repository"]
    publish(make_bundle(release=1))
    mirror(repository, place)
    publish(make_bundle(release=2, gain=0.9))
    halted = Plan("release-2", 2, share=1.0, otherwise=1, state=Course.HALTED)
    others: list[threading.Thread] = []

    class Meanwhile(Watched):
        def write(self, name: str, payload: bytes, *, cache_control: str) -> None:
            if not others:
                set_plan(halted, channel="stable", now=now, **paths)
                others.append(threading.Thread(target=mirror, args=(repository, place)))
                others[0].start()
            super().write(name, payload, cache_control=cache_control)

    mirror(repository, Meanwhile(place, lambda: None))
    others[0].join(30)
    assert offered(tmp_path / "device", repository, place.root) == 1
    assert place.read("metadata/timestamp.json") == (repository / "metadata/timestamp.json").read_bytes()


def test_a_repository_that_is_not_there(tmp_path: Path, place: FolderPlace) -> None:
    with pytest.raises(StoreUnavailable, match="cannot read the release repository"):
        mirror(tmp_path / "none", place)
