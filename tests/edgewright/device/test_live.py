"""A video that is really decoded, and a camera that really streams: GStreamer's RTSP server, by Debian's packages."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.device.feed import open_feed
from edgewright.errors import InputError
from tests.conftest import free_port

cv2 = pytest.importorskip("cv2")

COLORS = ((200, 20, 20), (20, 200, 20), (20, 20, 200))
_PYTHON = "/usr/bin/python3"
_GSTREAMER = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def _has_server() -> bool:
    try:
        done = subprocess.run([_PYTHON, "-c", _GSTREAMER], capture_output=True, timeout=60, check=False)
    except OSError:
        return False
    return done.returncode == 0


def color(number: int) -> Image.Image:
    return Image.fromarray(np.full((120, 160, 3), COLORS[number % len(COLORS)], np.uint8))


def nearest(pixels: np.ndarray) -> int:
    """Which of COLORS a picture shows."""
    mean = pixels.reshape(-1, 3).mean(0)
    return int(np.argmin([np.abs(mean - each).sum() for each in COLORS]))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        color(number).save(folder / f"{number:03d}.jpg", quality=95)
    return folder


@contextmanager
def streaming(port: int, pictures: Path, *, rate: int) -> Iterator[str]:
    command = [_PYTHON, "tests/servers/rtsp.py", str(port), str(pictures / "%03d.jpg"), str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout and server.stdout.readline() == "ready\n"
            yield f"rtsp://127.0.0.1:{port}/camera"
        finally:
            server.kill()


def test_a_video_gives_every_frame_in_order(tmp_path: Path) -> None:
    path = tmp_path / "line.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for number in range(5):
        writer.write(np.asarray(color(number))[:, :, ::-1])
    writer.release()
    with open_feed(str(path)) as feed:
        feed.check()
        frames = list(feed.frames())
    assert [frame.name for frame in frames] == [f"line-{number:08d}.jpg" for number in range(5)]
    assert [nearest(frame.read(160).pixels) for frame in frames] == [0, 1, 2, 0, 1]
    assert frames[0].encoded().startswith(b"\xff\xd8"), "a JPEG for whoever keeps it"


@pytest.mark.parametrize("content", [None, b"no video"])
def test_a_video_without_a_frame_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "line.mp4").write_bytes(content)
    with open_feed(str(tmp_path / "line.mp4")) as feed, pytest.raises(InputError, match="no frame can be read"):
        feed.check()


def test_a_stream_that_is_not_there_is_refused_or_waited_for() -> None:
    address = f"rtsp://me:secret@127.0.0.1:{free_port()}/camera"
    with open_feed(address) as feed, pytest.raises(InputError, match="cannot be opened") as refused:
        feed.check()
    assert "secret" not in str(refused.value)
    said: list[str] = []
    with open_feed(address, say=said.append) as feed:
        over = time.monotonic() + 30
        assert list(feed.frames(until=lambda: bool(said) or time.monotonic() > over)) == []
    assert said and "waiting for it" in said[0] and "secret" not in said[0]


@pytest.mark.skipif(not _has_server(), reason="no RTSP server: Debian's gir1.2-gst-rtsp-server-1.0 and python3-gi")
def test_a_camera_shows_what_is_now_and_comes_back(pictures: Path) -> None:
    port, said = free_port(), list[str]()
    over = time.monotonic() + 90
    with streaming(port, pictures, rate=20) as address, open_feed(address, say=said.append) as feed:
        names: list[str] = []
        for frame in feed.frames(until=lambda: len(names) == 4 or time.monotonic() > over):
            assert frame.at is not None and abs(time.time() - frame.at) < 5
            assert frame.read(160).pixels.shape == (120, 160, 3)
            names.append(frame.name)
            time.sleep(0.2)
        assert names == sorted(set(names)) and len(names) == 4
        assert feed.missed >= 4, "at 20 a second and 5 looked at, most are not"
    with open_feed(address, say=said.append) as feed:
        with streaming(port, pictures, rate=20):
            assert next(feed.frames(until=lambda: time.monotonic() > over)).name
        list(feed.frames(until=lambda: any("lost" in each for each in said) or time.monotonic() > over))
        with streaming(port, pictures, rate=20):
            assert next(feed.frames(until=lambda: time.monotonic() > over)).name
    assert any(each.endswith("is back") for each in said), said
