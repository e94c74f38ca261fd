"""Which pictures may leave a device, where to, and what has to be hidden on them: signed offline, with the floor.

Two parts: hard frames, kept for the people who label, and, where it is asked for, escalation: doubted frames that a
larger model is asked about at once. Decides nothing. Refuses, as everything that is signed and is none of these, to be
half understood: a policy that cannot be read lets no frame leave.

    {"an_hour": 6, "a_day": 60, "max_bytes": 50000000, "blur": ["person"], "blur_bundle": "",
     "escalation": {"to": "https://gate.example:8475", "share_per_mille": 50, "deadline_ms": 300,
                    "bytes_an_hour": 50000000, "doubt_percent": 50, "side_px": 640}}
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgewright.addresses import checked
from edgewright.errors import InputError

MAX_AN_HOUR, MAX_A_DAY, MAX_BYTES = 3_600, 20_000, 4_000_000_000
DEADLINE_MS, SIDE_PX = (10, 10_000), (32, 4_096)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class EscalationPolicy:
    """Law: `EscalationPolicy.from_json(p.to_json()) == p`.

    Attributes:
        to: `https://host[:port]` of the server that is asked, by the device's own certificate.
        share_per_mille: of the frames that are looked at, the largest that is asked about; 0: none.
        deadline_ms: from the local answer to the other one; a later one is dropped.
        bytes_an_hour: of pictures that leave.
        doubt_percent: from which a frame is asked about: 100 is a score at the threshold (`hard.py`).
        side_px: the longer side of what leaves, at most.

    All are whole numbers: what TUF signs knows no others.
    """

    to: str
    share_per_mille: int = 50
    deadline_ms: int = 300
    bytes_an_hour: int = 50_000_000
    doubt_percent: int = 50
    side_px: int = 640

    def __post_init__(self) -> None:
        shares = 0 <= self.share_per_mille <= 1_000 and 1 <= self.doubt_percent <= 100
        times = DEADLINE_MS[0] <= self.deadline_ms <= DEADLINE_MS[1] and SIDE_PX[0] <= self.side_px <= SIDE_PX[1]
        sane = shares and times and 1 <= self.bytes_an_hour <= MAX_BYTES
        if not sane or not _is_server(self.to):
            raise ValueError(f"not a policy of escalation: {self}")

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.share_per_mille / 1_000

    @property
    def doubt(self) -> float:
        """In (0, 1], as `hard.doubt_of` gives it."""
        return self.doubt_percent / 100

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EscalationPolicy:
        """Raises ValueError: also where a newer one asks for something that this agent does not know."""
        try:
            if set(value) != set(cls.__dataclass_fields__):
                raise ValueError(f"not a policy of escalation: {value}")
            return cls(str(value["to"]), **{name: int(each) for name, each in value.items() if name != "to"})
        except (TypeError, OverflowError) as error:
            raise ValueError(f"not a policy of escalation: {error}") from error


@dataclass(frozen=True)
class FramesPolicy:
    """Law: `FramesPolicy.from_json(p.to_json()) == p`.

    Attributes:
        an_hour, a_day: frames that are kept at most; 0 an hour where frames are asked about and none is kept.
        max_bytes: of frames that wait to be told.
        blur: classes that are hidden wherever the detector that runs suspects one, by name.
        blur_bundle: sha256 of the manifest of a bundle that lies in the device's `blur/`, all of whose classes are
            hidden; "": none is asked for.
        escalation: which frames a server may be asked about; None: none. What is hidden is hidden on them too.
    """

    an_hour: int = 6
    a_day: int = 60
    max_bytes: int = 50_000_000
    blur: tuple[str, ...] = ()
    blur_bundle: str = ""
    escalation: EscalationPolicy | None = None

    def __post_init__(self) -> None:
        least = 0 if self.escalation else 1
        whole = least <= self.an_hour <= MAX_AN_HOUR and 1 <= self.a_day <= MAX_A_DAY
        named = all(self.blur) and 1 <= self.max_bytes <= MAX_BYTES
        if not whole or not named or (self.blur_bundle and not _SHA256.fullmatch(self.blur_bundle)):
            raise ValueError(f"not a policy of frames: {self}")

    @property
    def hides(self) -> str:
        """Of what is hidden, a fingerprint: a frame that was kept by another is not of this policy."""
        return hashlib.sha256(json.dumps([sorted(self.blur), self.blur_bundle]).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Without escalation as agents wrote and read it that knew of none."""
        kept = {name: value for name, value in asdict(self).items() if name != "escalation"}
        asked = {"escalation": self.escalation.to_json()} if self.escalation else {}
        return {**kept, "blur": list(self.blur), **asked}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FramesPolicy:
        """Raises ValueError: also where a newer one asks for something that this agent does not know."""
        try:
            if set(value) - set(cls.__dataclass_fields__):
                raise ValueError(f"not a policy of frames: {value}")
            numbers = {name: int(value[name]) for name in ("an_hour", "a_day", "max_bytes")}
            names = tuple(str(name) for name in value["blur"])
            asked = EscalationPolicy.from_json(value["escalation"]) if "escalation" in value else None
            return cls(**numbers, blur=names, blur_bundle=str(value["blur_bundle"]), escalation=asked)
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"not a policy of frames: {error}") from error


def _is_server(address: str) -> bool:
    """An address over TLS without a path, a user or a password, which a signed file would show to everybody."""
    try:
        checked(address, schemes=("https",))
    except InputError:
        return False
    return re.fullmatch(r"https://[^/@\s]+", address) is not None
