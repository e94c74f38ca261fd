"""What a device knows of itself, for whoever has to find out why it does what it does: no picture, and no secret.

Decides what is told: versions, processor, state, what the slots hold, how fresh the metadata are, the engine, reports
that wait, room on the disk. Refuses nothing: what cannot be read is said to be so.

    diagnostics(home)["state"]["active"]
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

from edgewright.addresses import shown
from edgewright.device.core import SLOTS
from edgewright.device.engine import kept
from edgewright.device.freshness import freshness_in
from edgewright.device.home import Home, wish_of
from edgewright.device.outbox import opened
from edgewright.device.report import installed_versions
from edgewright.device.slots import Slots
from edgewright.errors import EdgewrightError
from edgewright.runtime.engines import engines_here
from edgewright.runtime.instruction_sets import this_processor


def diagnostics(home: Home) -> dict[str, Any]:
    """Plain JSON."""
    slots, fresh, engine = Slots(home), freshness_in(home.trust), kept(home)
    return {
        "config": {**asdict(home.config), "server_url": shown(home.config.server_url)},
        "wish": _or_why(lambda: str(wish_of(home))),
        "versions": installed_versions(),
        "processor": {"name": this_processor().machine, "flags": sorted(this_processor().flags)},
        "cores": len(os.sched_getaffinity(0)),
        "engines": [str(each) for each in engines_here()],
        "engine": engine.fastest.to_json() if engine else None,
        "state": json.loads(slots.state().to_bytes())["state"],
        "slots": {slot: _held(slots, slot) for slot in SLOTS},
        "metadata": {
            "version": fresh.version if fresh else None,
            "expires": fresh.expires.isoformat() if fresh else None,
            "fetched": fresh.fetched.isoformat() if fresh else None,
            "files": sorted(path.name for path in home.trust.rglob("*.json")),
        },
        "collector": shown(home.config.collector_url),
        "waiting": _or_why(lambda: _waiting(home)),
        "disk_free_bytes": _or_why(lambda: home.files.free_bytes(home.root)),
    }


def _waiting(home: Home) -> int:
    with opened(home) as outbox:
        return outbox.count()


def _held(slots: Slots, slot: str) -> dict[str, Any] | None:
    bundle = slots.bundle(slot)
    if bundle is None:
        return None
    manifest = bundle.manifest
    return {
        "release": manifest.release,
        "digest": manifest.digest,
        "manifest": bundle.manifest_sha256,
        "model": str(bundle.choice),
        "files": {name: entry.bytes for name, entry in manifest.files.items()},
    }


def _or_why(read: Any) -> Any:
    """What is read, or why it could not be."""
    try:
        return read()
    except (EdgewrightError, OSError, ValueError) as error:
        return f"cannot be read: {error}"
