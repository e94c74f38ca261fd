from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.device.drift import (
    ALARM,
    DRIFT_FILE,
    FINGERPRINTS,
    KEPT,
    LEAST_FRAMES,
    SIGNALS,
    TRAINING,
    Bets,
    Drift,
    Looking,
    Window,
    drift_of,
    keep_window,
)
from edgewright.device.feed import Folder, picture_of
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, Home, init_home
from edgewright.device.runner import run_feed
from edgewright.device.sighting import Seen, Sighting
from edgewright.device.standing import running
from edgewright.runtime.boxes import Boxes, FloatArray
from edgewright.runtime.bundle import Bundle
from tests.edgewright.device.conftest import Device


def window(draws: random.Random, *, light: float = 0.0) -> Window:
    return {name: draws.gauss(0, 1) + light * (name == "light") for name in SIGNALS}


def after(drift: Drift, draws: random.Random, count: int, *, light: float = 0.0) -> Drift:
    for _ in range(count):
        drift = drift.after(window(draws, light=light), ties=draws)
    return drift


@pytest.fixture
def home(tmp_path: Path) -> Home:
    config = DeviceConfig("line-1", "http://127.0.0.1:1", "stable")
    return init_home(tmp_path / "device", trust_root=b"{}", config=config, files=Files())


def test_what_stays_is_no_alarm_and_what_changes_is_one_within_fifty_windows() -> None:
    """By chance one window in ALARM: of 8 devices with 300 windows each a false alarm has a chance below a quarter."""
    draws = random.Random(0)
    calm = [after(Drift("a"), draws, 300) for _ in range(8)]
    assert all(drift.why == "" and drift.level < ALARM and not drift.learning for drift in calm)
    changed = after(calm[0], draws, 50, light=4.0)
    assert changed.level >= ALARM and changed.why.startswith("light was ")
    assert after(changed, draws, 50).why == changed.why, "it is said until another release runs"


def test_p_values_of_what_comes_in_any_order_are_even() -> None:
    """A bet that always expects large distances wins nothing: its mean growth is 1 (the definition of a martingale)."""
    draws, grown = random.Random(1), []
    bets = Bets(usual=tuple(draws.gauss(0, 1) for _ in range(TRAINING)))
    for _ in range(2000):
        before = bets
        bets = before.after(draws.gauss(0, 1), tie=draws.random())
        grown.append(bets.capital[0] / ((1 - 0.01) * before.capital[0] + 0.01 * sum(before.capital) / 3))
    assert np.mean(grown) == pytest.approx(1.0, abs=0.02)


def test_a_long_quiet_time_makes_nobody_deaf() -> None:
    """Whoever bets and loses has little left after weeks: what counts is what is won since the least of it."""
    draws = random.Random(3)
    drift = after(Drift("a"), draws, TRAINING + 200)
    poor = {
        name: Bets(each.usual, each.apart, tuple(part * 1e-60 for part in each.capital), each.lowest * 1e-60)
        for name, each in drift.bets.items()
    }
    weeks_later = Drift("a", bets=poor)
    assert after(weeks_later, draws, 50, light=4.0).why.startswith("light was ")


def test_a_signal_that_a_window_lacks_waits() -> None:
    drift = Drift("a").after({"count": 0.0, "light": 0.5, "detail": 0.1, "novelty": 0.0})
    assert len(drift.bets["count"].usual) == 1 and drift.bets["score"] == Bets()


def test_it_is_kept_and_read_and_begun_anew_for_another_release(home: Home) -> None:
    drift = after(Drift("a"), random.Random(2), TRAINING + 30)
    assert Drift.from_json(json.loads(json.dumps(drift.to_json()))) == drift
    (home.root / DRIFT_FILE).write_text(json.dumps(drift.to_json()))
    assert drift_of(home, "a") == drift and drift_of(home, "b") == Drift("b")
    for payload in (b"", b"{}", b"[]", b"null", json.dumps({**drift.to_json(), "level": -1}).encode()):
        (home.root / DRIFT_FILE).write_bytes(payload)
        assert drift_of(home, "a") == Drift("a")


