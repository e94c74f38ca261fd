"""A device's twin: what it is to be, as it is signed, beside what it last said it is.

Decides nothing: `desired` is what the signed plan and policy come to for this device, `reported` what arrived last, and
`differs` names what is not yet as it is desired. Each has a version that only rises: of the signed metadata, and of the
report's arrival. Nobody writes into either: `desired` changes by signing, `reported` by the device alone, which applies
the same desire twice as once.

    twin = twin_of("line-1", plan=plan, policy=policy, versions=(4, 9), told=told)
    twin["differs"]                               # ['release']
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edgewright.device.offer import Plan, Policy
from edgewright.fleet.rollout import Told


def twin_of(
    device: str, *, plan: Plan | None, policy: Policy, versions: tuple[int, int], told: Told | None
) -> dict[str, Any]:
    """Plain JSON. Args: versions: of the metadata of `targets` and of `rollout`. told: None of a device never heard."""
    running = told.release if told else 0
    release = (plan.chosen(device, running=running) or running) if plan else 0
    desired = {
        "version": list(versions),
        "release": release,
        "floor": policy.floor,
        "plan": plan.id if plan else "",
        "frames": policy.frames.to_json() if policy.frames else None,
    }
    said = asdict(told) if told else {}
    reported = {"version": said.pop("at"), **said} if said else None
    differs = [] if told and told.release == release and not told.on_trial else ["release"]
    return {"device": device, "desired": desired, "reported": reported, "differs": differs}
