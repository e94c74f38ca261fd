from __future__ import annotations

import json
from dataclasses import replace

from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.offer import Course, Plan, Policy
from edgewright.fleet.rollout import Told
from edgewright.fleet.twin import twin_of

PLAN = Plan("spring", release=9, share=1.0, otherwise=8)
TOLD = Told(at=1000.0, release=8, offered=9)


def test_what_is_signed_stands_beside_what_was_said() -> None:
    policy = Policy(version=2, floor=7, frames=FramesPolicy())
    twin = twin_of("line-1", plan=PLAN, policy=policy, versions=(4, 9), told=TOLD)
    assert json.loads(json.dumps(twin)) == twin
    assert twin["desired"] == {
        "version": [4, 9],
        "release": 9,
        "floor": 7,
        "plan": "spring",
        "frames": FramesPolicy().to_json(),
    }
    assert twin["reported"]["version"] == 1000.0 and twin["reported"]["release"] == 8 and "at" not in twin["reported"]
    assert twin["differs"] == ["release"]


def test_it_is_in_step_once_what_is_desired_is_proven() -> None:
    def differs(told: Told | None, plan: Plan = PLAN) -> list[str]:
        found: list[str] = twin_of("line-1", plan=plan, policy=Policy(), versions=(1, 1), told=told)["differs"]
        return found

    assert differs(replace(TOLD, release=9)) == []
    assert differs(replace(TOLD, release=9, on_trial=True)) == ["release"]
    assert differs(TOLD, replace(PLAN, state=Course.WITHDRAWN)) == []
    assert differs(None) == ["release"], "it was never heard"