def test_what_is_written_each_minute_stays_short() -> None:
    draws, drift = random.Random(0), Drift("a" * 64, tuple(range(1 << 63, (1 << 63) + FINGERPRINTS)))
    for _ in range(TRAINING + KEPT):
        drift = drift.after({name: draws.gauss(10, 1) for name in SIGNALS}, ties=draws)
    payload = json.dumps(drift.to_json(), separators=(",", ":"))
    assert len(payload) < 32_000, "40 MB a day"
    assert Drift.from_json(json.loads(payload)) == drift


def test_frames_make_a_window_once_there_are_enough(home: Home, feed: Path) -> None:
    frame = next(Folder(feed).frames())

    def show(looking: Looking, gray: int, boxes: Boxes) -> None:
        pixels = np.full((96, 128, 3), gray, np.uint8)
        looking(Sighting(frame, {}, Seen(picture_of(pixels), boxes, ("nut",))))

    looking = Looking()
    looking(Sighting(frame, {"error": "not a picture"}, None))
    for _ in range(LEAST_FRAMES - 1):
        show(looking, 128, Boxes.empty())
    assert keep_window(home, "a", looking) == Drift("a") and not (home.root / DRIFT_FILE).exists()
    show(looking, 128, Boxes.of([[0.0, 0.0, 48.0, 64.0]], class_id=[0], score=[0.5]))
    drift = keep_window(home, "a", looking)
    assert {name: each.usual for name, each in drift.bets.items()} == {
        "count": (pytest.approx(1 / LEAST_FRAMES),),
        "score": (pytest.approx(0.5),),
        "size": (pytest.approx(0.5),),
        "light": (pytest.approx(128 / 255, abs=0.01),),
        "detail": (0.0,),
        "novelty": (0.0,),
    }
    assert drift_of(home, "a") == drift
    assert keep_window(home, "a", looking) == drift, "its frames were counted"


def test_every_report_of_the_release_that_drifted_says_so(
    make_bundle: Callable[..., Path], publish: Callable[..., object], make_device: Callable[..., Device]
) -> None:
    """An update tells more often than frames alarm: it must not silence that."""
    publish(make_bundle(release=1))
    device = make_device()
    device.update()
    bundle = device.slots.bundle(device.slots.state().active)
    assert bundle is not None
    (device.home.root / DRIFT_FILE).write_text(json.dumps(Drift(bundle.manifest_sha256, why="light").to_json()))
    assert running(device.home, "update").drift == "light"
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    assert (device.running, running(device.home, "update").drift) == (2, ""), "it was the former one's"


