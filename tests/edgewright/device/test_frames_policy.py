from __future__ import annotations

from typing import Any

import pytest

from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.offer import Policy

POLICY = FramesPolicy(an_hour=6, a_day=60, max_bytes=1_000, blur=("person",), blur_bundle="ab" * 32)


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
