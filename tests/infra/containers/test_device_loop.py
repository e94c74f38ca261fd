"""`device-loop` and `device-ready`: a device's life in a container or under systemd, with the real agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home, open_home, told_by
from edgewright.release.ceremony import init_repository
from edgewright.release.repository import publish_release
from edgewright.release.server import RepositoryServer, serve_repository
from tests.cells import cell_picture, write_bundle
from tests.collectors import RELEASES, RunningCollector, running_collector
from tests.collectors import ROOT as ROOT_OF_RELEASES
from tests.conftest import free_port
from tests.infra.places import CONTAINERS, PROGRAMS, ROOT


def environment(home: Path, **more: str) -> dict[str, str]:
    path = f"{PROGRAMS}:{Path(sys.executable).parent}:/usr/bin:/bin"
    return {"PATH": path, "PYTHONPATH": str(ROOT), "DEVICE_HOME": str(home), "OMP_NUM_THREADS": "1", **more}


@contextmanager
def device(home: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    loop = subprocess.Popen(
        [str(CONTAINERS / "device_loop.sh")],
        env=environment(home, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield loop
    finally:
        loop.terminate()  # what it began ends with it
        loop.communicate(timeout=60)


def await_line(loop: subprocess.Popen[str], part: str) -> list[str]:
    """What it says up to a line with this in it."""
    assert loop.stdout
    said = []
    for line in loop.stdout:
        said.append(line)
        if part in line:
            return said
    raise AssertionError(f"it ended without {part!r}: {''.join(said)}")


def await_report(server: RepositoryServer, device_id: str, count: int) -> None:
    over = time.monotonic() + 60
    while len(server.received.get(device_id, [])) < count:
        assert time.monotonic() < over
        time.sleep(0.1)


def await_told(collector: RunningCollector, *commands: str, since: int = 0) -> None:
    """There is a report of each of these commands."""
    over = time.monotonic() + 60
    while True:
        told = [json.loads(event.body)["command"] for event in collector.events("line-1", "report")[since:]]
        if set(commands) <= set(told):
            return
        assert time.monotonic() < over, told
        time.sleep(0.1)


def ready(home: Path, **more: str) -> tuple[int, str]:
    command = [sys.executable, str(CONTAINERS / "device_ready.py")]
    done = subprocess.run(
        command, env=environment(home, **more), capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr.strip()


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    folder = tmp_path / "feed"
    folder.mkdir()
    Image.fromarray(cell_picture(0, 1)).save(folder / "0.png")
    return folder


def test_a_device_pulls_detects_and_ends_when_told(tmp_path: Path, feed: Path) -> None:
    """Then once more without its server: what it has keeps running."""
    home, repository = tmp_path / "home", tmp_path / "repository"
    bundle = write_bundle(tmp_path, release=1)
    publish_release(bundle, repository=repository, keys=tmp_path / "keys", channel="stable", now=datetime.now(UTC))
    given = {"DEVICE_FEED": str(feed), "DEVICE_EVERY_S": "600"}
    identity = {"DEVICE_ID": "line-1-0", "DEVICE_ROOT": str(repository / "metadata/1.root.json")}
    with serve_repository(repository, reports=tmp_path / "reports") as server:
        with device(home, DEVICE_SERVER=server.url, **identity, **given) as loop:
            said = "".join(await_line(loop, "2 detections on 1 frames"))
            assert "line-1-0 trusts" in said and "release 1 installed, on trial in slot a" in said
            await_report(server, "line-1-0", 2)
            assert ready(home) == (0, "ready")
            assert ready(home, MODEL_VERSION="1")[0] == 0
            assert ready(home, MODEL_VERSION="2") == (1, "release 1 runs, expected 2 or newer")
            loop.send_signal(signal.SIGTERM)
            assert loop.wait(20) == 0
        assert [report["command"] for report in server.received["line-1-0"]] == ["update", "run"]
    away = f"http://127.0.0.1:{free_port()}"
    with device(home, DEVICE_SERVER=away, **identity, **given) as loop:
        await_line(loop, "2 detections on 1 frames")
        await_line(loop, "edgewright-device: ")  # the update that failed
        loop.send_signal(signal.SIGTERM)
        assert loop.wait(20) == 0


def test_a_device_joins_its_fleet_by_a_token_and_tells_it(tmp_path: Path, feed: Path) -> None:
    """Its collector is away at first: it waits. Begun again, it asks for no token."""
    home, repository = tmp_path / "home", tmp_path / "repository"
    bundle = write_bundle(tmp_path, release=1)
    publish_release(bundle, repository=repository, keys=tmp_path / "keys", channel="stable", now=datetime.now(UTC))
    root = (repository / "metadata/1.root.json").read_bytes()
    with (
        serve_repository(repository, reports=tmp_path / "reports") as server,
        running_collector(tmp_path / "fleet", root=root) as collector,
    ):
        token = collector.token(device="line-1", root=root, server_url=server.url)
        away = replace(token, url=f"https://127.0.0.1:{free_port()}")
        (tmp_path / "token").write_text(away.to_text())
        given = {"DEVICE_FEED": str(feed), "DEVICE_TOKEN": str(tmp_path / "token")}
        with device(home, DEVICE_EVERY_S="1", **given) as loop:
            await_line(loop, "does not answer")
            (tmp_path / "token").write_text(token.to_text())
            said = "".join(await_line(loop, "2 detections on 1 frames"))
            assert "line-1 is of the fleet at" in said and "release 1 installed" in said
            await_told(collector, "update", "run")
            loop.send_signal(signal.SIGTERM)
            assert loop.wait(20) == 0
        (tmp_path / "token").unlink()
        before = len(collector.events("line-1", "report"))
        by_hand = {"DEVICE_ROOT": str(tmp_path / "none"), "DEVICE_SERVER": RELEASES, "DEVICE_ID": "line-1"}
        with device(home, DEVICE_EVERY_S="600", **given, **by_hand) as loop:
            await_line(loop, "2 detections on 1 frames")
            await_told(collector, "run", "update", since=before)
        assert server.received == {}


def test_a_device_is_given_its_broker_at_each_start(tmp_path: Path, feed: Path) -> None:
    broker = f"mqtt://127.0.0.1:{free_port()}"
    with running_collector(tmp_path / "fleet") as collector:
        (tmp_path / "token").write_text(collector.token(device="line-1").to_text())
        given = {"DEVICE_FEED": str(feed), "DEVICE_TOKEN": str(tmp_path / "token")}
        for _ in ("the first", "what was said at the device meanwhile holds until the next"):
            with device(tmp_path / "home", DEVICE_MQTT=broker, **given) as loop:
                await_line(loop, f"events go by {broker} to https://")
            home = open_home(tmp_path / "home", files=Files())
            assert home.config.broker_url == broker
            told_by(home, "")


def test_a_device_of_no_fleet_tells_nothing_by_a_broker(tmp_path: Path) -> None:
    by_hand = DeviceConfig("line-1", RELEASES, "stable")
    init_home(tmp_path / "home", trust_root=ROOT_OF_RELEASES, config=by_hand, files=Files())
    with device(tmp_path / "home", DEVICE_MQTT="mqtt://127.0.0.1:1") as loop:
        await_line(loop, "a device of no fleet tells nothing by a broker")
        assert loop.wait(20) == 2


def test_a_device_that_was_made_by_hand_joins_too(tmp_path: Path, feed: Path) -> None:
    home = tmp_path / "home"
    by_hand = DeviceConfig("line-1", RELEASES, "stable")
    init_home(home, trust_root=ROOT_OF_RELEASES, config=by_hand, files=Files())
    with running_collector(tmp_path / "fleet") as collector:
        (tmp_path / "token").write_text(collector.token().to_text())
        with device(home, DEVICE_FEED=str(feed), DEVICE_TOKEN=str(tmp_path / "token")) as loop:
            await_line(loop, "line-1 is of the fleet at")


def test_without_the_file_of_a_token_a_device_is_what_it_is_given_by_hand(tmp_path: Path, feed: Path) -> None:
    """As in a cluster, where one manifest is for devices of a fleet and for those of none."""
    init_repository(tmp_path / "repository", keys=tmp_path / "keys", now=datetime.now(UTC))
    root = tmp_path / "repository/metadata/1.root.json"
    by_hand = {"DEVICE_ROOT": str(root), "DEVICE_SERVER": RELEASES, "DEVICE_ID": "line-1"}
    with device(tmp_path / "home", DEVICE_FEED=str(feed), DEVICE_TOKEN=str(tmp_path / "token"), **by_hand) as loop:
        await_line(loop, "line-1 trusts")
    with device(tmp_path / "other", DEVICE_FEED=str(feed), DEVICE_TOKEN=str(tmp_path / "token")) as loop:
        await_line(loop, "the token cannot be read")
        assert loop.wait(20) == 2


def test_a_device_without_identity_says_what_to_do(tmp_path: Path) -> None:
    with device(tmp_path) as loop:
        assert loop.stdout
        said = loop.stdout.read()
        assert loop.wait(20) == 2
    assert "not a device's folder" in said and "edgewright-device init" in said
    code, reason = ready(tmp_path)
    assert code == 1 and "not a device's folder" in reason


def test_a_wrong_trust_root_ends_it(tmp_path: Path) -> None:
    (tmp_path / "1.root.json").write_text(json.dumps({"signed": {}}))
    identity = {"DEVICE_ID": "line-1-0", "DEVICE_ROOT": str(tmp_path / "1.root.json")}
    with device(tmp_path / "home", DEVICE_SERVER="http://127.0.0.1:1", **identity) as loop:
        assert loop.stdout
        assert "not a trust root" in loop.stdout.read()
        assert loop.wait(20) == 2


def test_on_trial_is_not_ready() -> None:
    assert os.access(CONTAINERS / "device_ready.py", os.X_OK)
    code = (
        f"import sys; sys.path.insert(0, {str(CONTAINERS)!r}); from device_ready import why_not\n"
        "print(why_not({'slot': '', 'release': 0, 'on_trial': False}, wanted=0))\n"
        "print(why_not({'slot': 'b', 'release': 2, 'on_trial': True}, wanted=0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["no release is installed", "release 2 is on trial"]
