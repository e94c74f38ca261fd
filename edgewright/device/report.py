"""What the device says of itself, kept until the server has it.

Decides what is sent, to whom and in which order: oldest first; to the collector of its fleet, with whatever else waits,
or, where the device was never enrolled, its reports alone to the server of releases, the last OUTBOX_REPORTS of them.
What was measured on the last feed is told again until another release runs: an update must not silence it. Refuses
nothing: a report that cannot be sent now is sent with the next one, and never stops the device.

>>> send(home, DeviceReport(device_id="line-1", command="update", release=3))
''
"""

from __future__ import annotations

import http.client
import json
import platform
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import onnxruntime

import edgewright
from edgewright.addresses import shown
from edgewright.device.escalation import Counts
from edgewright.device.home import Home, wish_of
from edgewright.device.outbox import REPORT, Outbox, opened
from edgewright.device.process import within
from edgewright.device.runner import FeedReport
from edgewright.device.slots import Slots
from edgewright.errors import EdgewrightError, InputError
from edgewright.runtime.selftest import SelfTest

LATEST_FILE = "latest.json"
OUTBOX_REPORTS = 32
MAX_SENTENCE = 2_000
TELL_S = 300.0
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
        command: `update`, `run` or `check-in`.
        slot, release, digest: what runs now; "" and 0 where nothing does.
        on_trial: not committed yet.
        selftest: of the slot that runs, or of the one that was just installed.
        feed: what was detected; None for an update. unseen: why nothing could be, in a sentence.
        refused: why a release was refused, in a sentence.
        fell_back: why another slot runs than the one that should.
        model: which of the release's files runs, and why.
        offered: the release that the channel offered last. failed: whether that one failed here.
        latest: the feed that the release which runs detected on last, whatever this command was.
        rss_mb: the agent's memory at its most, of that feed where there is one.
        tier: of the bundle that runs. tier_why: why that one, where the device measured it. channel: of the device.
        needs_agent: the release is for a newer agent than this.
        escalated: what came of asking a larger model, of a device that may.
        drift: what changed in what the camera shows since this release began to run; "" where nothing did.
        follows: whether it runs what the plan says, and nobody here wished otherwise.
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
    latest: FeedReport | None = None
    rss_mb: float = 0.0
    tier: str = ""
    channel: str = ""
    follows: bool = True
    unseen: str = ""
    tier_why: str = ""
    needs_agent: bool = False
    drift: str = ""
    escalated: Counts | None = None
    versions: dict[str, str] = field(default_factory=installed_versions)

    def to_json(self) -> dict[str, Any]:
        selftest = self.selftest.to_json() if self.selftest else None
        feeds = {
            name: feed.to_json() if feed else None for name, feed in (("feed", self.feed), ("latest", self.latest))
        }
        escalated = self.escalated.to_json() if self.escalated else None
        return {**asdict(self), "selftest": selftest, **feeds, "escalated": escalated}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DeviceReport:
        """Of an agent older or newer than this one: what only that one knows is left out.

        Raises KeyError, TypeError or ValueError where it is no report.
        """
        selftest = SelfTest.from_json(value["selftest"]) if value["selftest"] else None
        feed, latest = (FeedReport.from_json(each) if each else None for each in (value["feed"], value.get("latest")))
        known = {name: each for name, each in value.items() if name in cls.__dataclass_fields__}
        escalated = Counts.from_json(value["escalated"]) if value.get("escalated") else None
        return cls(**{**known, "selftest": selftest, "feed": feed, "latest": latest, "escalated": escalated})


def send(home: Home, report: DeviceReport) -> str:
    """Queue the report, then tell what waits; why not all of it arrived, "" where it did. Never stops the device."""
    try:
        whole = _complete(home, report).to_json()
        with opened(home) as outbox:
            outbox.note(Slots(home).state())  # where the power went between a change and its event
            outbox.add(REPORT, whole)
            with within(TELL_S, "what was to be told"):
                return _delivered(home, outbox)
    except OSError as error:
        told = not home.config.collector_url and _post(home, report.to_json())
        return str(error) if told else f"{error}; this report is lost"
    except EdgewrightError as error:
        return str(error)


def tell(home: Home) -> str:
    """Tell what waits; why not all of it arrived, "" where it did."""
    try:
        with opened(home) as outbox, within(TELL_S, "what was to be told"):
            return _delivered(home, outbox)
    except (OSError, EdgewrightError) as error:
        return str(error)


def keep(home: Home, report: DeviceReport) -> str:
    """Queue the report for whoever tells next; why it is lost, "" where it is not."""
    try:
        with opened(home) as outbox:
            outbox.add(REPORT, _complete(home, report).to_json())
    except OSError as error:
        return f"{error}; this report is lost"
    return ""


def _delivered(home: Home, outbox: Outbox) -> str:
    if home.config.collector_url:
        from edgewright.device.deliver import deliver  # certificates are no business of a device without one

        deliver(home, outbox)
        return ""
    outbox.keep_latest(REPORT, OUTBOX_REPORTS)
    for event in outbox.waiting(REPORT):
        if not _post(home, event.body):
            return f"{shown(home.config.server_url)} did not take the report"
        outbox.acknowledge([event.seq])
    return ""


def _complete(home: Home, report: DeviceReport) -> DeviceReport:
    """With what is the home's to say, and what the running release did on its last feed."""
    try:
        wish = wish_of(home)
        follows = not (wish.hold or wish.pin)
    except InputError:
        follows = False
    report = replace(
        report,
        channel=home.config.channel,
        follows=follows,
        refused=report.refused[:MAX_SENTENCE],  # a server may have said some of it
        fell_back=report.fell_back[:MAX_SENTENCE],
        unseen=report.unseen[:MAX_SENTENCE],
    )
    if report.feed is not None:
        kept = {"digest": report.digest, "feed": report.feed.to_json(), "rss_mb": report.rss_mb}
        home.files.replace(home.root / LATEST_FILE, json.dumps(kept).encode())
        return replace(report, latest=report.feed)
    try:
        kept = json.loads((home.root / LATEST_FILE).read_bytes())
        if kept["digest"] == report.digest:
            return replace(report, latest=FeedReport.from_json(kept["feed"]), rss_mb=float(kept["rss_mb"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass  # nothing that can be read was kept: it is not worth a device that does not report
    return replace(report, rss_mb=0.0)


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
