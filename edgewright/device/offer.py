"""What a channel tells a device beside its files: a floor, signed offline, and what a cohort runs, signed online.

Decides which of the permitted releases a device takes: by its place in the rollout, a number in [0, 1) that is the hash
of the rollout's and the device's names, so that cohorts are stable and nobody chooses them. Refuses nothing by itself:
whether a release is permitted, and not below the floor, is asked where it is fetched.

    policy    {"version": 4, "floor": 7, "allow_rollback_to": null}     of the target <channel>/policy.json
    plan      {"id": "…", "release": 9, "share": 0.05, "otherwise": 8, "state": "running"}    rollout/<channel>.json

>>> plan = Plan("spring", release=9, share=0.05, otherwise=8)
>>> plan.chosen("line-1-0", running=8), plan.chosen("line-1-17", running=8)
(8, 8)
>>> Plan("spring", release=9, share=1.0, otherwise=8).chosen("line-1-0", running=8)
9
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from edgewright.device.frames_policy import FramesPolicy
from edgewright.errors import InputError

POLICY_FILE = "policy.json"
MAX_PLAN_BYTES = 16_000
TIERS = ("full", "optimized", "basic")
AUTO = "auto"
"""The tier of a device that measures which of them suits it."""
_WINDOW = re.compile(r"(?:1?\d|2[0-3])-(?:1?\d|2[0-4])")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def target_path(channel: str, tier: str, release: int, name: str) -> str:
    """The signed name of a release's file."""
    return f"{channel}/{tier}/{release}/{name}"


def plan_path(channel: str) -> str:
    return f"rollout/{channel}.json"


def place_of(device_id: str, rollout: str) -> float:
    """In [0, 1): where a device stands in a rollout."""
    digest = hashlib.sha256(f"{rollout}\0{device_id}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


@dataclass(frozen=True)
class Policy:
    """Signed by the offline role `targets`.

    Attributes:
        version: rises with every change, from 1; what a device did by one it does once.
        floor: no lower release may be run, whoever chooses it.
        allow_rollback_to: devices whose floor is higher lower it to this; None: floors only rise.
        frames: which hard frames may leave a device; None: none.

    Law: version 0 says nothing, which is a channel from before there were policies.
    """

    version: int = 0
    floor: int = 0
    allow_rollback_to: int | None = None
    frames: FramesPolicy | None = None

    def __post_init__(self) -> None:
        lowest = self.floor if self.allow_rollback_to is None else self.allow_rollback_to
        if min(self.version, self.floor, lowest) < 0 or (not self.version and (self.floor or lowest)):
            raise ValueError(f"not a channel's policy: {self}")

    def to_json(self) -> dict[str, Any]:
        numbers = {name: value for name, value in asdict(self).items() if name != "frames"}
        return {**numbers, "frames": self.frames.to_json()} if self.frames else numbers

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Policy:
        """Raises ValueError. None: a channel from before there were policies."""
        if value is None:
            return cls()
        try:
            lowest = value.get("allow_rollback_to")
            frames = FramesPolicy.from_json(value["frames"]) if value.get("frames") else None
            return cls(int(value["version"]), int(value["floor"]), None if lowest is None else int(lowest), frames)
        except (AttributeError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"not a channel's policy: {error}") from error


@dataclass(frozen=True)
class Wish:
    """Of somebody at the device, kept there; it chooses among what is permitted, as a plan does.

    Attributes:
        hold: nothing is installed. pin: the release that is run instead of the plan's; 0: none.
        window: local hours in which files are fetched, `22-6`; "": always.
    """

    hold: bool = False
    pin: int = 0
    window: str = ""

    def __post_init__(self) -> None:
        if self.pin < 0 or (self.window and not _WINDOW.fullmatch(self.window)):
            raise InputError("not a wish", expected="a release from 1; a window as 22-6", got=self)

    def fetches_at(self, hour: int) -> bool:
        """
        >>> Wish(window="22-6").fetches_at(23), Wish(window="22-6").fetches_at(6), Wish().fetches_at(12)
        (True, False, True)
        """
        if not self.window:
            return True
        first, last = map(int, self.window.split("-"))
        return first <= hour < last if first < last else hour >= first or hour < last

    def __str__(self) -> str:
        parts = ("holds what runs" * self.hold, f"runs release {self.pin}" * bool(self.pin))
        said = ", ".join(filter(None, parts)) or "follows the plan"
        return f"{said}, fetches from {self.window.replace('-', ' to ')} o'clock" if self.window else said

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, payload: bytes) -> Wish:
        """Raises InputError for anything else: what somebody wished must not be lost silently."""
        try:
            value = json.loads(payload)
            return cls(bool(value["hold"]), int(value["pin"]), str(value["window"]))
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            raise InputError("not a wish", got=error) from error


NO_WISH = Wish()


class Course(StrEnum):
    """`halted`: who has the release keeps it, nobody else takes it. `withdrawn`: nobody runs it."""

    RUNNING = "running"
    HALTED = "halted"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Plan:
    """Signed by the online role `rollout`.

    Attributes:
        id: of the rollout; another id is another order of the devices.
        release: what is rolled out. share: of the devices that are to have it, in [0, 1].
        otherwise: what all others run; 0: whatever they run.
    """

    id: str
    release: int
    share: float
    otherwise: int
    state: Course = Course.RUNNING

    def __post_init__(self) -> None:
        sane = math.isfinite(self.share) and 0 <= self.share <= 1 and self.release >= 0 and self.otherwise >= 0
        if not sane or not _ID.fullmatch(self.id):
            raise InputError("not a rollout's plan", expected="a share in [0, 1], releases from 0", got=self)

    def chosen(self, device_id: str, *, running: int) -> int:
        """The release that this device is to run; 0: the one that runs. Never one that is withdrawn."""
        if self.state is Course.WITHDRAWN and self.otherwise == self.release:
            return 0
        if self.state is Course.HALTED and running == self.release:
            return self.release
        rolled_out = self.state is Course.RUNNING and place_of(device_id, self.id) < self.share
        return self.release if rolled_out else self.otherwise

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, payload: bytes) -> Plan:
        """Raises InputError for anything else, however well it is signed."""
        try:
            value = json.loads(payload)
            return cls(
                id=str(value["id"]),
                release=int(value["release"]),
                share=float(value["share"]),
                otherwise=int(value["otherwise"]),
                state=Course(value["state"]),
            )
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            raise InputError("not a rollout's plan", got=error) from error
