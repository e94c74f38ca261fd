from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgewright.device.escalation import Counts
from edgewright.device.phases import Stopwatch
from edgewright.device.report import DeviceReport
from edgewright.device.runner import FeedReport
from edgewright.fleet.reports import LEAST_FRAMES, read_reports, told_by


def feed(frames: int = LEAST_FRAMES) -> FeedReport:
    watch = Stopwatch(clock=iter([0.0, 0.02]).__next__)
    watch.start()
    watch.lap("compute")
    watch.stop()
    return FeedReport(frames, 0, 2 * frames, 20.0, 20.0, watch.times(limit_ms=50.0))


def test_what_was_measured_is_told_by_an_update_too() -> None:
    run = DeviceReport("line-1", "run", release=8, feed=feed(), latest=feed(), rss_mb=90.0, channel="stable")
    update = DeviceReport("line-1", "update", release=8, latest=feed(), rss_mb=90.0, channel="stable", follows=False)
    first, second = (told_by(json.loads(json.dumps(report.to_json())), at=5.0) for report in (run, update))
    assert (first.p95_ms, first.detections, first.rss_mb, first.follows) == (20.0, 2.0, 90.0, True)
    assert (second.p95_ms, second.detections, second.rss_mb, second.follows) == (20.0, 2.0, 90.0, False)
    bare = told_by(DeviceReport("line-1", "update", release=8, rss_mb=50.0).to_json(), at=5.0)
    assert (bare.p95_ms, bare.detections, bare.rss_mb) == (None, None, None)


def test_what_came_of_asking_is_read_and_older_reports_say_nothing_of_it() -> None:
    report = DeviceReport("line-1", "run", release=8, escalated=Counts(asked=12, answered=9, late=3)).to_json()
    told = told_by(json.loads(json.dumps(report)), at=5.0)
    assert (told.asked, told.answered) == (12, 9)
    older = {name: value for name, value in report.items() if name != "escalated"}
    for silent in (older, {**older, "escalated": None}):
        assert (told_by(silent, at=5.0).asked, told_by(silent, at=5.0).answered) == (None, 0)


def test_few_frames_say_nothing_of_how_long_one_takes() -> None:
    few = DeviceReport("line-1", "run", release=8, feed=feed(LEAST_FRAMES - 1), rss_mb=90.0)
    told = told_by(json.loads(json.dumps(few.to_json())), at=5.0)
    assert (told.p95_ms, told.detections, told.rss_mb) == (None, 2.0, 90.0)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("release",), "8"),
        (("rss_mb",), float("nan")),
        (("feed", "detections"), -1),
        (("feed", "frames"), 1e400),
        (("feed", "times", "p95_ms"), float("nan")),
        (("feed",), 5),
        (("feed", "times"), [1]),
        (("escalated", "asked"), -1),
        (("escalated",), {"asked": 1}),
    ],
)
def test_a_report_with_odd_values_is_told_apart_from_silence(tmp_path: Path, at: tuple[str, ...], value: Any) -> None:
    good = DeviceReport("line-1", "run", release=8, feed=feed(), rss_mb=90.0, escalated=Counts(asked=1)).to_json()
    odd = json.loads(json.dumps(good))
    inner = odd
    for name in at[:-1]:
        inner = inner[name]
    inner[at[-1]] = value
    (tmp_path / "good.json").write_text(json.dumps(good))
    (tmp_path / "odd.json").write_text(json.dumps(odd))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    told, unreadable = read_reports(tmp_path)
    assert (list(told), sorted(unreadable)) == (["good"], ["deep", "odd"])
