"""Frames on their way to a real collector over TLS, that is away, breaks off or refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.device import upload as uploads
from edgewright.device.enroll import enroll
from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.home import Home, keep_wish
from edgewright.device.identity import Identity
from edgewright.device.keeping import keep_policy
from edgewright.device.offer import Wish
from edgewright.device.report import tell
from edgewright.device.spool import Spool
from edgewright.device.upload import upload
from edgewright.errors import DeviceUnreachable, UpdateRefused
from edgewright.fleet.frames import FramesBox
from tests.collectors import PROJECT, RunningCollector, running_collector
from tests.conftest import free_port
from tests.cut_points import CountCutPoints
from tests.disks import BrokenDisk, CutFiles, FastFiles, LossyFiles, PowerCut, ReadOnlyDisk

POLICY = FramesPolicy()
FACTS = {
    "at": 1000.0,
    "frame": "0.png",
    "release": 3,
    "manifest": "ab" * 32,
    "policy": POLICY.hides,
    "classes": ["red"],
    "why": {"doubt": 0.9},
    "hard": 0.9,
    "detections": [],
    "doubted": [[1.0, 2.0, 3.0, 4.0, 0.4, 0]],
}


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningCollector, FramesBox]]:
    folder = tmp_path_factory.mktemp("fleet")
    with running_collector(folder) as running:
        yield running, FramesBox(folder / "frames")


@pytest.fixture
def home(collector: tuple[RunningCollector, FramesBox], tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    name = f"line-{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}"
    made = enroll(tmp_path / "device", collector[0].token(device=name), files=FastFiles())
    keep_policy(made, POLICY)
    return made


def arrived(box: FramesBox, home: Home) -> dict[str, bytes]:
    frames = [frame for frame in box.frames(PROJECT) if frame.device == home.config.device_id]
    return {frame.sha256: frame.picture.read_bytes() for frame in frames}


def test_frames_arrive_in_pieces_once_and_go(
    collector: tuple[RunningCollector, FramesBox], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PIECE_BYTES", 1000)
    spool = Spool(home)
    kept = {spool.keep(noise(seed), {**FACTS, "at": float(seed)}) for seed in range(3)}
    payloads = {frame.sha256: frame.picture.read_bytes() for frame in spool.waiting()}
    assert upload(home, Identity(home.identity).context()) == 3
    assert arrived(collector[1], home) == payloads and set(payloads) == kept
    assert spool.waiting() == [] and upload(home, Identity(home.identity).context()) == 0
    frame = collector[1].frames(PROJECT)[-1]
    assert frame.facts["why"] == {"doubt": 0.9} and frame.facts["doubted"] == FACTS["doubted"]


def test_a_line_that_breaks_goes_on_where_it_was(
    collector: tuple[RunningCollector, FramesBox], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time a single piece passes; the collector is asked what it has, and no byte is sent twice."""
    monkeypatch.setattr(uploads, "PIECE_BYTES", 1000)
    sent: list[int] = []
    ask = uploads.ask

    def breaking(url: str, path: str, **given: object) -> object:
        payload = given.get("payload")
        if isinstance(payload, bytes):
            sent.append(len(payload))
            ask(url, path, **given)  # type: ignore[arg-type]
            raise DeviceUnreachable("the line broke, and the answer with it")
        return ask(url, path, **given)  # type: ignore[arg-type]

    name = Spool(home).keep(noise(9), FACTS)
    size = Spool(home).waiting()[0].bytes
    monkeypatch.setattr(uploads, "ask", breaking)
    for _ in range(-(-size // 1000)):
        with pytest.raises(DeviceUnreachable):
            upload(home, Identity(home.identity).context())
    assert upload(home, Identity(home.identity).context()) == 1, "it is told that all is there"
    assert sum(sent) == size and name in arrived(collector[1], home)


@pytest.mark.power
@pytest.mark.parametrize("disk", [CutFiles, LossyFiles, ReadOnlyDisk, BrokenDisk])  # it writes nothing, and removes
def test_the_disk_fails_at_every_call(
    collector: tuple[RunningCollector, FramesBox], home: Home, disk: type[CutFiles], cut_points: CountCutPoints
) -> None:
    context, counting = Identity(home.identity).context(), CutFiles()
    Spool(home).keep(noise(20), FACTS)
    upload(replace(home, files=counting), context)
    points = disk.points(counting)
    for at in points:
        name = Spool(home).keep(noise(20 + at), FACTS)
        with pytest.raises((PowerCut, OSError)):
            upload(replace(home, files=disk(at)), context)
        Spool(home).tidy(POLICY)
        upload(home, context)
        assert Spool(home).waiting() == [] and name in arrived(collector[1], home)
    assert len(arrived(collector[1], home)) == len(points) + 1, "none lost, none twice"
    cut_points("hard frame sent", disk.kind, len(points))


def test_one_that_is_refused_is_in_nobody_s_way(collector: tuple[RunningCollector, FramesBox], home: Home) -> None:
    bad = Spool(home).keep(noise(30), {**FACTS, "at": 0.0, "hard": 7})
    good = Spool(home).keep(noise(31), FACTS)
    with pytest.raises(UpdateRefused, match="of another shape"):
        upload(home, Identity(home.identity).context())
    assert Spool(home).waiting() == [] and bad not in arrived(collector[1], home)
    assert set(arrived(collector[1], home)) == {good}


def test_they_are_told_after_the_events_and_in_the_hours_for_files(
    collector: tuple[RunningCollector, FramesBox], home: Home
) -> None:
    name = Spool(home).keep(noise(40), FACTS)
    hour = datetime.now().astimezone().hour
    keep_wish(home, Wish(window=f"{(hour + 2) % 24}-{(hour + 3) % 24}"))
    assert tell(home) == "" and name not in arrived(collector[1], home)
    keep_wish(home, Wish())
    assert tell(home) == "" and name in arrived(collector[1], home)


def test_a_collector_that_is_away_loses_nothing(home: Home) -> None:
    away = replace(home, config=replace(home.config, collector_url=f"https://127.0.0.1:{free_port()}"))
    name = Spool(home).keep(noise(50), FACTS)
    with pytest.raises(DeviceUnreachable):
        upload(away, Identity(home.identity).context())
    assert [frame.sha256 for frame in Spool(home).waiting()] == [name]


def test_a_policy_that_was_taken_back_stops_what_waits(
    collector: tuple[RunningCollector, FramesBox], home: Home
) -> None:
    name = Spool(home).keep(noise(60), FACTS)
    keep_policy(home, None)
    assert upload(home, Identity(home.identity).context()) == 0
    assert Spool(home).waiting() == [] and name not in arrived(collector[1], home)
