"""What happened on the line, so that a rehearsal that was cut off goes on: when it was noticed, what came home, how
well devices saw over time.

Decides what accuracy over time is: mAP50 of what devices reported, in parts of PART_FRAMES frames of each phase.
Refuses nothing.

Law: `Story.from_json(s.to_json()) == s`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgewright.detect.evaluate import Sample, evaluate
from edgewright.rehearsal.watched import SeenFrame
from edgewright.runtime.boxes import Boxes

PART_FRAMES = 200
_NOTHING = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True)
class Part:
    """Attributes: phase: in words. frames: until the end of this part, of one device. map50: of all devices'."""

    phase: str
    frames: int
    release: int
    map50: float


@dataclass(frozen=True)
class Story:
    """Attributes:
    line: what its devices' names begin with.
    noticed: after how many changed frames each device did; None where it did not.
    why: what it said.
    seen: frames under the policy. kept: ids of the frames that came home.
    parts: accuracy over time.
    shipped: what became of the rollout, in a sentence; "" before.
    """

    line: str
    noticed: tuple[int | None, ...]
    why: tuple[str, ...]
    seen: int
    kept: tuple[str, ...]
    parts: tuple[Part, ...]
    shipped: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Story:
        return cls(
            line=value["line"],
            noticed=tuple(value["noticed"]),
            why=tuple(value["why"]),
            seen=value["seen"],
            kept=tuple(value["kept"]),
            parts=tuple(Part(**part) for part in value["parts"]),
            shipped=value["shipped"],
        )


def parts_of(
    phase: str, seen: Sequence[Sequence[SeenFrame]], truth: Mapping[str, Boxes], *, classes: Sequence[str], after: int
) -> list[Part]:
    """Args: seen: of each device, one phase. after: frames of one device before the phase."""
    longest = max(map(len, seen), default=0)
    found = []
    for start in range(0, longest, PART_FRAMES):
        frames = [frame for each in seen for frame in each[start : start + PART_FRAMES]]
        boxes = iter([frame.boxes for frame in frames])
        samples = (Sample(_NOTHING, truth[frame.name]) for frame in frames)
        map50 = evaluate(lambda _, boxes=boxes: next(boxes), samples, classes=classes).map50  # type: ignore[misc]
        end = after + min(start + PART_FRAMES, longest)
        found.append(Part(phase, end, max(frame.release for frame in frames), map50 or 0.0))
    return found
