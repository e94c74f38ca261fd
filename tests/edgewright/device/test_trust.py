"""What a device says when it cannot fetch, and what it does not believe: clocks, servers, proxies and thieves."""

from __future__ import annotations

import gzip
import re
import shutil
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

from edgewright.device.core import State
from edgewright.device.home import init_home
from edgewright.device.offer import Plan
from edgewright.device.trust import BUILT, open_channel
from edgewright.errors import DeviceUnreachable, UpdateRefused
from edgewright.release.ceremony import rotate_key
from edgewright.release.keys import ONLINE, read_keys
from edgewright.release.metadata import SignedSet
from edgewright.release.repository import ReleaseReport, publish_release
from tests.edgewright.device.conftest import Device
from tests.edgewright.device.test_updater import newest, sign_timestamp
from tests.listeners import answering, closed_port

Make = Callable[..., Path]
Publish = Callable[..., ReleaseReport]
MakeDevice = Callable[..., Device]
PROXIES = [
    spelled(f"{scheme}_proxy") for scheme in ("http", "https", "all", "no") for spelled in (str.lower, str.upper)
]


@pytest.fixture
def published(make_bundle: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """`published(now)`: a repository that was signed then; and no proxy is named."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)

    def publish(now: datetime) -> None:
        paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}
        publish_release(make_bundle(release=1), channel="stable", now=now, **paths)

    return publish


def unreachable(device: Device, url: str, tmp_path: Path) -> str:
    moved = Device(tmp_path / "moved", trust_root=device.home.trust_root, server_url=url)
    with pytest.raises(DeviceUnreachable) as caught, open_channel(moved.home):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("age", "role", "lifetime"),
    [
        (timedelta(days=8), "timestamp", timedelta(days=7)),
        (timedelta(days=366), "root", timedelta(days=365)),
    ],
)
def test_expired_metadata_name_both_clocks(
    published: Any, make_device: Callable[..., Device], age: timedelta, role: str, lifetime: timedelta
) -> None:
    """Whichever of the two is wrong."""
    signed = (datetime.now(UTC) - age).replace(microsecond=0)
    published(signed)
    with pytest.raises(UpdateRefused) as caught, open_channel(make_device().home):
        pass
    said = str(caught.value)
    until = f"{signed + lifetime:%Y-%m-%dT%H:%M:%SZ}"
    assert f"expected {role} metadata that hold now, got valid until {until}" in said
    clock = re.search(r"the device's clock says (\S+Z)", said)
    assert clock
    assert abs(datetime.fromisoformat(clock[1]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert "Next: set the device's clock, if it is wrong" in said


def test_a_refused_connection(published: Any, make_device: Callable[..., Device], tmp_path: Path) -> None:
    published(datetime.now(UTC))
    url = f"http://127.0.0.1:{closed_port()}"
    said = unreachable(make_device(), url, tmp_path)
    assert said.startswith(f"the channel's metadata cannot be fetched (got connection refused, in {url})")


def test_a_proxy_in_the_way_is_named(
    published: Any, make_device: Callable[..., Device], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(datetime.now(UTC))
    device = make_device()
    with answering(502) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:secret@"))
        with open_channel(device.home) as channel:  # its server is on this machine
            assert channel.offer_to("line-1", running=0).release == 1
        assert proxy.requests == []
        said = unreachable(device, "http://releases.example", tmp_path)
    assert f"status 502, through the proxy {proxy.url} that HTTP_PROXY names, in http://releases.example" in said
    assert "Next: correct HTTP_PROXY, or add the server to NO_PROXY" in said


@pytest.fixture(scope="module")
def begun(make_bundle: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of release 1 and its keys, which cost a second."""
    folder = tmp_path_factory.mktemp("begun")
    paths = {"repository": folder / "repository", "keys": folder / "keys"}
    publish_release(make_bundle(release=1), **paths, channel="stable", now=datetime.now(UTC))
    return folder


@pytest.fixture
def device(begun: Path, make_device: MakeDevice, tmp_path: Path) -> Device:
    """It runs release 1, committed."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    device = make_device()
    device.update()
    device.start_and_commit()
    return device


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    return {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}


def moved(device: Device, **changes: str) -> Device:
    home = device.home
    config = replace(home.config, **changes)
    device.home = init_home(home.root, trust_root=home.trust_root, config=config, files=home.files)
    return device


@contextmanager
def lying(repository: Path, about: str, answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """The address of a server in other hands: the repository's files, but for those whose path holds `about`."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self) if about in self.path else super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(repository))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def a_broken_line(handler: BaseHTTPRequestHandler) -> None:
    """Ten bytes of a thousand: an honest device keeps them for the next update."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"ten bytes.")
    handler.close_connection = True


@pytest.mark.parametrize(
    ("role", "digest"),
    [("rollout", "{tmp}/victim"), ("rollout", "../../victim"), ("rollout", ""), ("targets", "{tmp}/victim")],
)
def test_a_signed_digest_that_is_a_path_names_no_file_on_the_device(
    device: Device, paths: dict[str, Path], tmp_path: Path, now: datetime, role: str, digest: str
) -> None:
    """Who stole the online keys signs the plan's digest, and has the server: what came would be kept by that name."""
    (tmp_path / "victim").write_bytes(b"as it was")
    signed_set = SignedSet.read(paths["repository"] / "metadata")
    name = "rollout/stable.json" if role == "rollout" else "stable/full/1/manifest.json"
    target = signed_set.role(role).signed.targets[name]
    target.length = 1000
    del target.hashes["sha256"]
    target.hashes = {"sha256": digest.format(tmp=tmp_path)} if digest else {"sha512": "ab" * 64}
    signed_set.sign(read_keys(paths["keys"]), now=now, changed=(role,))
    with (
        lying(paths["repository"], f"/targets/{Path(name).parent}/", a_broken_line) as url,
        pytest.raises(UpdateRefused, match=f"a signed digest that is none.*expected sha256.*in {name}"),
    ):
        moved(device, server_url=url).update() if role == "rollout" else device.update()
    assert (tmp_path / "victim").read_bytes() == b"as it was"
    assert device.running == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_does_not_say_when_to_come_again(device: Device, paths: dict[str, Path], status: int) -> None:
    def later(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Retry-After", "20")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    began = time.monotonic()
    with (
        lying(paths["repository"], "timestamp", later) as url,
        pytest.raises(DeviceUnreachable, match=f"status {status}"),
    ):
        moved(device, server_url=url).update()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("bomb", [False, True])
def test_what_a_server_packed_is_not_unpacked(device: Device, paths: dict[str, Path], bomb: bool) -> None:
    """Not even what is signed: whoever unpacks holds what comes of a piece before it can be counted."""
    signed = (paths["repository"] / "metadata/timestamp.json").read_bytes()
    packed = gzip.compress(bytes(40_000_000) if bomb else signed, 6)

    def say(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        handler.wfile.write(packed)
        handler.close_connection = True

    with lying(paths["repository"], "timestamp", say) as url:
        moved(device, server_url=url)
        tracemalloc.start()
        with pytest.raises(UpdateRefused, match="metadata refused"):
            device.update()
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak_bytes < 5_000_000
    assert device.running == 1


@pytest.mark.parametrize("release", [1, 12])
def test_a_plan_that_the_server_wrote_itself_is_no_plan(
    device: Device, make_bundle: Make, publish: Publish, paths: dict[str, Path], release: int
) -> None:
    """Of the same length as what is signed, or longer."""
    publish(make_bundle(release=2, gain=0.9))
    for path in (paths["repository"] / "targets/rollout").iterdir():
        path.write_bytes(Plan("release-1", release, 1.0, 1).to_bytes())
    with pytest.raises(UpdateRefused, match=r"rollout/stable\.json refused.*(LengthOrHashMismatch|LengthMismatch)"):
        device.update()
    assert device.running == 1


@pytest.mark.parametrize("role", ["snapshot", "targets", "rollout"])
def test_metadata_of_two_days_do_not_mix(
    device: Device, make_bundle: Make, publish: Publish, paths: dict[str, Path], role: str
) -> None:
    """Each is rightly signed: yesterday's under the name of today's."""
    yesterday = newest(paths["repository"], role).read_bytes()
    publish(make_bundle(release=2, gain=0.9))
    today = newest(paths["repository"], role)
    kept = today.read_bytes()
    today.write_bytes(yesterday)
    with pytest.raises(UpdateRefused, match="BadVersionNumber"):
        device.update()
    assert device.running == 1
    today.write_bytes(kept)
    assert device.update().release == 2


def test_a_stolen_timestamp_key_names_no_older_snapshot(
    device: Device, make_bundle: Make, publish: Publish, paths: dict[str, Path], now: datetime
) -> None:
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    older = paths["repository"] / "metadata/timestamp.json"
    metadata = Metadata[Any].from_file(str(older))
    metadata.signed.snapshot_meta.version -= 1
    metadata.to_file(str(older))
    sign_timestamp(**paths, issued=now, expires=now + timedelta(days=7))
    with pytest.raises(UpdateRefused, match="BadVersionNumber"):
        device.update()
    assert device.running == 2


def test_one_stolen_root_key_makes_no_root_and_two_do(
    device: Device, make_bundle: Make, publish: Publish, paths: dict[str, Path]
) -> None:
    folder = paths["repository"] / "metadata"
    root = Metadata[Root].from_file(str(folder / "1.root.json"))
    thief = CryptoSigner.generate_ed25519()
    root.signed.version = 2
    for role in ("root", "targets", "snapshot", "timestamp"):
        root.signed.add_key(thief.public_key, role)
    first, second, _ = read_keys(paths["keys"], ("root",))["root"]
    root.signatures.clear()
    for signer in (thief, first):
        root.sign(signer, append=True)
    root.to_file(str(folder / "2.root.json"))
    with pytest.raises(UpdateRefused, match=r"Unsigned.*root was signed by 1/2 keys"):
        device.update()
    assert not (device.home.trust / "root_history/2.root.json").exists()
    root.sign(second, append=True)
    root.to_file(str(folder / "2.root.json"))
    device.update()
    assert (device.home.trust / "root_history/2.root.json").exists(), "which is what a threshold of two says"


def test_a_bundle_of_another_tier_is_refused(
    begun: Path, make_bundle: Make, make_device: MakeDevice, paths: dict[str, Path], tmp_path: Path, now: datetime
) -> None:
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    device = moved(make_device(), tier="basic")
    with pytest.raises(UpdateRefused, match=r"not signed as a part of a release.*got stable/basic/1/manifest\.json"):
        device.update()
    own = publish_release(make_bundle(release=1, gain=0.9), **paths, channel="stable", tier="basic", now=now)
    served = paths["repository"] / "targets/stable"
    for path in (served / "basic/1").glob("*.model.onnx"):
        kept = path.read_bytes()
        path.write_bytes(next((served / "full/1").glob("*.model.onnx")).read_bytes())
        with pytest.raises(UpdateRefused, match=r"stable/basic/1/model\.onnx refused"):
            device.update()
        path.write_bytes(kept)
    assert device.update().digest == own.digest


def test_versions_put_far_ahead_by_stolen_online_keys_are_forgotten_when_those_are_replaced(
    device: Device, make_bundle: Make, publish: Publish, paths: dict[str, Path], tmp_path: Path, now: datetime
) -> None:
    repository = paths["repository"]
    shutil.copytree(repository, tmp_path / "own")
    signed_set = SignedSet.read(repository / "metadata")
    for role in ONLINE:
        signed_set.role(role).signed.version = 99_998
    signed_set.sign(read_keys(paths["keys"], ONLINE), now=now, changed=ONLINE)
    assert device.update().changed is False, "rightly signed, and as high as there is no other"
    assert {Metadata.from_file(str(device.home.trust / f"{role}.json")).signed.version for role in ONLINE} == {99_999}
    shutil.rmtree(repository)
    shutil.copytree(tmp_path / "own", repository)
    publish(make_bundle(release=2, gain=0.9))
    with pytest.raises(UpdateRefused, match=r"BadVersionNumber.*99999"):
        device.update()
    for name in ONLINE:
        rotate_key(name, **paths, now=now)
    assert device.update().release == 2


def test_in_1970_what_was_signed_is_held_against_what_was_signed(
    device: Device,
    make_bundle: Make,
    publish: Publish,
    make_device: MakeDevice,
    paths: dict[str, Path],
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A clock that lost its battery: what is fresh is taken, what is stale is not, seen or from before the agent."""

    class Dead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(1970, 1, 1, tzinfo=UTC).astimezone(tz)

    clock = SimpleNamespace(datetime=Dead, timezone=timezone)
    monkeypatch.setattr("tuf.ngclient._internal.trusted_metadata_set.datetime", clock)
    publish(make_bundle(release=2, gain=0.9))
    assert device.update().release == 2
    sign_timestamp(**paths, issued=now - timedelta(days=8), expires=now - timedelta(days=1))
    with pytest.raises(UpdateRefused, match=r"Expired.*timestamp metadata that held at .*which was signed"):
        device.update()
    sign_timestamp(**paths, issued=BUILT - timedelta(days=8), expires=BUILT - timedelta(days=1))
    fresh = make_device("fresh")
    with pytest.raises(UpdateRefused, match=f"Expired.*held at {BUILT:%Y-%m-%d}"):
        fresh.update()
    assert fresh.slots.state() == State()
