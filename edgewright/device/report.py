"""What the device says of itself, kept until the server has it.

Decides what is sent and in which order: oldest first, at most OUTBOX_REPORTS kept, the oldest dropped. Refuses nothing:
a report that cannot be sent now is sent with the next one, and never stops the device.

>>> send(home, DeviceReport(device_id="line-1", command="update", release=3))
True
"""

from __future__ import annotations

import http.client
import json
import platform
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import onnxruntime

import edgewright
from edgewright.device.home import Home
from edgewright.device.runner import FeedReport
from edgewright.runtime.selftest import SelfTest

OUTBOX_FILE = "outbox.json"
OUTBOX_REPORTS = 32
_TIMEOUT_S = 10


def installed_versions() -> dict[str, str]:
    return {
        "edgewright": edgewright.__version__,
        "python": platform.python_version(),
        "onnxruntime": str(onnxruntime.__version__),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }


@dataclass(frozen=True)
class DeviceReport:
    """What one command of the agent came to. Law: `DeviceReport.from_json(r.to_json()) == r`.

    Attributes:
        command: `update` or `run`.
        slot, release, digest: what runs now; "" and 0 where nothing does.
        on_trial: not committed yet.
        selftest: of the slot that runs, or of the one that was just installed.
        feed: what was detected; None for an update.
        refused: why a release was refused, in a sentence.
        fell_back: why another slot runs than the one that should.
        model: which of the release's files runs, and why.
        offered: the release that the channel offered last. failed: whether that one failed here.
        rss_mb: the agent's memory, at its most.
        tier: of the device.
    """

    device_id: str
    command: str
    slot: str = ""
    release: int = 0
    digest: str = ""
    on_trial: bool = False
    selftest: SelfTest | None = None
    feed: FeedReport | None = None
    refused: str = ""
    fell_back: str = ""
    model: str = ""
    offered: int = 0
    failed: bool = False
    rss_mb: float = 0.0
    tier: str = ""
    versions: dict[str, str] = field(default_factory=installed_versions)

    def to_json(self) -> dict[str, Any]:
        selftest = self.selftest.to_json() if self.selftest else None
        return {**asdict(self), "selftest": selftest, "feed": self.feed.to_json() if self.feed else None}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DeviceReport:
        """Of an agent older or newer than this one: what only that one knows is left out.

        Raises KeyError, TypeError or ValueError where it is no report.
        """
        selftest = SelfTest.from_json(value["selftest"]) if value["selftest"] else None
        feed = FeedReport.from_json(value["feed"]) if value["feed"] else None
        known = {name: each for name, each in value.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "selftest": selftest, "feed": feed})


def send(home: Home, report: DeviceReport) -> bool:
    """Queue the report durably, then send what is queued; whether all of it arrived."""
    queue = [*_queued(home), report.to_json()][-OUTBOX_REPORTS:]
    _keep(home, queue)
    sent = 0
    while sent < len(queue) and _post(home, queue[sent]):
        sent += 1
    if sent:
        _keep(home, queue[sent:])
    return sent == len(queue)


def _queued(home: Home) -> list[dict[str, Any]]:
    """A damaged outbox is an empty one: a report is not worth a device that does not start."""
    try:
        queue = json.loads((home.root / OUTBOX_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return [item for item in queue if isinstance(item, dict)] if isinstance(queue, list) else []


def _keep(home: Home, queue: list[dict[str, Any]]) -> None:
    home.files.replace(home.root / OUTBOX_FILE, json.dumps(queue).encode())


def _post(home: Home, report: dict[str, Any]) -> bool:
    base = home.config.server_url.rstrip("/")
    request = urllib.request.Request(  # noqa: S310 - http or https: DeviceConfig refuses other schemes
        f"{base}/reports/{home.config.device_id}",
        data=json.dumps(report).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
            return True
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False
