"""A home's fleet: invited, enrolled, heard and expelled by the commands that people type, over real TLS."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from edgewright.cli import fleet as commands
from edgewright.cli import main
from edgewright.device import cli as agent
from edgewright.device import commands as agent_commands
from edgewright.device import updater
from edgewright.device.enroll import enroll
from edgewright.device.files import Files
from edgewright.device.home import open_home
from edgewright.device.report import DeviceReport, send
from edgewright.device.start import start
from edgewright.device.token import Token
from edgewright.errors import ArtifactCorrupt, HomeBusy, InputError, StoreUnavailable, UpdateRefused
from edgewright.fleet.register import reports_of
from edgewright.release.address import address_in
from edgewright.release.server import serve_releases
from edgewright.settings import Settings, read_settings
from tasks.serve.collector import (
    Where,
    collector_served,
    history_in,
    invited,
    members_of,
    register_of,
    reports_in,
    require_collector,
    where_of,
)
from tasks.serve.fleet import fleet_of
from tests.brokers import broker, needs_mosquitto
from tests.collectors import running_collector
from tests.conftest import free_port
from tests.edgewright.device.conftest import selftest_here
from tests.listeners import closed_port
from tests.servers.postgres import postgres


@pytest.fixture
def port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def collector(settings: Settings, port: int) -> Iterator[Where]:
    with collector_served(settings, port=port, say=lambda line: None) as where:
        yield where


@pytest.fixture
def told(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `edgewright fleet …` prints."""
    monkeypatch.setattr(commands, "home_settings", lambda: settings)

    def run(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["fleet", *words])
        said = capsys.readouterr()
        assert (ended.value.code or 0) == code, said.err
        return said.out + said.err

    return run


def test_a_device_is_invited_enrolled_heard_and_expelled(
    settings: Settings,
    collector: Where,
    publish: Callable[..., None],
    told: Callable[..., str],
    cells_feed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    update = updater.update
    monkeypatch.setattr(updater, "update", lambda home, **words: update(home, selftest=selftest_here, **words))
    monkeypatch.setattr(agent_commands, "start", lambda slots: start(slots, selftest=selftest_here))
    monkeypatch.setattr(agent_commands, "keep_fastest", lambda home, bundle: None)
    publish(1)
    address = address_in(settings.releases)
    (tmp_path / "token").write_text(told("invite", "--project", "belt"))
    home = str(tmp_path / "device")
    assert agent.main(["enroll", "--home", home, "--token", str(tmp_path / "token"), "--device-id", "line-1"]) == 0
    config = open_home(Path(home), files=Files()).config
    assert (config.server_url, config.collector_url) == (f"{address.url}/belt", collector.url)
    assert reports_in(settings, "belt") == {}
    with serve_releases(settings.releases, host=address.host, port=address.port):
        assert agent.main(["update", "--home", home]) == 0
    out = str(tmp_path / "out")
    assert agent.main(["run", "--home", home, "--feed", str(cells_feed), "--out", out, "--threads", "1"]) == 0
    capsys.readouterr()
    assert agent.main(["check-in", "--home", home]) == 0
    assert "told all" in capsys.readouterr().out
    said = fleet_of(settings, "belt", "stable").told["line-1"]
    assert (said.release, said.on_trial, said.detections is not None) == (1, False, True)
    assert "line-1" in told("status", "--project", "belt")

    # Anybody can put a report into the box: of a project that has enrolled devices it counts for nothing.
    box = settings.releases / "belt/reports"
    box.mkdir(exist_ok=True)
    (box / "stranger.json").write_text(json.dumps({"device_id": "stranger"}))
    assert fleet_of(settings, "belt", "stable").devices == ["line-1"]

    told("expel", "line-1", "--project", "belt", "--why", "it was stolen")
    capsys.readouterr()
    assert agent.main(["check-in", "--home", home]) == 1
    assert "it was stolen" in capsys.readouterr().out
    assert fleet_of(settings, "belt", "stable").devices == []
    (member,) = members_of(settings, "belt")
    assert (member.device, member.why) == ("line-1", "it was stolen")


def test_a_token_leads_to_where_devices_find_the_collector(
    settings: Settings, port: int, publish: Callable[..., None], told: Callable[..., str]
) -> None:
    publish(1)
    with collector_served(settings, name="gate.example", port=port, say=lambda line: None) as where:
        assert where == Where("gate.example", "127.0.0.1", port)
    assert where_of(settings) == where
    token = Token.from_text(told("invite", "--project", "belt"))
    assert token.url == f"https://gate.example:{port}"
    assert "nothing is released" in told("invite", "--project", "nuts", code=2)
    assert "not a tier" in told("invite", "--project", "belt", "--tier", "huge", code=2)
    assert "no such device" in told("expel", "line-9", "--project", "belt", "--why", "x", code=2)


def test_what_would_not_be_found_or_is_taken_is_refused(settings: Settings, port: int, collector: Where) -> None:
    def serve(**words: object) -> None:
        with collector_served(settings, say=lambda line: None, **words):  # type: ignore[arg-type]
            pass

    with pytest.raises(HomeBusy, match="served already"):
        serve()
    with pytest.raises(InputError, match="devices elsewhere do not find it"):
        serve(host="0.0.0.0")


def test_a_port_that_is_taken(settings: Settings) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        number = int(taken.getsockname()[1])
        with (
            pytest.raises(StoreUnavailable, match="taken by another program"),
            collector_served(settings, port=number, say=lambda line: None),
        ):
            pass
    assert where_of(settings) == Where(), "what did not begin is not kept"


def test_an_address_that_cannot_be_read_is_said(settings: Settings) -> None:
    settings.fleet.mkdir(parents=True)
    (settings.fleet / "collector.json").write_text("{")
    with pytest.raises(ArtifactCorrupt, match="the collector's address"):
        where_of(settings)


def test_whether_it_is_well_is_asked_as_a_device_does(
    settings: Settings, collector: Where, port: int, tmp_path: Path
) -> None:
    require_collector(settings, collector)
    with pytest.raises(StoreUnavailable, match=r"does not answer as a device expects.*refused"):
        require_collector(settings, replace(collector, port=closed_port()))
    with (
        running_collector(tmp_path / "another") as another,
        pytest.raises(StoreUnavailable, match=r"does not answer as a device expects.*certificate"),
    ):
        require_collector(settings, replace(collector, port=another.port))


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("10.1.2.3", "gate.example"),  # its certificate is for that name
    ],
)
def test_where_this_machine_finds_it(host: str, here: str) -> None:
    assert Where("gate.example", host).here == here


