"""Flash: set the desired release, wait for the device's report, and let it detect on its feed.

The agent runs in its own process with the light base alone, pulls by itself and decides by itself. A release for
several tiers is shown on a device of each, told its tier: what a device chooses by itself is not tried here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.data.ingest import ORIGIN_FILE
from edgewright.data.rows import Origin, Split, spread
from edgewright.device.offer import TIERS
from edgewright.recipe.release import FlashConfig
from edgewright.simulate.source import write_feed
from tasks.engine.stage import stage
from tasks.engine.work import Work
from tasks.release import RELEASE_FILE

if TYPE_CHECKING:
    from edgewright.release.gateway import FlashReport

_PUBLIC = ("version", "slot", "p50_ms", "p99_ms", "detections")


@stage(pools=("edge",), cached=False, notes={"device": _PUBLIC})
def flash(work: Work, config: FlashConfig, released: ArtifactRef, dataset: ArtifactRef) -> ArtifactRef:
    """One device of the group for each tier of the release: update, verify, switch, detect."""
    from edgewright.release.gateway import REPORT_FILE

    real = Dataset.open(work.session.store, dataset)
    facts = work.open(released).json(RELEASE_FILE)
    feed = _write_feed(config, real, work.scratch / "feed", work=work)
    with work.session.store.workspace() as out:
        reports = {
            tier: _flashed(work, config, tier, channel=facts["channel"], feed=feed, out=out / folder_of(tier))
            for tier in TIERS
            if tier in facts["tiers"]
        }
        for tier, report in reports.items():
            written = json.dumps(report.to_json(), indent=1, sort_keys=True)
            (out / folder_of(tier) / REPORT_FILE).write_text(written)
        metrics = {f"device/{name}": value for tier in reports for name, value in _metrics(reports[tier], tier).items()}
        public = {name: getattr(reports[TIERS[0]], name) for name in _PUBLIC}
        return work.publish(out, kind="device_report", metrics=metrics, facts=public)


def folder_of(tier: str) -> str:
    """Within this stage's result: the first tier's files stand at its top.

    >>> folder_of("full"), folder_of("basic")
    ('', 'basic')
    """
    return "" if tier == TIERS[0] else tier


def _flashed(work: Work, config: FlashConfig, tier: str, *, channel: str, feed: Path, out: Path) -> FlashReport:
    from edgewright.release.address import address_in
    from edgewright.release.gateway import FEED, flash_device

    device_id = "-".join(filter(None, [work.project, config.device_group, "0", folder_of(tier)]))
    out.mkdir(exist_ok=True)
    return flash_device(
        repository=work.session.settings.releases / work.project,
        address=address_in(work.session.settings.releases),
        device_home=work.session.settings.devices / device_id,
        device_id=device_id,
        channel=channel,
        tier=tier,
        feed=feed,
        out=out / FEED,
        timeout_s=config.timeout_s,
        on_progress=work.on_progress,
    )


def _metrics(report: FlashReport, tier: str) -> dict[str, float]:
    """`p50_ms`, and `basic/p50_ms` beside it."""
    phases = report.times.phases if report.times else {}
    values = {
        "p50_ms": report.p50_ms,
        "p99_ms": report.p99_ms,
        **{f"{phase}_p50_ms": times.p50_ms for phase, times in phases.items()},
    }
    return {f"{folder_of(tier)}/{name}".lstrip("/"): value for name, value in values.items()}


def _write_feed(config: FlashConfig, real: Dataset, folder: Path, *, work: Work) -> Path:
    """Frames that the detector has not been trained on: new ones of the simulated camera, or the test images."""
    if work.open(real.ref).json(ORIGIN_FILE)["simulated"]:
        write_feed(folder, n=config.feed_frames, seed=work.seed)
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(spread(real.select(split=Split.TEST, origin=Origin.REAL), config.feed_frames)):
        suffix = "jpg" if real.payload(row).startswith(b"\xff\xd8") else "png"
        (folder / f"{number:05d}.{suffix}").write_bytes(real.payload(row))
    return folder
