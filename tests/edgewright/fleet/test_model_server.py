"""Whom the larger model answers, and what it refuses: real TLS, certificates of a real register."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from edgewright.device.home import Home
from edgewright.errors import StoreUnavailable
from edgewright.fleet import model_server as module
from edgewright.runtime.boxes import Boxes
from tests.collectors import RunningCollector, context_of, running_collector
from tests.model_servers import NAME, Seen, application_of, enrolled, listening_as_model

FOUND = Boxes.of([[2.0, 2.0, 30.0, 30.0]], class_id=[1], score=[0.9])


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    with running_collector(tmp_path / "fleet") as running:
        yield running


@pytest.fixture
def home(collector: RunningCollector, tmp_path: Path) -> Home:
    return enrolled(collector, tmp_path / "device")


def jpeg(width: int = 64, height: int = 48) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def say(
    url: str,
    collector: RunningCollector,
    home: Home | None,
    body: bytes,
    *,
    method: str = "POST",
    path: str = "/detect",
) -> tuple[int, dict[str, Any], dict[str, str]]:
    connection = HTTPSConnection("127.0.0.1", urlsplit(url).port, timeout=10, context=context_of(collector, home))
    try:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        payload = answer.read()
        return answer.status, json.loads(payload) if payload.startswith(b"{") else {}, dict(answer.getheaders())
    finally:
        connection.close()


def test_an_enrolled_device_is_answered_by_name(collector: RunningCollector, home: Home, tmp_path: Path) -> None:
    seen = Seen(lambda image: FOUND)
    with listening_as_model(tmp_path / "fleet", application_of(collector, seen)) as url:
        status, told, _ = say(url, collector, home, jpeg())
        assert say(url, collector, None, b"", method="GET", path="/health")[0] == 204
        assert say(url, collector, home, b"", method="GET", path="/../etc/passwd")[0] == 404
    row = {"class": "green", "score": pytest.approx(0.9), "xyxy": [2.0, 2.0, 30.0, 30.0]}
    assert (status, told) == (200, {"model": NAME, "detections": [row]})
    assert [picture.shape for picture in seen.pictures] == [(48, 64, 3)]


def test_who_is_not_enrolled_or_was_expelled_is_refused_before_its_picture_is_read(
    collector: RunningCollector, home: Home, tmp_path: Path
) -> None:
    seen = Seen(lambda image: FOUND)
    with listening_as_model(tmp_path / "fleet", application_of(collector, seen)) as url:
        assert say(url, collector, None, jpeg())[:2] == (
            403,
            {"why": "a device's certificate is wanted: enroll first"},
        )
        collector.expel("line-1", "it was stolen")
        assert say(url, collector, home, jpeg())[:2] == (403, {"why": "line-1 was expelled: it was stolen"})
    assert seen.pictures == []


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 400, "an empty file"),
        (b"\xff\xd8 not really", 400, "not a picture"),
        (b"P5 60000 60000 255\n", 400, "picture too large"),
        (jpeg()[:300], 400, "corrupt or truncated"),
        (b"x" * (module.MAX_PICTURE_BYTES + 1), 413, "a body of more than"),
    ],
    ids=["nothing", "no picture", "a bomb", "cut off", "endless"],
)
def test_what_is_no_picture_or_a_bomb_is_refused_and_the_next_one_answered(
    collector: RunningCollector, home: Home, tmp_path: Path, body: bytes, status: int, why: str
) -> None:
    seen = Seen(lambda image: FOUND)
    with listening_as_model(tmp_path / "fleet", application_of(collector, seen)) as url:
        got, told, _ = say(url, collector, home, body)
        assert got == status and why in told["why"], told
        assert seen.pictures == []
        assert say(url, collector, home, jpeg())[0] == 200


def test_a_decompression_bomb_is_refused_from_its_header(
    collector: RunningCollector, home: Home, tmp_path: Path
) -> None:
    stream = io.BytesIO()
    Image.new("L", (10_000, 10_000)).save(stream, "PNG")
    assert len(stream.getvalue()) < module.MAX_PICTURE_BYTES
    with listening_as_model(tmp_path / "fleet", application_of(collector, lambda image: FOUND)) as url:
        status, told, _ = say(url, collector, home, stream.getvalue())
    assert status == 400 and "too large" in told["why"]


def test_who_comes_beyond_what_is_under_way_is_told_to_come_again(
    collector: RunningCollector, home: Home, tmp_path: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def waiting(_: Any) -> Boxes:
        begun.set()
        go_on.wait(10)
        return FOUND

    statuses: list[int] = []
    with listening_as_model(tmp_path / "fleet", application_of(collector, waiting, at_once=1)) as url:
        first = threading.Thread(target=lambda: statuses.append(say(url, collector, home, jpeg())[0]))
        first.start()
        assert begun.wait(10)
        began = time.monotonic()
        status, told, headers = say(url, collector, home, jpeg())
        assert (status, told["why"], headers["retry-after"]) == (503, "too many pictures at once", "1")
        assert time.monotonic() - began < 5
        go_on.set()
        first.join()
        assert statuses == [200] and say(url, collector, home, jpeg())[0] == 200


def test_a_picture_that_drips_is_left(
    collector: RunningCollector, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BODY_WITHIN_S", 0.3)
    with listening_as_model(tmp_path / "fleet", application_of(collector, lambda image: FOUND, at_once=1)) as url:
        context = context_of(collector, home)
        connection = HTTPSConnection("127.0.0.1", urlsplit(url).port, timeout=10, context=context)
        connection.putrequest("POST", "/detect")
        connection.putheader("Content-Length", "1000")
        connection.endheaders(b"\xff\xd8")
        answer = connection.getresponse()
        assert answer.status == 403 and b"takes longer" in answer.read()
        connection.close()
        assert say(url, collector, home, jpeg())[0] == 200, "and its place is free again"


def test_without_its_register_it_hears_nobody(collector: RunningCollector, home: Home, tmp_path: Path) -> None:
    def away(_: dict[str, str]) -> None:
        raise StoreUnavailable("the fleet's register cannot be used", got="a secret path")

    seen = Seen(lambda image: FOUND)
    with listening_as_model(tmp_path / "fleet", application_of(collector, seen, admit=away)) as url:
        status, told, _ = say(url, collector, home, jpeg())
    assert (status, told, seen.pictures) == (503, {"why": "the fleet's register cannot be used"}, [])
