"""`edgewright serve-collector` as a process: devices, pages and figures at once, an end by SIGTERM; beside `up` too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from edgewright.cli import fleet as commands
from edgewright.cli import main
from edgewright.device.enroll import enroll
from edgewright.device.files import Files
from edgewright.device.report import DeviceReport, send
from edgewright.device.token import Token
from edgewright.errors import HomeBusy
from edgewright.settings import Settings
from tasks.serve.collector import collector_served, invited, where_of
from tasks.serve.watching import watched_beside
from tests.conftest import free_port


@pytest.fixture
def served(settings: Settings, publish: Callable[..., None]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and where its pages are."""
    publish(1)
    words = ["serve-collector", "--port", str(free_port()), "--pages-port", str(free_port())]
    environment = {**os.environ, "EDGEWRIGHT_HOME": str(settings.home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "edgewright.cli", *words]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert process.stdout.readline().startswith("Collector https://127.0.0.1:")
        yield process, process.stdout.readline().split()[1].rstrip(",")
    finally:
        process.kill()
        process.communicate()


def test_devices_are_heard_and_people_look_on(
    settings: Settings,
    served: tuple[subprocess.Popen[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process, pages = served
    monkeypatch.setattr(commands, "home_settings", lambda: settings)
    with pytest.raises(SystemExit):
        main(["fleet", "invite", "--project", "belt"])
    token = Token.from_text(capsys.readouterr().out)
    home = enroll(tmp_path / "device", token, files=Files(), device_id="line-1")
    standing = {"offered": 1, "channel": "stable", "tier": "full", "drift": "light was 0.1, and is 0.9"}
    report = DeviceReport("line-1", "run", "a", 1, "f" * 64, **standing)  # type: ignore[arg-type]
    assert send(home, report) == ""
    page = urlopen(f"{pages}/belt", timeout=10).read().decode()
    assert "1 devices: 1 run release" in page and "line-1" in page and 'http-equiv="refresh"' in page
    told = urlopen(f"{pages}/metrics", timeout=10).read().decode()
    assert 'edgewright_fleet_devices{project="belt",release="1"} 1.0' in told
    assert 'edgewright_fleet_drifted_devices{project="belt"} 1.0' in told
    assert "edgewright_fleet_enrolled_total 1.0" in told
    with pytest.raises(SystemExit):
        main(["fleet", "page", "--project", "belt", "--out", str(tmp_path / "fleet.html")])
    assert "line-1" in (tmp_path / "fleet.html").read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_beside_something_else_it_is_served_where_somebody_wants_it_or_devices_look_for_it(
    settings: Settings, publish: Callable[..., None]
) -> None:
    said: list[str] = []
    with watched_beside(settings, wanted=False, pages_port=0, say=said.append) as none:
        assert (none, said) == (None, [])
    settings.fleet.mkdir(mode=0o700, parents=True)
    (settings.fleet / "collector.json").write_text(json.dumps({"port": free_port()}))
    publish(1)
    invited(settings, "belt", channel="stable", tier="full", device="", life_s=60.0)
    for wanted in (False, True):
        with watched_beside(settings, wanted=wanted, pages_port=0, say=said.append) as found:
            assert found is not None
            assert found.where == where_of(settings)
            assert "belt" in urlopen(found.pages, timeout=10).read().decode()


def test_what_cannot_be_served_beside_something_else_is_said_and_refused_where_it_is_wanted(settings: Settings) -> None:
    said: list[str] = []
    with collector_served(settings, port=free_port(), say=lambda line: None) as where:
        with watched_beside(settings, wanted=False, pages_port=0, say=said.append) as none:
            assert none is None
        assert said == [f"Collector this home's collector is served already (in {where.url})"]
        with (
            pytest.raises(HomeBusy, match="served already"),
            watched_beside(settings, wanted=True, pages_port=0, say=said.append),
        ):
            pass


def test_a_broker_is_named_at_the_command_line_and_without_its_password(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "home_settings", lambda: settings)
    with pytest.raises(SystemExit) as ended:
        main(["serve-collector", "--port", str(free_port()), "--pages-port", "0", "--mqtt", "mqtt://me:secret@gate"])
    said = capsys.readouterr().err
    assert (ended.value.code, "--mqtt @FILE" in said, "secret" in said) == (2, True, False)
