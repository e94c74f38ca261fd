"""Which server a home has: known by pid, beginning, command line and home; an orphan is ended, a stranger is not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewright.addresses import spare_loopback
from edgewright.processes import identity_of
from edgewright.settings import read_settings
from tasks.serve.prefect_server import PrefectServer, ServerRecord, answers, live_server, prefect_server, through
from tests.listeners import answering, closed_port

_SERVER = "tasks.serve.app:create_app"


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A process that looks like the server of a home, and serves nothing."""
    started = []

    def begin(home: Path, argument: str = _SERVER) -> subprocess.Popen[bytes]:
        code = "import time; print('up', flush=True); time.sleep(60)"
        environment = {**os.environ, "PREFECT_HOME": str(home / "prefect")}
        process = subprocess.Popen([sys.executable, "-c", code, argument], stdout=subprocess.PIPE, env=environment)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def write_record(home: Path, **values: Any) -> None:
    (home / "prefect").mkdir()
    (home / "prefect" / "server.json").write_text(json.dumps({"port": 4200, **values}))


def began(pid: int) -> float:
    found = identity_of(pid)
    assert found is not None
    assert found.began_s is not None
    return found.began_s


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_server_with_a_live_owner_is_found(tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    server = start(tmp_path)
    me = {"owner_pid": os.getpid(), "owner_began_s": began(os.getpid())}
    write_record(tmp_path, pid=server.pid, began_s=began(server.pid), **me)
    found = live_server(tmp_path)
    assert found == ServerRecord(server.pid, 4200, os.getpid(), began(server.pid), began(os.getpid()))
    assert server.poll() is None


def test_a_record_that_knows_no_beginnings_is_read(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    server = start(tmp_path)
    write_record(tmp_path, pid=server.pid, owner_pid=os.getpid())
    assert live_server(tmp_path) == ServerRecord(server.pid, 4200, os.getpid())


@pytest.mark.parametrize("pid_given_again", [False, True])
def test_an_orphan_is_ended(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]], pid_given_again: bool
) -> None:
    """Its owner is gone, also where another process has the owner's pid by now."""
    server = start(tmp_path)
    owner = {"owner_pid": os.getpid() if pid_given_again else dead_pid(), "owner_began_s": 0.5}
    write_record(tmp_path, pid=server.pid, began_s=began(server.pid), **owner)
    assert live_server(tmp_path) is None
    assert server.wait(10) == -15


@pytest.mark.parametrize(
    ("home", "argument", "later_s"),
    [
        ("other", _SERVER, 0.0),  # the server of another home
        ("home", "http.server", 0.0),  # another program
        ("home", _SERVER, 1.0),  # another one of this home, begun when the recorded one was gone
    ],
)
def test_a_stranger_with_the_pid_is_left_alone(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]], home: str, argument: str, later_s: float
) -> None:
    (tmp_path / "home").mkdir()
    stranger = start(tmp_path / home, argument)
    write_record(tmp_path / "home", pid=stranger.pid, owner_pid=dead_pid(), began_s=began(stranger.pid) - later_s)
    assert live_server(tmp_path / "home") is None
    assert stranger.poll() is None


def test_neither_a_proxy_nor_a_profile_comes_between_a_flow_and_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow, task

    (tmp_path / "profiles.toml").write_text('active = "x"\n[profiles.x]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n')
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    with answering(502) as proxy:
        named = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), proxy.url)
        named["NO_PROXY"] = ".corp"
        spare_loopback(named)
        for name, value in named.items():
            monkeypatch.setenv(name, value)
        with prefect_server(read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home")})) as server:
            server.wait()
            with through(server):
                assert flow(lambda: task(lambda: 7).submit().result())() == 7
    assert [asked for asked in proxy.requests if "127.0.0.1" in asked or "localhost" in asked] == []


@pytest.mark.parametrize(
    ("status", "body", "well"),
    [(200, b"true", True), (200, b"OK", True), (200, b"<html>", False), (503, b"true", False)],
)
def test_who_answers_well(status: int, body: bytes, well: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(status, body) as server, answering(200, b"true") as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert answers(server.url) == well
    assert (server.requests, proxy.requests) == (["GET /health"], [])
    assert not answers(f"http://127.0.0.1:{closed_port()}")


def test_a_run_in_a_notebook_waits_for_what_it_said(tmp_path: Path) -> None:
    """Where an event loop runs Prefect gives promises; one that nobody keeps is a warning, and so an error here."""
    settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path), "PREFECT_API_URL": "http://127.0.0.1:1/api"})

    async def in_a_loop() -> None:
        with through(PrefectServer(settings)):
            pass

    asyncio.run(in_a_loop())