@pytest.mark.slow
@pytest.mark.postgres
def test_a_register_in_postgresql(tmp_path: Path) -> None:
    """The same questions, over a real server, whose database is made; one that is refused takes no other with it."""
    with postgres() as url:
        if url is None:
            pytest.skip("needs Debian's package postgresql")
        settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home"), "EDGEWRIGHT_DATABASE": url})
        with register_of(settings) as engine, running_collector(tmp_path / "fleet", engine=engine) as collector:
            home = enroll(tmp_path / "device", collector.token(), files=Files(), device_id="line-1")
            for release in (1, 2):
                assert send(home, DeviceReport("line-1", "run", release=release, refused="\x00 is no text")) == ""
            with pytest.raises(UpdateRefused, match="no such invitation"):
                enroll(tmp_path / "b", replace(collector.token(), secret="guess"), files=Files(), device_id="b")
            told = [json.loads(each.body) for each in collector.events("line-1", "report")]
            assert [each["release"] for each in told] == [1, 2]
            assert [body["release"] for _, body in reports_of_all(engine).values()] == [2]
        assert [member.device for member in members_of(settings, "belt")] == ["line-1"]
        assert history_in(settings, "belt", since=0.0)[0][0] == "line-1"


def reports_of_all(engine: Engine) -> dict[str, tuple[float, dict[str, Any]]]:
    with engine.begin() as connection:
        return reports_of(connection, "belt")


@needs_mosquitto
def test_a_home_that_hears_at_a_broker_goes_on_to_and_a_device_says_which_way(
    settings: Settings, publish: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(1)
    port, folder, said = free_port(), tmp_path / "broker", list[str]()
    folder.mkdir()
    (folder / "address").write_text(f"mqtt://line:secret@127.0.0.1:{port}\n")
    address, home = f"@{folder / 'address'}", tmp_path / "device"
    with broker(folder, port):
        with collector_served(settings, port=free_port(), broker=address, say=said.append):
            token = invited(settings, "belt", channel="stable", tier="full", device="line-1", life_s=60.0)
            enroll(home, token, files=Files())
        before = (home / "device.json").read_bytes()
        assert agent.main(["line", "--home", str(home), "--mqtt", address]) == 0
        with collector_served(settings, say=said.append) as where:  # as `up` does: what was given is kept
            assert where.broker == address
            over = time.monotonic() + 20
            while not any("is heard" in line for line in said) and time.monotonic() < over:
                time.sleep(0.02)
            # At a port where nobody is, HTTPS would fail.
            elsewhere = replace(
                open_home(home, files=Files()).config, collector_url=f"https://127.0.0.1:{closed_port()}"
            )
            (home / "device.json").write_bytes(elsewhere.to_bytes())
            assert agent.main(["check-in", "--home", str(home)]) == 0, capsys.readouterr()
        assert set(reports_in(settings, "belt") or {}) == {"line-1"}
    with collector_served(settings, broker="off", say=said.append) as where:
        assert where.broker == ""
    (home / "device.json").write_bytes(before)
    capsys.readouterr()
    assert agent.main(["line", "--home", str(home), "--https"]) == 0
    assert "events go by HTTPS to https://" in capsys.readouterr().out
    assert (home / "device.json").read_bytes() == before, "as an older agent reads it"
    assert "secret" not in "".join(said) + (settings.fleet / "collector.json").read_text()


@pytest.mark.parametrize("address", ["mqtt://me:secret@gate", "http://gate", "mqtt://gate/topic"])
def test_a_broker_whose_password_all_could_read_or_that_is_none_is_refused(settings: Settings, address: str) -> None:
    with (
        pytest.raises(InputError, match=r"broker|address"),
        collector_served(settings, port=free_port(), broker=address, say=lambda line: None),
    ):
        pass
    assert not (settings.fleet / "collector.json").exists()
