"""Frames that wait: whole or not at all, wherever the power fails."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.device.files import Files
from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.hard import Chooser
from edgewright.device.home import DeviceConfig, Home, init_home
from edgewright.device.spool import CHOSEN_FILE, Spool, encoded
from edgewright.errors import InputError
from tests.cut_points import CountCutPoints
from tests.disks import CUTS, ERRORS, CutFiles, FastFiles, PowerCut

PICTURES = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)) for seed in range(3)
]

POLICY = FramesPolicy()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    config = DeviceConfig("line-1", "http://127.0.0.1:1", "stable")
    return init_home(tmp_path / "device", trust_root=b"{}", config=config, files=FastFiles())


def test_pixels_are_kept_exactly_and_nothing_else_is(home: Home) -> None:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E], exif[0x8825] = "the plant's gate", {1: "N", 2: (48.0, 8.0, 0.0)}
    PICTURES[0].save(stream, "PNG", exif=exif)
    with_data = Image.open(stream)
    payload = encoded(with_data)
    read = Image.open(io.BytesIO(payload))
    assert np.array_equal(np.asarray(read.convert("RGB")), np.asarray(PICTURES[0]))
    assert not read.getexif() and b"gate" not in payload and b"EXIF" not in payload


def test_frames_come_back_in_the_order_in_which_they_were_taken(home: Home) -> None:
    spool = Spool(home)
    names = [spool.keep(picture, {"at": float(-number)}) for number, picture in enumerate(PICTURES)]
    assert [frame.sha256 for frame in Spool(home).waiting()] == names[::-1]
    first = spool.waiting()[0]
    assert first.facts["width"] == 32 and first.facts["height"] == 24
    assert hashlib.sha256(first.picture.read_bytes()).hexdigest() == first.sha256
    assert spool.bytes == sum(frame.bytes for frame in spool.waiting())
    spool.remove(names[0])
    assert [frame.sha256 for frame in spool.waiting()] == [names[2], names[1]]


@pytest.mark.power
@pytest.mark.parametrize("disk", [*CUTS, *ERRORS])
def test_the_disk_fails_at_every_call_of_keeping_and_removing(
    home: Home, disk: type[CutFiles], cut_points: CountCutPoints
) -> None:
    """A frame that was kept before stays as it is; the new one is whole, or is none and is tidied away."""

    def work(files: Files) -> None:
        spool = Spool(replace(home, files=files))
        spool.tidy(POLICY)
        spool.keep(PICTURES[1], {"at": 1.0, "policy": POLICY.hides})
        spool.remove(Spool(home).waiting()[0].sha256)

    Spool(home).keep(PICTURES[0], {"at": 0.0, "policy": POLICY.hides})
    counting = CutFiles()
    work(counting)
    points = disk.points(counting)
    for at in points:
        for frame in Spool(home).waiting():
            Spool(home).remove(frame.sha256)
        kept = Spool(home).keep(PICTURES[0], {"at": 0.0, "policy": POLICY.hides})
        with pytest.raises((PowerCut, OSError)):
            work(disk(at))
        spool = Spool(home)
        spool.tidy(POLICY)
        frames = {frame.sha256: frame for frame in spool.waiting()}
        assert all(hashlib.sha256(frame.picture.read_bytes()).hexdigest() == name for name, frame in frames.items())
        assert kept in frames or len(frames) == 1, "it went because the next was there, and not before"
        left = {path.stem for path in spool.folder.iterdir() if path.suffix != ".new"}
        assert left == set(frames)
    cut_points("hard frame kept", disk.kind, len(points))


def test_what_a_disk_has_changed_is_no_frame(home: Home) -> None:
    spool = Spool(home)
    name = spool.keep(PICTURES[0], {"at": 0.0, "policy": POLICY.hides})
    (spool.folder / f"{name}.webp").write_bytes(b"short")
    assert spool.waiting() == []
    spool.tidy(POLICY)
    assert list(spool.folder.iterdir()) == []


def test_what_was_taken_is_known_after_a_restart(home: Home) -> None:
    policy, spool = FramesPolicy(an_hour=6), Spool(home)
    chooser = spool.chooser(policy)
    chooser.know(7)
    assert chooser.take({"doubt": 1.0}, 3, now=1000.0)
    spool.keep_chooser(chooser)
    again = Spool(home).chooser(policy)
    assert (again.budget, list(again.known), list(again.taken)) == (chooser.budget, [7], [3])
    (spool.folder / CHOSEN_FILE).write_bytes(b"[]")
    assert spool.chooser(policy) == Chooser(policy)


def test_what_was_kept_by_another_policy_goes(home: Home) -> None:
    """Of one that hides less, or of none: what is not hidden as it has to be now leaves nobody's device."""
    spool, stricter = Spool(home), FramesPolicy(blur=("person",))
    spool.keep(PICTURES[0], {"at": 0.0, "policy": POLICY.hides})
    kept = spool.keep(PICTURES[1], {"at": 1.0, "policy": stricter.hides})
    spool.tidy(replace(stricter, an_hour=1))
    assert [frame.sha256 for frame in spool.waiting()] == [kept]
    spool.tidy(None)
    assert spool.waiting() == [] and spool.bytes == 0


def test_there_is_room_for_what_fits(home: Home) -> None:
    spool, size = Spool(home), len(encoded(PICTURES[0]))
    spool.keep(PICTURES[0], {"at": 0.0}, room=size)
    with pytest.raises(InputError, match="no room"):
        spool.keep(PICTURES[1], {"at": 0.0}, room=size + 10)
    assert spool.bytes == size
