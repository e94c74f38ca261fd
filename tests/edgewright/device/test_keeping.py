"""A real model on real frames: which are kept, what is hidden on them, and what keeps them from being kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.device.feed import Folder, Frame, jpeg_of, picture_of
from edgewright.device.files import Files
from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.hiding import BLUR_FOLDER
from edgewright.device.home import DeviceConfig, Home, init_home
from edgewright.device.keeping import Keeping, keep_policy, policy_of, with_policy
from edgewright.device.runner import run_feed
from edgewright.device.sighting import Seen, Sighting
from edgewright.device.spool import Spool
from edgewright.release.keys import read_keys
from edgewright.release.repository import ReleaseReport, set_policy
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.bundle import Bundle
from tests.cells import cell_picture
from tests.edgewright.device.conftest import Device

MakeBundle = Callable[..., Path]
ANY = FramesPolicy(an_hour=600, a_day=600)
DIFFERENT = 3
"""Of the four pictures two have one fingerprint."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    config = DeviceConfig("line-1", "http://127.0.0.1:1", "stable")
    return init_home(tmp_path / "device", trust_root=b"{}", config=config, files=Files())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Red and green cells of full light, whose scores are 0.902 times the gain."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(cell_picture(number, (number + 1) % 4)).save(folder / f"{number}.png")
    return folder


def run(home: Home, bundle: Path, feed: Path, say: Callable[[str], None] = print) -> list[dict[str, object]]:
    """Facts of what waits after a round."""
    loaded = Bundle.load(bundle)
    keeping = with_policy(home, loaded, say=say)
    watchers = (keeping,) if keeping else ()
    floor = keeping.floor if keeping else None
    out = home.root.with_name("out")
    run_feed(loaded, Folder(feed), out, files=Files(), on_frame=lambda _: None, watchers=watchers, floor=floor)
    if keeping:
        keeping.flush()
    return [dict(frame.facts) for frame in Spool(home).waiting()]


def test_nothing_is_kept_that_no_policy_asks_for(home: Home, make_bundle: MakeBundle, pictures: Path) -> None:
    assert run(home, make_bundle(gain=0.56), pictures) == []
    keep_policy(home, ANY)
    assert policy_of(home) == ANY
    assert len(run(home, make_bundle(gain=0.56), pictures)) == DIFFERENT
    keep_policy(home, None)
    assert policy_of(home) is None and with_policy(home, Bundle.load(make_bundle()), say=print) is None


def test_what_the_detector_is_sure_of_is_not_kept(home: Home, make_bundle: MakeBundle, pictures: Path) -> None:
    keep_policy(home, ANY)
    assert run(home, make_bundle(gain=1.0), pictures) == []


def test_a_doubted_frame_is_told_with_every_box(home: Home, make_bundle: MakeBundle, pictures: Path) -> None:
    """Just below the threshold of 0.5: nothing is detected, and that is what a person should see."""
    keep_policy(home, ANY)
    bundle = make_bundle(release=7, gain=0.5)
    told = run(home, bundle, pictures)
    assert len(told) == DIFFERENT
    facts = told[0]
    assert facts["detections"] == [] and facts["release"] == 7 and facts["classes"] == ["red", "green"]
    assert facts["manifest"] == Bundle.load(bundle).manifest_sha256
    doubted = facts["doubted"]
    assert isinstance(doubted, list) and sorted(row[5] for row in doubted) == [0, 1]
    assert all(row[4] == pytest.approx(0.451, abs=0.001) for row in doubted)
    why = facts["why"]
    assert isinstance(why, dict) and why["doubt"] == facts["hard"] == pytest.approx(1 - 0.049 / 0.15, abs=0.01)
    assert run(home, bundle, pictures) == told, "the same frames are not taken twice"


def test_a_class_is_hidden_before_the_picture_is_written(home: Home, make_bundle: MakeBundle, pictures: Path) -> None:
    keep_policy(home, FramesPolicy(an_hour=600, a_day=600, blur=("red",)))
    [facts, *_] = run(home, make_bundle(gain=0.5), pictures)
    assert facts["hidden"] == 1
    frame = Spool(home).waiting()[0]
    kept = np.asarray(Image.open(frame.picture))
    before = np.asarray(Image.open(pictures / str(facts["frame"])))
    red, green = before[..., 0] > 0, before[..., 1] > 0
    assert len(np.unique(kept[red].reshape(-1, 3), axis=0)) > 1, "squares of a mean, not the cell"
    assert not np.array_equal(kept[red], before[red])
    ys, xs = np.nonzero(green)
    inner = (slice(ys.min() + 8, ys.max() - 8), slice(xs.min() + 8, xs.max() - 8))
    assert np.array_equal(kept[inner], before[inner])


