"""What the devices of a project said last, from the box that the release server keeps: a file a device.

Decides what a report means for a rollout. A report that cannot be read is told apart from silence: it names its device.
Refuses nothing.

    told, unreadable = read_reports(releases / "belt" / "reports")
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgewright.device.report import DeviceReport
from edgewright.fleet.rollout import Told


def read_reports(folder: Path) -> tuple[dict[str, Told], dict[str, str]]:
    """(device => what it said last, device => why its report cannot be read)."""
    told: dict[str, Told] = {}
    unreadable: dict[str, str] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            told[path.stem] = told_by(json.loads(path.read_bytes()), at=path.stat().st_mtime)
        except (OSError, KeyError, TypeError, ValueError) as error:
            unreadable[path.stem] = f"{type(error).__name__}: {error}"
    return told, unreadable


def told_by(value: dict[str, Any], *, at: float) -> Told:
    """Args: at: when it arrived, seconds since 1970. Raises KeyError, TypeError or ValueError: it is no report."""
    report = DeviceReport.from_json(value)
    feed = report.feed
    return Told(
        at=at,
        release=report.release,
        offered=report.offered or report.release,
        failed=report.failed,
        p95_ms=feed.times.p95_ms if feed and feed.times else None,
        detections=feed.detections / feed.frames if feed and feed.frames else None,
        rss_mb=report.rss_mb or None,
    )
