from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewright.device.spool import encoded
from edgewright.fleet import frames as box_of_frames
from edgewright.fleet.frames import FramesBox
from edgewright.fleet.register import Refused

PICTURE = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)))


def facts(payload: bytes = PICTURE, **changes: Any) -> dict[str, Any]:
    known = {
        "sha256": hashlib.sha256(payload).hexdigest(),
        "bytes": len(payload),
        "width": 50,
        "height": 40,
        "at": 1000.0,
        "hard": 0.9,
        "release": 3,
        "manifest": "ab" * 32,
        "why": {"doubt": 0.9},
        "classes": ["red"],
        "detections": [],
        "doubted": [[1, 2, 3, 4, 0.5, 0]],
    }
    return {**known, **changes}


def send(box: FramesBox, payload: bytes, *, device: str = "line-1", **changes: Any) -> tuple[int, bool]:
    said = facts(payload, **changes)
    have, _ = box.begin("belt", device, said)
    return box.append("belt", device, said["sha256"], have, payload[have:])


def send_one(box: FramesBox, number: int, *, device: str = "line-1") -> None:
    """A whole frame, another for each number."""
    assert send(box, encoded(Image.new("RGB", (50, 40), (number, 0, 0))), device=device)[1]


def test_a_whole_frame_is_there_once(tmp_path: Path) -> None:
    box = FramesBox(tmp_path)
    assert box.begin("belt", "line-1", facts()) == (0, False)
    name = facts()["sha256"]
    assert box.append("belt", "line-1", name, 0, PICTURE[:100]) == (100, False)
    assert box.frames("belt") == []
    assert box.begin("belt", "line-1", facts()) == (100, False)
    assert box.append("belt", "line-1", name, 50, PICTURE[50:]) == (100, False), "not where it ended"
    assert box.append("belt", "line-1", name, 100, PICTURE[100:] + b"more") == (100, False)
    assert box.append("belt", "line-1", name, 100, PICTURE[100:]) == (len(PICTURE), True)
    assert box.begin("belt", "line-1", facts()) == (len(PICTURE), True)
    assert box.append("belt", "line-1", name, 0, PICTURE) == (len(PICTURE), True)
    [frame] = box.frames("belt")
    assert frame.picture.read_bytes() == PICTURE and frame.device == "line-1" and box.frames("other") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "../../etc/passwd"},
        {"bytes": 10**12},
        {"bytes": True},
        {"width": 0},
        {"at": float("nan")},
        {"hard": 2},
        {"classes": [3]},
        {"doubted": [[1, 2, 3]]},
        {"doubted": [[1, 2, 3, 4, 0.5, 1]]},
        {"doubted": [[1, 2, 3, 4, float("inf"), 0]]},
        {"detections": [[1, 2, 3, 4, 0.5, 0]] * 1001},
        {"frame": "x" * 200_000},
        {"classes": None},
        {"at": 1e300},
        {"manifest": None},
        {"why": {}},
        {"why": {"doubt": "much"}},
        {"release": 1.5},
    ],
)
def test_what_is_told_of_another_shape_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="of another shape"):
        FramesBox(tmp_path).begin("belt", "line-1", facts(**changes))


def test_what_is_no_picture_or_not_as_announced_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    box = FramesBox(tmp_path)
    with pytest.raises(Refused, match="no WebP"):
        send(box, b"GIF89a" + bytes(200))
    with pytest.raises(Refused, match="no picture"):
        send(box, PICTURE[:16] + bytes(len(PICTURE) - 16))
    with pytest.raises(Refused, match="not as its digest says"):
        send(box, PICTURE[::-1], sha256=facts()["sha256"])
    assert box.frames("belt") == [] and not list(tmp_path.rglob("*.webp*"))


def test_a_piece_that_nobody_announced_is_refused(tmp_path: Path) -> None:
    box = FramesBox(tmp_path)
    for name, reason in (("ab" * 32, "nobody announced"), ("../x", "not a frame's name")):
        with pytest.raises(Refused, match=reason):
            box.append("belt", "line-1", name, 0, b"x")
    with pytest.raises(Refused, match="not a device's name"):
        box.begin("belt", "../line-1", facts())


def test_a_device_fills_its_share_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_of_frames, "DEVICE_BYTES", len(PICTURE) + 500)
    box = FramesBox(tmp_path)
    assert send(box, PICTURE)[1]
    other = encoded(Image.new("RGB", (50, 40), "red"))
    with pytest.raises(Refused, match="fill its share"):
        send(box, other)
    assert send(box, other, device="line-2")[1]


def test_what_is_announced_counts_and_is_not_announced_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device announces thirty frames and sends them after: no more than its share is there at any time."""
    pictures = [encoded(Image.new("RGB", (50, 40), (number, 0, 0))) for number in range(30)]
    monkeypatch.setattr(box_of_frames, "DEVICE_BYTES", 3_000)
    box, refused = FramesBox(tmp_path), 0
    for payload in pictures:
        try:
            box.begin("belt", "line-1", facts(payload))
        except Refused:
            refused += 1
    for payload in pictures:
        try:
            box.append("belt", "line-1", facts(payload)["sha256"], 0, payload)
        except Refused:
            refused += 1
    held = sum(path.stat().st_size for path in (tmp_path / "belt/line-1").iterdir())
    assert held <= 3_000 and refused >= 22 and 1 <= len(box.frames("belt")) <= box_of_frames.MAX_OPEN
    monkeypatch.setattr(box_of_frames, "DEVICE_BYTES", 10**9)
    for payload in pictures:
        box.begin("belt", "line-2", facts(payload))
    assert len(list((tmp_path / "belt/line-2").glob("*.said"))) == box_of_frames.MAX_OPEN


def test_a_frame_that_is_forgotten_leaves_its_share(tmp_path: Path) -> None:
    """And what a forgetting before it had left, when that was cut off after the facts."""
    box = FramesBox(tmp_path)
    for number in range(3):
        send_one(box, number)
    box.begin("belt", "line-1", facts())  # one that comes just now
    first, second, third = box.frames("belt")
    (tmp_path / "belt/line-1" / f"{second.sha256}.json").unlink()
    box.forget(first)
    box.forget(first)
    assert [frame.sha256 for frame in box.frames("belt")] == [third.sha256]
    assert not first.picture.exists() and not second.picture.exists()
    assert box.append("belt", "line-1", facts()["sha256"], 0, PICTURE) == (len(PICTURE), True)
