from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.device.feed import Folder, picture_of
from edgewright.device.page import Page, serve_page
from edgewright.device.sighting import Seen, Sighting
from edgewright.errors import StoreUnavailable
from edgewright.runtime.boxes import Boxes
from tests.conftest import free_port

MESSAGE = {"device": "line-1", "release": 3, "at": None, "frame": "000.png", "detections": []}


@pytest.fixture
def page() -> Iterator[tuple[Page, str]]:
    port = free_port()
    with serve_page(port) as running:
        yield running, f"http://127.0.0.1:{port}"


@pytest.fixture
def sighting(feed: Path) -> Sighting:
    frame = next(Folder(feed).frames())
    boxes = Boxes.of([[10.0, 10.0, 60.0, 60.0]], class_id=[0], score=[0.9])
    return Sighting(frame, MESSAGE, Seen(picture_of(np.zeros((96, 128, 3), np.uint8)), boxes, ("nut",)))


def test_the_newest_frame_with_its_boxes(page: tuple[Page, str], sighting: Sighting) -> None:
    running, url = page
    with urllib.request.urlopen(f"{url}/") as answer:
        assert b"page.js" in answer.read()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert json.load(urllib.request.urlopen(f"{url}/detections.json")) == {}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/frame.jpg")
    running.show(sighting)
    assert json.load(urllib.request.urlopen(f"{url}/detections.json")) == MESSAGE
    shown = np.asarray(Image.open(io.BytesIO(urllib.request.urlopen(f"{url}/frame.jpg?000.png").read())))
    assert shown.shape == (96, 128, 3)
    assert shown[10, 30:50].mean() > 60 > 20 > shown[80:, :].mean(), "the edge of the box is drawn, and nothing else"


@pytest.mark.parametrize("host", ["camera.example:80", "127.0.0.1.example", ""])
def test_a_page_elsewhere_is_told_nothing(page: tuple[Page, str], sighting: Sighting, host: str) -> None:
    """A name of a stranger's that was made to mean 127.0.0.1 (DNS rebinding)."""
    page[0].show(sighting)
    request = urllib.request.Request(f"{page[1]}/frame.jpg", headers={"Host": host})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)


def test_a_port_that_is_taken_is_said(page: tuple[Page, str]) -> None:
    with (
        pytest.raises(StoreUnavailable, match="the page cannot be served"),
        serve_page(int(page[1].rpartition(":")[2])),
    ):
        pass