@pytest.mark.parametrize("case", ["no such class", "no bundle", "another bundle"])
def test_what_cannot_be_hidden_is_not_kept_and_that_is_said(
    home: Home, make_bundle: MakeBundle, pictures: Path, case: str
) -> None:
    blur, digest = (("person",), "") if case == "no such class" else ((), "ab" * 32)
    if case == "another bundle":
        make_bundle().rename(home.root / BLUR_FOLDER)
    keep_policy(home, FramesPolicy(an_hour=600, a_day=600, blur=blur, blur_bundle=digest))
    said: list[str] = []
    assert run(home, make_bundle(gain=0.5), pictures, said.append) == []
    assert len(said) == 1 and said[0].startswith("no hard frame is kept: ")


def test_a_bundle_of_its_own_finds_what_is_hidden(home: Home, make_bundle: MakeBundle, pictures: Path) -> None:
    finder = Bundle.load(make_bundle().rename(home.root / BLUR_FOLDER))
    keep_policy(home, FramesPolicy(an_hour=600, a_day=600, blur_bundle=finder.manifest_sha256))
    [facts, *_] = run(home, make_bundle(gain=0.5), pictures)
    assert facts["hidden"] == 2, "the finder finds both, the detector none"


def test_frames_that_wait_have_their_share(home: Home, make_bundle: MakeBundle, pictures: Path) -> None:
    keep_policy(home, FramesPolicy(an_hour=600, a_day=600, max_bytes=1))
    said: list[str] = []
    assert run(home, make_bundle(gain=0.5), pictures, said.append) == []
    assert len(said) == 1 and "no room for a hard frame" in said[0]


def test_an_object_that_flickers_between_two_frames_is_kept(home: Home, make_bundle: MakeBundle) -> None:
    """Of a live feed alone: pictures of a folder are no neighbors."""
    keeping = Keeping(home, Bundle.load(make_bundle()), ANY, print)
    rgb = np.asarray(Image.effect_noise((128, 96), 80).convert("RGB"))
    there = Boxes.of([[10.0, 10.0, 40.0, 40.0]], class_id=[0], score=[0.9])
    for number, boxes in enumerate((there, Boxes.empty(), there)):
        frame = Frame(f"{number}.jpg", 1000.0 + number, lambda _: picture_of(rgb), lambda: jpeg_of(picture_of(rgb).rgb))
        keeping(Sighting(frame, {}, Seen(picture_of(rgb), boxes, ("red", "green"))))
    keeping.flush()
    [kept] = Spool(home).waiting()
    assert kept.facts["frame"] == "1.jpg" and kept.facts["why"]["flicker"] == pytest.approx(0.9)


def test_a_policy_comes_by_the_channel_and_goes_by_it(
    make_bundle: MakeBundle,
    publish: Callable[[Path], ReleaseReport],
    make_device: Callable[..., Device],
    tmp_path: Path,
) -> None:
    """Signed with the floor; a device that is up to date hears of it too."""
    publish(make_bundle(release=1))
    device = make_device()
    device.update()
    assert policy_of(device.home) is None
    for wanted in (ANY, None):
        set_policy(
            lambda before, wanted=wanted: replace(before, frames=wanted),  # type: ignore[misc]
            repository=tmp_path / "repository",
            channel="stable",
            now=datetime.now(UTC),
            read=partial(read_keys, tmp_path / "keys"),
        )
        assert not device.update().changed
        assert policy_of(device.home) == wanted


def test_on_a_picture_that_is_read_smaller_the_right_place_is_hidden(
    home: Home, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """A JPEG of 50 megapixels is read at a half of its size, and by the detector at an eighth."""
    keep_policy(home, FramesPolicy(an_hour=600, a_day=600, blur=("red",)))
    (tmp_path / "large").mkdir()
    Image.fromarray(cell_picture(0, 3)).resize((7168, 7168), Image.Resampling.NEAREST).save(tmp_path / "large/0.jpg")
    [facts] = run(home, make_bundle(gain=0.5), tmp_path / "large")
    kept = np.asarray(Image.open(Spool(home).waiting()[0].picture))
    assert (facts["width"], facts["height"], facts["hidden"]) == (3584, 3584, 1)
    doubted = facts["doubted"]
    assert isinstance(doubted, list)
    assert sorted(row[0] for row in doubted) == pytest.approx([112.0, 1904.0], abs=30), "px of what is kept"
    assert kept[200:1500:50, 200:1500:50].std() > 20 > kept[3000:3500:50, 3000:3500:50, 1].std(), "a square of a mean"
    assert len(np.unique(kept[100:1700, 100:1700].reshape(-1, 3)[::97], axis=0)) <= 40


def test_what_is_likelier_something_else_is_hidden_all_the_same(home: Home, make_bundle: MakeBundle) -> None:
    """A cell that is a little red in much green: the detector calls it green, and red is to be hidden."""
    yellow = np.zeros((64, 64, 3), np.uint8)
    yellow[:32, :32] = (60, 115, 0)
    keep_policy(home, FramesPolicy(an_hour=600, a_day=600, blur=("red",)))
    folder = home.root.with_name("yellow")
    folder.mkdir()
    Image.fromarray(yellow).save(folder / "0.png")
    [facts] = run(home, make_bundle(gain=1.0), folder)
    assert facts["hidden"] == 1 and [row[5] for row in facts["doubted"]] == [1]  # type: ignore[attr-defined]
