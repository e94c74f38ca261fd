from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.device.feed import Folder
from edgewright.device.files import Files
from edgewright.device.runner import run_feed
from edgewright.errors import InputError
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine
from tests.goldens import Golden


def ignore(_: int) -> None:
    pass


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    return Bundle.load(make_bundle())


def test_a_feed_is_read_in_name_order_and_a_broken_frame_is_a_line(bundle: Bundle, feed: Path, tmp_path: Path) -> None:
    done: list[int] = []
    report = run_feed(bundle, Folder(feed), tmp_path / "out", files=Files(), on_frame=done.append)
    assert (report.frames, report.unreadable, report.detections, done) == (6, 1, 12, [1, 2, 3, 4, 5, 6])
    assert 0 < report.p50_ms <= report.p99_ms
    lines = [json.loads(line) for line in (tmp_path / "out/detections.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == sorted(line["frame"] for line in lines)
    assert lines[3] == {"frame": "003-broken.png", "error": "not a picture"}
    assert lines[0]["detections"][0] == {"class": "red", "class_id": 0, "score": 0.902, "xyxy": [2.0, 2.0, 30.0, 30.0]}
    assert (tmp_path / "out/frames/000.png").read_bytes() == (feed / "000.png").read_bytes()


def test_the_lines_of_a_feed(bundle: Bundle, feed: Path, tmp_path: Path, golden: Golden) -> None:
    run_feed(bundle, Folder(feed), tmp_path / "out", files=Files(), on_frame=ignore)
    golden("detections.jsonl", (tmp_path / "out/detections.jsonl").read_bytes())


def test_the_same_feed_gives_the_same_bytes(bundle: Bundle, feed: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run_feed(bundle, Folder(feed), tmp_path / name, files=Files(), on_frame=ignore, engine=Engine(threads=2))
    assert (tmp_path / "one/detections.jsonl").read_bytes() == (tmp_path / "two/detections.jsonl").read_bytes()


def test_a_limit(bundle: Bundle, feed: Path, tmp_path: Path) -> None:
    assert run_feed(bundle, Folder(feed), tmp_path / "out", files=Files(), on_frame=ignore, limit=2).frames == 2


@pytest.mark.parametrize("content", [None, {}, {"a.txt": b"x"}, {"a.png": b"no picture"}])
def test_a_feed_without_a_picture_is_refused(bundle: Bundle, tmp_path: Path, content: dict[str, bytes] | None) -> None:
    if content is not None:
        (tmp_path / "feed").mkdir()
    for name, payload in (content or {}).items():
        (tmp_path / "feed" / name).write_bytes(payload)
    with pytest.raises(InputError, match="feed"):
        run_feed(bundle, Folder(tmp_path / "feed"), tmp_path / "out", files=Files(), on_frame=ignore)
