"""A collector that was broken into: its certificate is right, and nothing that it says is more than an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgewright.device.collector import MAX_ANSWER_BYTES
from edgewright.device.enroll import enroll
from edgewright.device.files import Files
from edgewright.device.home import Home
from edgewright.device.outbox import opened
from edgewright.device.report import DeviceReport, send
from edgewright.fleet.authority import server_files
from edgewright.fleet.listener import listening
from tests.collectors import running_collector


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its authority."""
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture
def home(fleet: Path, tmp_path: Path) -> Home:
    with running_collector(fleet) as collector:
        return enroll(tmp_path / "device", collector.token(device="line-1"), files=Files())


@contextmanager
def broken_into(fleet: Path, home: Home, answer: bytes) -> Iterator[Home]:
    """The device, where a program with the collector's own key answers each of its questions with this."""

    async def say(_: Request) -> Response:
        return Response(answer, media_type="application/json")

    opens = server_files(fleet, {"127.0.0.1"}, now=datetime.now(UTC))
    application = Starlette(routes=[Route("/{path:path}", say, methods=["GET", "POST"])])
    with listening(application, fleet, key_opened_by=opens, host="127.0.0.1", port=0) as line:
        yield replace(home, config=replace(home.config, collector_url=f"https://127.0.0.1:{line.port}"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b" " * (MAX_ANSWER_BYTES + 1), "answer is too long"),
        (b"[" * 100_000, "answer is no JSON"),
        (b"[]", "answer is no object"),
        (b"{}", "answer cannot be used"),
        (b'{"acknowledged": "all", "beyond": 9}', "answer cannot be used"),
        (json.dumps({"acknowledged": [], "beyond": 2**60}).encode(), "answer cannot be used"),
        (b'{"acknowledged": [7, 8, 9], "beyond": 0}', "does not take the events"),
    ],
)
def test_what_is_no_answer_is_refused_and_nothing_is_forgotten(
    fleet: Path, home: Home, answer: bytes, said: str
) -> None:
    with broken_into(fleet, home, answer) as misled:
        assert said in send(misled, DeviceReport("line-1", "run"))
    with opened(home) as outbox:
        assert [(event.seq, event.kind) for event in outbox.waiting()] == [(1, "state"), (2, "report")]


def test_an_answer_commands_nothing(fleet: Path, home: Home) -> None:
    """Whatever stands beside what was asked for."""
    orders = {"plan": {"release": 9}, "update": True, "server_url": "http://elsewhere", "wish": {"pin": 9}}
    before = {path: path.read_bytes() for path in files_of(home)}
    answer = json.dumps({**orders, "acknowledged": [1, 2], "beyond": 2}).encode()
    with broken_into(fleet, home, answer) as misled:
        assert send(misled, DeviceReport("line-1", "run")) == ""
    assert {path: path.read_bytes() for path in files_of(home)} == before


def files_of(home: Home) -> list[Path]:
    return [path for path in home.root.rglob("*") if path.is_file() and not path.name.startswith("outbox.")]
