from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.device.feed import Folder
from edgewright.device.files import Files
from edgewright.device.phases import BOUNDS_MS, PHASES, FrameTimes, PhaseTimes, Stopwatch
from edgewright.device.report import DeviceReport
from edgewright.device.runner import FeedReport, run_feed
from edgewright.runtime.bundle import Bundle


def test_a_time_is_counted_in_the_first_step_that_holds_it() -> None:
    times = PhaseTimes.of([0.5, 0.6, 4.0, 5000.0])
    assert dict(zip((*BOUNDS_MS, "beyond"), times.counts, strict=True)) == {
        **dict.fromkeys(BOUNDS_MS, 0),
        0.5: 1,
        1.0: 1,
        5.0: 1,
        "beyond": 1,
    }
    assert (times.sum_ms, times.p50_ms) == (5005.1, 2.3)
    with pytest.raises(ValueError, match="no frame"):
        PhaseTimes.of([])


def test_a_frame_is_the_sum_of_its_phases_and_one_that_was_not_stopped_is_none() -> None:
    ticks = iter([0, 1, 3, 6, 10, 11, 20, 21, 23, 26, 36, 38])
    watch = Stopwatch(clock=lambda: next(ticks) / 1000)
    watch.start()
    for phase in PHASES:
        watch.lap(phase)
    watch.stop()
    watch.start()
    watch.lap("capture")  # unreadable
    watch.start()
    for phase in ("interconnect", "compute", "post", "post"):
        watch.lap(phase)
    watch.stop()
    assert watch.sums_ms(*PHASES) == pytest.approx([10, 17])
    times = watch.times(limit_ms=10.5)
    assert (times.frames, times.over) == (2, 1)
    assert times.phases["post"].sum_ms == pytest.approx(4 + 12)
    assert FrameTimes.from_json(json.loads(json.dumps(times.to_json()))) == times


def test_a_feeds_phases_hold_what_is_between_letterbox_and_boxes(
    make_bundle: Callable[..., Path], feed: Path, tmp_path: Path
) -> None:
    bundle = Bundle.load(make_bundle())
    report = run_feed(bundle, Folder(feed), tmp_path / "out", files=Files(), on_frame=lambda done: None)
    times = report.times
    assert times is not None
    assert tuple(times.phases) == PHASES
    assert (times.frames, times.limit_ms) == (report.frames, bundle.manifest.latency_budget_ms)
    assert all(sum(phase.counts) == report.frames and phase.sum_ms > 0 for phase in times.phases.values())
    assert times.p50_ms > report.p50_ms, "reading the file counts too"
    kept = json.loads((tmp_path / "out/summary.json").read_bytes())
    assert FeedReport.from_json(kept) == report
    tight = run_feed(bundle, Folder(feed), tmp_path / "tight", files=Files(), on_frame=lambda done: None, limit_ms=0.0)
    assert tight.times is not None
    assert tight.times.over == tight.frames


def test_reports_of_older_and_of_newer_agents_are_read() -> None:
    old = {"frames": 6, "unreadable": 1, "detections": 12, "p50_ms": 1.0, "p99_ms": 2.0}
    report = DeviceReport("line-1", "run", feed=FeedReport.from_json(old), versions={})
    assert report.feed is not None
    assert report.feed.times is None
    sent = report.to_json()
    newer = {**sent, "heat_c": 61, "feed": {**sent["feed"], "dropped": 3}}
    assert DeviceReport.from_json(json.loads(json.dumps(newer))) == report
    with pytest.raises(KeyError):
        FeedReport.from_json({"frames": 6})


def test_what_earlier_agents_wrote_is_read() -> None:
    watch = Stopwatch(clock=iter([0.0, 0.004]).__next__)
    watch.start()
    watch.lap("compute")
    watch.stop()
    told = watch.times(limit_ms=5.0).to_json()
    for name in ("p95_ms", "bounds_ms"):
        del told[name]
    assert FrameTimes.from_json(told) == watch.times(limit_ms=5.0)
    with pytest.raises(ValueError, match="other steps"):
        FrameTimes.from_json({**told, "bounds_ms": [1.0]})
