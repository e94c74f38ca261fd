"""What the devices of a project said last: from the collector's register, or from the release server's box of files.

Decides what a report means for a rollout. A report that cannot be read, one with a number that is none among them, is
told apart from silence: it names its device. Refuses nothing.

    told, unreadable = read_reports(releases / "belt" / "reports")
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from edgewright.device.report import MAX_SENTENCE, DeviceReport
from edgewright.device.runner import FeedReport
from edgewright.fleet.rollout import Told

LEAST_FRAMES = 20
"""Of which the slowest twentieth is at least one: of fewer it is how busy the machine was just then."""
SILENT_AFTER_S = 3600.0
"""A device that has told nothing for so long is shown as silent; what a rollout makes of silence is its own."""
Report = Callable[[], tuple[float, Any]]
"""When it arrived, seconds since 1970, and what it says."""


def read_reports(folder: Path) -> tuple[dict[str, Told], dict[str, str]]:
    """Of a box: `understood` of its files."""
    return understood({path.stem: partial(_read, path) for path in sorted(folder.glob("*.json"))})


def understood(reports: Mapping[str, Report]) -> tuple[dict[str, Told], dict[str, str]]:
    """(device => what it said last, device => why its report cannot be read)."""
    told: dict[str, Told] = {}
    unreadable: dict[str, str] = {}
    for device, report in reports.items():
        try:
            at, value = report()
            told[device] = told_by(value, at=at)
        except (OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            unreadable[device] = f"{type(error).__name__}: {error}"
    return told, unreadable


def _read(path: Path) -> tuple[float, Any]:
    return path.stat().st_mtime, json.loads(path.read_bytes())


def told_by(value: dict[str, Any], *, at: float) -> Told:
    """Args: at: when it arrived, seconds since 1970. Raises KeyError, TypeError or ValueError: it is no report."""
    report = DeviceReport.from_json(value)
    feed = report.feed or report.latest
    return Told(
        at=at,
        release=int(_sane(report.release)),
        offered=int(_sane(report.offered or report.release)),
        failed=report.failed is True,
        on_trial=report.on_trial is True,
        p95_ms=_slowest(feed),
        detections=_sane(feed.detections) / feed.frames if feed and _sane(feed.frames) else None,
        rss_mb=_sane(report.rss_mb) or None if feed else None,
        tier=str(report.tier),
        channel=str(report.channel),
        follows=report.follows is True,
        unseen=str(report.unseen)[:MAX_SENTENCE],
        needs_agent=report.needs_agent is True,
        drift=str(report.drift)[:MAX_SENTENCE],
        asked=int(_sane(report.escalated.asked)) if report.escalated else None,
        answered=int(_sane(report.escalated.answered)) if report.escalated else 0,
    )


def _slowest(feed: FeedReport | None) -> float | None:
    if feed is None or feed.times is None:
        return None
    p95_ms = _sane(feed.times.p95_ms)
    return p95_ms if _sane(feed.frames) >= LEAST_FRAMES else None


def _sane(value: Any) -> float:
    """Raises ValueError for what is no finite number from 0: a comparison with NaN never says that it is too much."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"not a number from 0: {value!r}")
    return value
