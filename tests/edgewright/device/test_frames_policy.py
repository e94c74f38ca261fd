from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from edgewright.device.frames_policy import EscalationPolicy, FramesPolicy
from edgewright.device.offer import Policy

POLICY = FramesPolicy(an_hour=6, a_day=60, max_bytes=1_000, blur=("person",), blur_bundle="ab" * 32)
ASKING = replace(POLICY, an_hour=0, escalation=EscalationPolicy("https://gate.example:8475"))


def test_it_is_signed_with_the_floor_and_older_policies_are_as_they_were() -> None:
    signed = Policy(version=2, floor=1, frames=POLICY)
    assert Policy.from_json(signed.to_json()) == signed
    assert Policy(version=2, floor=1).to_json() == {"version": 2, "floor": 1, "allow_rollback_to": None}
    assert Policy.from_json({"version": 2, "floor": 1}).frames is None


@pytest.mark.parametrize(
    "change",
    [
        {"an_hour": 0},
        {"a_day": 10**9},
        {"max_bytes": -1},
        {"blur": [""]},
        {"blur": None},
        {"blur_bundle": "no digest"},
        {"an_hour": "many"},
        {"hide_everything": True},
    ],
)
def test_what_is_half_understood_lets_no_frame_leave(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"frames|invalid"):
        Policy.from_json({"version": 2, "floor": 1, "frames": {**POLICY.to_json(), **change}})
    with pytest.raises(ValueError, match="frames"):
        FramesPolicy.from_json([])  # type: ignore[arg-type]


def test_escalation_is_signed_with_it_and_a_policy_without_is_byte_for_byte_as_it_was() -> None:
    signed = Policy(version=2, floor=1, frames=ASKING)
    assert Policy.from_json(json.loads(json.dumps(signed.to_json()))) == signed
    assert json.dumps(FramesPolicy().to_json()) == (
        '{"an_hour": 6, "a_day": 60, "max_bytes": 50000000, "blur": [], "blur_bundle": ""}'
    )
    assert ASKING.hides == POLICY.hides, "what waits was hidden by the same"


def test_an_agent_from_before_escalation_refuses_it() -> None:
    """As it read a policy: by the names that it knows."""
    assert set(ASKING.to_json()) - {"an_hour", "a_day", "max_bytes", "blur", "blur_bundle"} == {"escalation"}


@pytest.mark.parametrize(
    "change",
    [
        {"to": "http://gate.example:8475"},
        {"to": "https://me:secret@gate.example"},
        {"to": "https://gate.example/path"},
        {"to": "gate.example:8475"},
        {"to": ""},
        {"share_per_mille": 1_001},
        {"share_per_mille": -1},
        {"share_per_mille": float("nan")},
        {"deadline_ms": 0},
        {"deadline_ms": 10**7},
        {"bytes_an_hour": 0},
        {"doubt_percent": 0},
        {"doubt_percent": float("inf")},
        {"side_px": 16},
        {"side_px": None},
        {"also_to": "https://elsewhere"},
    ],
)
def test_an_escalation_that_is_half_understood_lets_no_frame_leave(change: dict[str, Any]) -> None:
    value = {**ASKING.to_json(), "escalation": {**ASKING.to_json()["escalation"], **change}}
    with pytest.raises(ValueError, match=r"escalation|convert"):
        FramesPolicy.from_json(value)
    for missing in ("to", "share_per_mille"):
        rest = {name: each for name, each in ASKING.to_json()["escalation"].items() if name != missing}
        with pytest.raises(ValueError, match="escalation"):
            EscalationPolicy.from_json(rest)
    with pytest.raises(ValueError, match=r"escalation|frames"):
        FramesPolicy.from_json({**ASKING.to_json(), "escalation": None})
