"""The gateway's side of a flash: serve the repository to one device and wait for what the device says.

Decides nothing about the update: the agent pulls, verifies, switches and falls back by itself, in its own process
with the light base alone. Decides the address that the device keeps: the one at which the home serves its releases, so
that it can pull again when this process is gone. Refuses to call a flash done without the device's own report that the
channel's release runs.

>>> flash_device(repository=r, address=a, device_home=d, device_id="line-1-0", channel="stable", feed=f, out=o,
...              timeout_s=60, on_progress=silent).slot               # doctest: +SKIP
'a'
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgewright.device.offer import TIERS
from edgewright.device.phases import FrameTimes
from edgewright.device.process import agent_command, agent_environment
from edgewright.device.report import DeviceReport
from edgewright.device.runner import FeedReport
from edgewright.errors import DeviceUnreachable, InputError, StageFailed, StoreUnavailable, UpdateRefused
from edgewright.progress import OnProgress
from edgewright.release.address import Address
from edgewright.release.metadata import FIRST_ROOT, SignedSet
from edgewright.release.repository import state_of
from edgewright.release.server import METADATA, RepositoryServer, serve_releases
from edgewright.runtime.selftest import SelfTest

REPORT_FILE, FEED = "device.json", "feed"
"""What is kept of a flash: the device's report, and the folder of what it detected."""
_STEPS = ("introduced to its server", "updated", "detected on its feed", "reported")


@dataclass(frozen=True)
class FlashReport:
    """What the device reports after the flash.

    Attributes:
        version: the release number that runs.
        p50_ms, p99_ms: of a frame on the device, letterbox to boxes.
        times: with the file read and its line written, phase by phase.
    """

    device_id: str
    version: int
    slot: str
    digest: str
    p50_ms: float
    p99_ms: float
    frames: int
    detections: int
    selftest: SelfTest
    versions: dict[str, str]
    times: FrameTimes | None

    def to_json(self) -> dict[str, Any]:
        times = self.times.to_json() if self.times else None
        return {**asdict(self), "selftest": self.selftest.to_json(), "times": times}


def flash_device(
    *,
    repository: Path,
    address: Address,
    device_home: Path,
    device_id: str,
    channel: str,
    feed: Path,
    out: Path,
    timeout_s: int,
    on_progress: OnProgress,
    tier: str = TIERS[0],
) -> FlashReport:
    """Bring one device to the channel's release and let it detect on a feed; `out` receives what it detected.

    Args:
        tier: the device's, whatever it would choose by itself.
        address: where the folder of repositories is served, when somebody serves it.

    Raises:
        InputError: nothing is released on the channel.
        UpdateRefused: the device refuses the release, or fell back from it.
        DeviceUnreachable: no report in time.
        StageFailed: the agent ended with an error of another kind.
    """
    desired = _desired(repository, channel, device_id)
    deadline = time.monotonic() + timeout_s
    root = str(repository / METADATA / FIRST_ROOT)
    identity = ["--root", root, "--device-id", device_id, "--channel", channel, "--tier", tier]
    with _served(repository, address) as server:
        here, kept = (f"{url}/{repository.name}" for url in (server.url, address.url))
        commands = [
            ("init", [*identity, "--server", here]),
            ("update", []),
            ("run", ["--feed", str(feed), "--out", str(out)]),
            *([("init", [*identity, "--server", kept])] if kept != here else []),
        ]
        for step, (name, arguments) in enumerate(commands):
            _run_agent(name, arguments, home=device_home, device_id=device_id, server=server, deadline=deadline)
            if step < len(_STEPS) - 1:
                on_progress(step + 1, len(_STEPS), f"{device_id} {_STEPS[step]}")
        report, feed_report, selftest = _last_run(server, device_id)
    if report.release != desired:
        what = f"the device does not run the channel's release: {report.fell_back or 'it kept another'}"
        raise UpdateRefused(what, expected=desired, got=report.release)
    on_progress(len(_STEPS), len(_STEPS), f"{device_id} {_STEPS[-1]} release {report.release}")
    return FlashReport(
        device_id=device_id,
        version=report.release,
        slot=report.slot,
        digest=report.digest,
        p50_ms=feed_report.p50_ms,
        p99_ms=feed_report.p99_ms,
        frames=feed_report.frames,
        detections=feed_report.detections,
        selftest=selftest,
        versions=report.versions,
        times=feed_report.times,
    )


def _desired(repository: Path, channel: str, device_id: str) -> int:
    """The release that the plan has for the device; the newest where older repositories have no plans."""
    if not SignedSet.exists(repository / METADATA):
        raise InputError("nothing is released", expected=f"a release on {channel}", where=repository)
    state = state_of(repository)
    plan = state.plans.get(channel)
    desired = plan.chosen(device_id, running=0) if plan else 0 if state.plans else state.releases.get(channel, 0)
    if desired < 1:
        raise InputError(
            "nothing is rolled out for the device",
            expected=f"a release on {channel}",
            got=device_id,
            where=repository,
            next_step="edgewright fleet rollout RELEASE, or edgewright release publish --roll-out",
        )
    return desired


@contextmanager
def _served(repository: Path, address: Address) -> Iterator[RepositoryServer]:
    """At the home's address, or, while somebody listens there, at a free port."""
    with ExitStack() as held:
        try:
            server = held.enter_context(serve_releases(repository.parent, host=address.host, port=address.port))
        except StoreUnavailable:
            server = held.enter_context(serve_releases(repository.parent, host="127.0.0.1", port=0))
        yield server


def _run_agent(
    name: str, arguments: list[str], *, home: Path, device_id: str, server: RepositoryServer, deadline: float
) -> None:
    """One command of the agent, checked."""
    try:
        run_agent(name, *arguments, home=home, device_id=device_id, timeout_s=max(0.1, deadline - time.monotonic()))
    except StageFailed as error:
        refused = [report["refused"] for report in server.received.get(device_id, []) if report.get("refused")]
        if refused:
            raise UpdateRefused(f"{device_id} refuses the release", got=refused[-1], where=home) from error
        raise


def run_agent(name: str, *arguments: str, home: Path, device_id: str, timeout_s: float) -> None:
    """A command of the agent, in a process of its own.

    Raises:
        DeviceUnreachable: it did not end in time. StageFailed: it failed; with what it said last.
    """
    try:
        done = subprocess.run(
            agent_command(name, "--home", str(home.resolve()), *arguments),
            env=agent_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        next_step = "raise flash.timeout_s, or look at the device"
        what = f"{device_id} did not finish `{name}` in time"
        raise DeviceUnreachable(what, where=home, next_step=next_step) from error
    if done.returncode != 0:
        got = " ".join(done.stderr.decode(errors="replace").strip().splitlines()[-1:]) or done.returncode
        raise StageFailed(f"the agent of {device_id} failed in `{name}`", got=got, where=home)


def _last_run(server: RepositoryServer, device_id: str) -> tuple[DeviceReport, FeedReport, SelfTest]:
    """The last report of a run that arrived while we served; an exit code alone proves nothing."""
    for value in reversed(server.received.get(device_id, [])):
        try:
            report = DeviceReport.from_json(value)
        except (KeyError, TypeError, ValueError) as error:
            raise DeviceUnreachable(f"{device_id} sent a report that cannot be read", got=error) from error
        if report.command == "run" and report.feed and report.selftest:
            return report, report.feed, report.selftest
    raise DeviceUnreachable(f"{device_id} ran and did not report", next_step="look at its outbox.json")
