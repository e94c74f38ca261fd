"""How a device stands: what runs, on whose word, and how fresh that is.

Decides nothing. Refuses nothing: what is not there is empty.

    describe(home)["release"]
"""

from __future__ import annotations

import resource
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from edgewright.device.core import SLOTS
from edgewright.device.drift import drift_of
from edgewright.device.engine import engine_for, kept
from edgewright.device.freshness import freshness_in, in_words, span
from edgewright.device.home import Home, wish_of
from edgewright.device.offer import AUTO
from edgewright.device.report import DeviceReport
from edgewright.device.slots import Slots
from edgewright.device.start import Started
from edgewright.device.tier import standing_of
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine


def running(home: Home, command: str) -> DeviceReport:
    slots = Slots(home)
    state, tier = slots.state(), standing_of(home)
    bundle = slots.bundle(state.active)
    report = DeviceReport(
        device_id=home.config.device_id,
        command=command,
        on_trial=state.on_trial,
        offered=state.offered,
        failed=state.offer_failed,
        rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        tier=tier.taken or tier.tier,
        tier_why=tier.why if home.config.tier == AUTO else "",
    )
    if bundle is None:
        return report
    return replace(
        report,
        slot=state.active,
        release=bundle.manifest.release,
        digest=bundle.manifest.digest,
        model=str(bundle.choice),
        drift=drift_of(home, bundle.manifest_sha256).why,
    )


def as_started(report: DeviceReport, started: Started) -> DeviceReport:
    """Of the slot that runs, which may be another than the one that is to run: an update has switched meanwhile, or
    the disk took no word of a start.
    """
    bundle = started.bundle
    return replace(
        report,
        slot=started.slot,
        release=bundle.manifest.release,
        digest=bundle.manifest.digest,
        model=str(bundle.choice),
        on_trial=report.on_trial and report.slot == started.slot,
        selftest=started.selftest,
        fell_back=started.fell_back,
    )


def shown(name: str, value: Any) -> str:
    """A value as a person reads it; times with how long they are away."""
    now = datetime.now(UTC)
    if name == "metadata_until" and value:
        return f"{value} ({in_words(datetime.fromisoformat(value), now=now)})"
    if name == "metadata_from" and value:
        return f"{value} ({span(now - datetime.fromisoformat(value))} ago)"
    return str(value) if value not in ("", None) else "-"


def describe(home: Home) -> dict[str, Any]:
    slots, fresh = Slots(home), freshness_in(home.trust)
    here, state = running(home, "status"), slots.state()
    bundles = {slot: slots.bundle(slot) for slot in SLOTS}
    return {
        "device_id": home.config.device_id,
        "home": str(home.root),
        "server": home.config.server_url,
        "collector": home.config.collector_url,
        "line": home.config.broker_url or ("https" if home.config.collector_url else ""),
        "channel": home.config.channel,
        "tier": f"{here.tier}, {here.tier_why}" if here.tier_why else here.tier,
        "wish": str(wish_of(home)),
        "slot": here.slot,
        "release": here.release,
        "digest": here.digest,
        "model": here.model,
        "engine": _engine(home, bundles.get(here.slot)),
        "novelty": _novelty(home, bundles.get(here.slot)),
        "on_trial": state.on_trial,
        "floor": state.floor,
        **{f"slot_{slot}": bundle.manifest.release if bundle else None for slot, bundle in bundles.items()},
        "metadata": fresh.version if fresh else None,
        "metadata_from": fresh.fetched.isoformat(timespec="seconds") if fresh else None,
        "metadata_until": fresh.expires.isoformat(timespec="seconds") if fresh else None,
    }


def _engine(home: Home, bundle: Bundle | None) -> str:
    found = kept(home)
    if bundle is None or found is None or found.digest != bundle.manifest_sha256:
        return f"{Engine()}, not measured"
    return str(engine_for(home, bundle))


def _novelty(home: Home, bundle: Bundle | None) -> str:
    return drift_of(home, bundle.manifest_sha256).novelty_by if bundle else ""
