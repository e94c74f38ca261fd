"""Releases after the run: served at an address that stays, fresh, to devices in processes of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from edgewright.cli import main
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home, open_home
from edgewright.device.process import agent_command, agent_environment
from edgewright.errors import HomeBusy, InputError, StoreUnavailable
from edgewright.release.address import Address, address_in
from edgewright.release.gateway import flash_device
from edgewright.release.metadata import FIRST_ROOT
from edgewright.release.repository import publish_release, state_of
from edgewright.release.server import serve_releases
from edgewright.settings import Settings, read_settings
from tasks.serve import releases
from tests.cells import cell_picture, write_bundle
from tests.conftest import free_port

Publish = Callable[..., None]
DAYS_10 = timedelta(days=10)
"""Longer than a timestamp lives."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home")})


@pytest.fixture
def publish(settings: Settings, tmp_path: Path) -> Publish:
    """`publish(2, ago=…)`: release 2 of the project `demo`."""

    def run(release: int, *, ago: timedelta = timedelta()) -> None:
        folder = tmp_path / f"bundle-{release}"
        folder.mkdir()
        publish_release(
            write_bundle(folder, release=release, gain=1 - release / 100),
            repository=settings.releases / "demo",
            keys=settings.keys / "demo",
            channel="stable",
            now=datetime.now(UTC) - ago,
        )

    return run


@pytest.fixture
def device(settings: Settings) -> Callable[[str], Path]:
    """`device("http://…")`: a device in the home that trusts `demo` and pulls from there."""

    def make(url: str) -> Path:
        trust_root = (settings.releases / "demo/metadata" / FIRST_ROOT).read_bytes()
        config = DeviceConfig("demo-0", url, "stable")
        return init_home(settings.devices / "demo-0", trust_root=trust_root, config=config, files=Files()).root

    return make


def agent(*words: str) -> subprocess.CompletedProcess[str]:
    command = agent_command(*words)
    return subprocess.run(command, env=agent_environment(), capture_output=True, text=True, timeout=60, check=False)


