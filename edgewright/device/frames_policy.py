"""Whether hard frames may leave a device, how many, and what has to be hidden on them: signed offline, with the floor.

Decides nothing. Refuses, as everything that is signed and is none of these, to be half understood: a policy that cannot
be read lets no frame leave.

    {"an_hour": 6, "a_day": 60, "max_bytes": 50000000, "blur": ["person"], "blur_bundle": ""}
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MAX_AN_HOUR, MAX_A_DAY, MAX_BYTES = 3_600, 20_000, 4_000_000_000
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FramesPolicy:
    """Law: `FramesPolicy.from_json(p.to_json()) == p`.

    Attributes:
        an_hour, a_day: frames that are kept at most.
        max_bytes: of frames that wait to be told.
        blur: classes that are hidden wherever the detector that runs suspects one, by name.
        blur_bundle: sha256 of the manifest of a bundle that lies in the device's `blur/`, all of whose classes are
            hidden; "": none is asked for.
    """

    an_hour: int = 6
    a_day: int = 60
    max_bytes: int = 50_000_000
    blur: tuple[str, ...] = ()
    blur_bundle: str = ""

    def __post_init__(self) -> None:
        whole = 1 <= self.an_hour <= MAX_AN_HOUR and 1 <= self.a_day <= MAX_A_DAY and 1 <= self.max_bytes <= MAX_BYTES
        named = all(self.blur)
        if not whole or not named or (self.blur_bundle and not _SHA256.fullmatch(self.blur_bundle)):
            raise ValueError(f"not a policy of frames: {self}")

    @property
    def hides(self) -> str:
        """Of what is hidden, a fingerprint: a frame that was kept by another is not of this policy."""
        return hashlib.sha256(json.dumps([sorted(self.blur), self.blur_bundle]).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "blur": list(self.blur)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FramesPolicy:
        """Raises ValueError: also where a newer one asks for something that this agent does not know."""
        try:
            if set(value) - set(cls.__dataclass_fields__):
                raise ValueError(f"not a policy of frames: {value}")
            numbers = {name: int(value[name]) for name in ("an_hour", "a_day", "max_bytes")}
            names = tuple(str(name) for name in value["blur"])
            return cls(**numbers, blur=names, blur_bundle=str(value["blur_bundle"]))
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"not a policy of frames: {error}") from error
