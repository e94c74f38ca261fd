from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.device.feed import FRAME_BYTES, Folder
from edgewright.device.files import Files
from edgewright.device.runner import run_feed
from edgewright.device.sighting import Sighting
from edgewright.errors import InputError
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine
from edgewright.runtime.pictures import decode_picture
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


def png_of_zeros(width: int, height: int, *, rows: int | None = None) -> bytes:
    """One bit a pixel, packed into a thousandth; of all rows unless told."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes((1 + width // 8) * (height if rows is None else rows)), 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(said)) + kind + said + struct.pack(">I", zlib.crc32(kind + said))
        for kind, said in ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    )


def test_a_frame_that_would_take_all_memory_is_a_line_and_is_not_kept(
    bundle: Bundle, feed: Path, tmp_path: Path
) -> None:
    """A picture of 100 megapixels in 12 kB, one that says it has 400, and a file of 64 GB that takes no disk."""
    (tmp_path / "feed").mkdir()
    (tmp_path / "feed/3-cells.png").write_bytes((feed / "000.png").read_bytes())
    (tmp_path / "feed/0-packed.png").write_bytes(png_of_zeros(10_000, 10_000))
    (tmp_path / "feed/1-says.png").write_bytes(png_of_zeros(20_000, 20_000, rows=1))
    with (tmp_path / "feed/2-long.jpg").open("wb") as stream:
        stream.truncate(1 << 36)
    report = run_feed(bundle, Folder(tmp_path / "feed"), tmp_path / "out", files=Files(), on_frame=ignore)
    assert (report.frames, report.unreadable, report.detections) == (1, 3, 2)
    lines = [json.loads(line) for line in (tmp_path / "out/detections.jsonl").read_text().splitlines()]
    assert [line.get("error") for line in lines] == [
        "picture too large to be decoded in one piece",
        "picture too large",
        "a file too long for a picture",
        None,
    ]
    assert [path.name for path in (tmp_path / "out/frames").iterdir()] == ["3-cells.png"]


def test_what_such_a_frame_holds_is_a_picture_where_there_is_memory_for_it() -> None:
    payload = png_of_zeros(7_000, 7_000)
    assert len(payload) < 20_000
    assert decode_picture(payload).file_wh == (7_000, 7_000)
    with pytest.raises(InputError, match=r"in one piece.*<= 0\.16 GB.*got 0\.2 GB for 7000x7000 px"):
        decode_picture(payload, max_memory_bytes=FRAME_BYTES)


def test_whoever_watches_is_given_the_feature_of_each_frame(
    bundle: Bundle, make_bundle: Callable[..., Path], feed: Path, tmp_path: Path
) -> None:
    """Of the frame itself: red and green cells move, and their mean stays; the detections are those without it."""
    lines = {}
    for name, one in (("with", Bundle.load(make_bundle(feature=2.0))), ("without", bundle)):
        seen: list[Sighting] = []
        run_feed(one, Folder(feed), tmp_path / name, files=Files(), on_frame=ignore, watchers=(seen.append,))
        lines[name] = (tmp_path / name / "detections.jsonl").read_bytes()
        features = [each.seen.feature for each in seen if each.seen]
        if name == "without":
            assert features == [None] * 6
            continue
        for feature in features:
            assert feature is not None
            np.testing.assert_allclose(feature, np.array([2, 2, 0]) * 230 / 255 / 4, rtol=1e-3, atol=1e-6)
    assert lines["with"] == lines["without"]