def test_a_device_updates_when_the_run_is_over_and_the_week_too(
    settings: Settings, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flash's process has gone, the timestamp has expired; `serve-releases` signs it again and serves it."""
    monkeypatch.setattr("edgewright.release.metadata.CLOCKS_DIFFER", 2 * DAYS_10)  # release 2 is signed in the past
    publish(1)
    (tmp_path / "feed").mkdir()
    Image.fromarray(cell_picture(0, 1)).save(tmp_path / "feed/0.png")
    address = address_in(settings.releases)
    flash_device(
        repository=settings.releases / "demo",
        address=address,
        device_home=settings.devices / "demo-0",
        device_id="demo-0",
        channel="stable",
        feed=tmp_path / "feed",
        out=tmp_path / "out",
        timeout_s=60,
        on_progress=lambda done, total, what: None,
    )
    assert open_home(settings.devices / "demo-0", files=Files()).config.server_url == f"{address.url}/demo"
    publish(2, ago=DAYS_10)
    with serve_releases(settings.releases, host=address.host, port=address.port):
        refused = agent("update", "--home", str(settings.devices))
    assert (refused.returncode, "Expired" in refused.stderr) == (1, True)

    command = [sys.executable, "-m", "edgewright.cli", "serve-releases"]
    environment = {**os.environ, "EDGEWRIGHT_HOME": str(settings.home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        said: list[str] = []
        while "Ctrl-C ends it" not in said:
            line = serving.stdout.readline()
            assert line, f"it ended by itself: {said}"
            said.append(line.strip())
        updated = agent("update", "--home", str(settings.devices))
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0
    assert said[:3] == [
        "Renewed  demo: signed timestamp",
        f"Releases {address.url}",
        "demo: stable release 2, valid for 6 days",
    ]
    assert (updated.returncode, updated.stderr) == (0, "")
    assert "release 2 installed, on trial" in updated.stdout


def test_one_address_one_server(settings: Settings, publish: Publish) -> None:
    publish(1)
    said: list[str] = []
    with releases.releases_served(settings, say=said.append) as address:
        with pytest.raises(HomeBusy, match=f"served already .in {address.url}"):
            releases.releases_served(settings, say=said.append).__enter__()
        with releases.served_beside(settings, say=said.append):  # `ui`, which goes on
            assert said[-1] == f"Releases this home's releases are served already (in {address.url})"
    with releases.releases_served(settings, say=said.append) as again:
        assert again == address


def test_a_taken_port_is_said_and_another_is_kept(settings: Settings, publish: Publish) -> None:
    publish(1)
    kept, wanted = address_in(settings.releases), free_port()
    with socket.socket() as stranger:
        stranger.bind((kept.host, kept.port))
        stranger.listen()
        with pytest.raises(StoreUnavailable, match=rf"port {kept.port} is taken by another program.*--port"):
            releases.serve_until_ended(settings, host="", port=0, say=lambda line: None)
        with releases.releases_served(settings, port=wanted, say=lambda line: None):
            assert address_in(settings.releases) == Address(kept.host, wanted)
    assert address_in(settings.releases) == Address(kept.host, wanted)


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "example.org", "nonsense!"])
def test_an_address_of_others_is_neither_served_nor_kept(settings: Settings, host: str) -> None:
    before = address_in(settings.releases)
    with pytest.raises(InputError, match="no authentication"):
        releases.serve_until_ended(settings, host=host, port=0, say=lambda line: None)
    assert address_in(settings.releases) == before


def test_devices_of_this_home_follow_the_address(
    settings: Settings, publish: Publish, device: Callable[[str], Path]
) -> None:
    publish(1)
    said: list[str] = []
    moved = device("http://127.0.0.1:9/elsewhere")
    with releases.releases_served(settings, say=said.append) as address:
        assert open_home(moved, files=Files()).config.server_url == f"{address.url}/demo"
    assert said[-1] == "  device demo-0 pulls from here now"
    device("http://updates.example.org")  # introduced to a server elsewhere on purpose
    with releases.releases_served(settings, say=said.append):
        assert open_home(moved, files=Files()).config.server_url == "http://updates.example.org"


def test_what_expires_while_it_is_served_is_signed_again(
    settings: Settings, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "_LOOK_EVERY_S", 0.05)
    said: list[str] = []
    with releases.releases_served(settings, say=said.append):
        publish(1, ago=DAYS_10)  # a project that is new here, too
        deadline = time.monotonic() + 20
        while state_of(settings.releases / "demo").expires["timestamp"] < datetime.now(UTC):
            assert time.monotonic() < deadline, said
            time.sleep(0.02)


def test_a_damaged_repository_does_not_end_the_others_service(settings: Settings, publish: Publish) -> None:
    publish(1)
    broken = settings.releases / "broken/metadata"
    broken.mkdir(parents=True)
    (broken / "timestamp.json").write_text("{}")
    said: list[str] = []
    with releases.releases_served(settings, say=said.append):
        pass
    assert sum("broken: the release repository cannot be read" in line for line in said) == 2
    assert any(line.startswith("  demo: stable release 1, valid for") for line in said)


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_the_age_is_shown_and_renewed(
    settings: Settings, publish: Publish, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edgewright.cli.releases.home_settings", lambda: settings)
    assert told(["release", "status"], capsys)[1].startswith("nothing is released in this home yet")
    publish(1, ago=DAYS_10)
    code, out, _ = told(["release", "status"], capsys)
    assert (code, out.splitlines()[0]) == (0, f"demo: stable release 1, {address_in(settings.releases).url}/demo")
    assert "10 days ago" in out and "expired 3 days ago" in out and "valid for 354 days" in out
    assert told(["release", "renew"], capsys)[:2] == (0, "demo: signed timestamp\n")
    assert told(["release", "renew", "--project", "demo"], capsys)[:2] == (0, "demo: fresh\n")
    assert told(["release", "renew", "--project", "dmo"], capsys)[2].strip().endswith("did you mean 'demo'?")


def test_keys_that_are_offline_are_named(
    settings: Settings, publish: Publish, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edgewright.cli.releases.home_settings", lambda: settings)
    publish(1, ago=timedelta(days=200))
    for name in ("root-1", "root-2", "targets"):
        (settings.keys / f"demo/{name}.pem").unlink()
    code, out, err = told(["release", "renew"], capsys)
    assert (code, "not everything could be signed again" in err) == (2, True)
    assert (
        out == "demo: signed rollout, snapshot, timestamp; half expired, and their keys are not here: root, targets\n"
    )