def test_fingerprints_of_the_first_frames_are_what_later_ones_are_unlike(
    home: Home, feed: Path, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    frame, looking = next(Folder(feed).frames()), Looking()
    scenes = [np.asarray(Image.effect_noise((128, 96), 80).convert("RGB")) for _ in range(2)]
    for scene, novelty in zip(scenes, (0.0, 0.3), strict=True):
        for _ in range(LEAST_FRAMES):
            looking(Sighting(frame, {}, Seen(picture_of(scene), Boxes.empty(), ("nut",))))
        drift = keep_window(home, "a", looking)
        assert drift.bets["novelty"].usual[-1] >= novelty
    assert drift.bets["novelty"].usual[0] == 0.0


def shown(looking: Looking, feed: Path, feature: FloatArray | None, *, count: int = LEAST_FRAMES) -> Looking:
    """The same gray picture again and again: of all that is measured only the feature differs."""
    frame, picture = next(Folder(feed).frames()), picture_of(np.full((96, 128, 3), 128, np.uint8))
    for _ in range(count):
        looking(Sighting(frame, {}, Seen(picture, Boxes.empty(), ("nut",), feature=feature)))
    return looking


def noisy(draws: np.random.Generator, center: Sequence[float]) -> FloatArray:
    return (np.array(center) + draws.normal(0, 0.05, len(center))).astype(np.float32)


def test_a_change_that_the_network_alone_sees_is_told(home: Home, feed: Path) -> None:
    draws, looking = np.random.default_rng(0), Looking()
    for _ in range(TRAINING + 40):
        drift = keep_window(home, "a", shown(looking, feed, noisy(draws, (1, 0, 0, 0))))
    assert (drift.why, drift.learning, drift.novelty_by) == ("", False, "feature")
    for _ in range(70):
        drift = keep_window(home, "a", shown(looking, feed, noisy(draws, (0.6, 0.8, 0, 0))))
    assert drift.bets["novelty"].usual[-1] == pytest.approx(0, abs=0.02)
    assert drift.why.startswith("novelty by feature was ")
    assert drift.level >= ALARM


def test_novelty_is_one_less_the_cosine_to_the_first_frames(home: Home, feed: Path) -> None:
    looking = shown(Looking(), feed, np.array([3, 0], np.float32))
    assert keep_window(home, "a", looking).bets["novelty"].usual == (pytest.approx(0),)
    for feature, novelty in (
        # as long as it likes
        ([30, 0], 0.0),
        ([3e38, 0], 0.0),
        ([3, 4], 0.4),
        ([0, 7], 1.0),
        ([-1, 0], 2.0),
        # no direction at all
        ([0, 0], 1.0),
    ):
        drift = keep_window(home, "a", shown(looking, feed, np.array(feature, np.float32)))
        assert drift.bets["novelty"].usual[-1] == pytest.approx(novelty, abs=1e-6)
        assert Drift.from_json(json.loads(json.dumps(drift.to_json()))) == drift


def test_the_first_frames_are_so_many_and_their_mean_counts(home: Home, feed: Path) -> None:
    looking = shown(Looking(), feed, np.array([1, 0], np.float32), count=FINGERPRINTS // 2)
    shown(looking, feed, np.array([0, 1], np.float32), count=FINGERPRINTS)
    assert keep_window(home, "a", looking).feature == (0.5, 0.5)


def test_without_a_feature_it_is_told_by_fingerprints(home: Home, feed: Path) -> None:
    drift = keep_window(home, "a", shown(Looking(), feed, None))
    assert (drift.novelty_by, drift.feature, drift.bets["novelty"].usual) == ("dHash", (), (0.0,))
    assert Drift("a").novelty_by == ""


def test_frames_whose_feature_is_not_finite_say_nothing_of_novelty(home: Home, feed: Path) -> None:
    looking = shown(Looking(), feed, np.array([1, 0], np.float32))
    keep_window(home, "a", looking)
    shown(looking, feed, None)
    drift = keep_window(home, "a", shown(looking, feed, np.array([0, 1], np.float32), count=1))
    assert drift.bets["novelty"].usual[1:] == (pytest.approx(1),)
    drift = keep_window(home, "a", shown(looking, feed, None))
    assert (len(drift.bets["novelty"].usual), len(drift.bets["light"].usual)) == (2, 3)


def test_what_an_agent_kept_that_knew_no_feature_goes_on_as_it_was(home: Home, feed: Path) -> None:
    """Another way to measure in the middle of a release would be a change where none is."""
    before = keep_window(home, "a", shown(Looking(), feed, None)).to_json()
    del before["feature"]
    (home.root / DRIFT_FILE).write_text(json.dumps(before))
    drift = keep_window(home, "a", shown(Looking(), feed, np.array([1, 0], np.float32)))
    assert (drift.novelty_by, drift.bets["novelty"].usual) == ("dHash", (0.0, 0.0))


@pytest.mark.parametrize("feature", [[float("nan")], ["x"], 3, None])
def test_a_kept_feature_that_is_none_begins_anew(home: Home, feature: object) -> None:
    (home.root / DRIFT_FILE).write_text(json.dumps({**Drift("a", (1,)).to_json(), "feature": feature}))
    assert drift_of(home, "a") == Drift("a")


def test_a_bundle_with_a_feature_is_watched_by_it(
    home: Home, feed: Path, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    """Six frames a look at the feed; as many as make a window."""
    bundle, looking = Bundle.load(make_bundle(feature=1.0)), Looking()
    for number in range(4):
        out = tmp_path / str(number)
        run_feed(bundle, Folder(feed), out, files=Files(), on_frame=lambda _: None, watchers=(looking,))
    drift = keep_window(home, bundle.manifest_sha256, looking)
    assert drift == drift_of(home, bundle.manifest_sha256)
    assert (drift.novelty_by, len(drift.feature)) == ("feature", 3)
    assert drift.bets["novelty"].usual == (pytest.approx(0, abs=1e-6),)
