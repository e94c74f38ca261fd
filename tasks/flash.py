"""Flash: set the desired release, wait for the device's report, and let it detect on its feed.

The agent runs in its own process with the light base alone, pulls by itself and decides by itself.
"""

from __future__ import annotations

import json
from pathlib import Path

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.data.ingest import ORIGIN_FILE
from edgewright.data.rows import Origin, Split, spread
from edgewright.recipe.release import FlashConfig
from edgewright.simulate.source import write_feed
from tasks.engine.stage import stage
from tasks.engine.work import Work
from tasks.release import RELEASE_FILE

_PUBLIC = ("version", "slot", "p50_ms", "p99_ms", "detections")


@stage(pools=("edge",), cached=False, notes={"device": _PUBLIC})
def flash(work: Work, config: FlashConfig, released: ArtifactRef, dataset: ArtifactRef) -> ArtifactRef:
    """One device of the group: update, verify, switch, detect."""
    from edgewright.release.address import address_in
    from edgewright.release.gateway import FEED, REPORT_FILE, flash_device

    real = Dataset.open(work.session.store, dataset)
    facts = work.open(released).json(RELEASE_FILE)
    device_id = f"{work.project}-{config.device_group}-0"
    with work.session.store.workspace() as out:
        report = flash_device(
            repository=work.session.settings.releases / work.project,
            address=address_in(work.session.settings.releases),
            device_home=work.session.settings.devices / device_id,
            device_id=device_id,
            channel=facts["channel"],
            feed=_write_feed(config, real, work.scratch / "feed", work=work),
            out=out / FEED,
            timeout_s=config.timeout_s,
            on_progress=work.on_progress,
        )
        (out / REPORT_FILE).write_text(json.dumps(report.to_json(), indent=1, sort_keys=True))
        public = {name: getattr(report, name) for name in _PUBLIC}
        phases = report.times.phases if report.times else {}
        metrics = {
            "device/p50_ms": report.p50_ms,
            "device/p99_ms": report.p99_ms,
            **{f"device/{phase}_p50_ms": times.p50_ms for phase, times in phases.items()},
        }
        return work.publish(out, kind="device_report", metrics=metrics, facts=public)


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
