"""What a rehearsal came to: a line an arm in a file, and how much of the gap each arm closed.

Decides what recovery is: (arm - before) / (full - before), in mAP50 on changed frames, of each seed by itself; over
seeds its mean with Student's t. Refuses a gap of less than MIN_GAP: a share of nothing is no number.

>>> round(recovered(0.7, before=0.4, full=0.8), 2)
0.75
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgewright.errors import InputError
from edgewright.experiment.results import append_line, lines_of
from edgewright.gates.utility import Gain, mean_interval
from edgewright.rehearsal.plan import BEFORE, FULL

MIN_GAP = 0.05


@dataclass(frozen=True)
class ArmResult:
    """One detector of one rehearsal. Law: `ArmResult.from_json(r.to_json()) == r`.

    Attributes:
        settings: digest of everything that bears on it but the seed.
        map50, map50_95: on changed frames. day_map50: on test photographs of before.
        frames: that came on top of the photographs. clicks: of the simulated reviewer.
        gate: of the data gate; "" where no picture was made.
        by_class: AP50-95 on changed frames.
    """

    shift: str
    seed: int
    settings: str
    arm: str
    map50: float
    map50_95: float
    day_map50: float
    frames: int
    clicks: int
    gate: str
    by_class: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int, str, str]:
        return self.shift, self.seed, self.settings, self.arm

    @property
    def found(self) -> dict[str, Any]:
        """Without when."""
        return {name: value for name, value in self.to_json().items() if name != "facts"}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ArmResult:
        return cls(**value)


@dataclass(frozen=True)
class Recovery:
    """Of an arm, over seeds. Attributes: shares: of each seed. interval: None of one seed."""

    arm: str
    shares: tuple[float, ...]
    map50: float
    interval: Gain | None

    @property
    def mean(self) -> float:
        return sum(self.shares) / len(self.shares)


def recovered(map50: float, *, before: float, full: float) -> float | None:
    """None where the gap is too small to speak of."""
    gap = full - before
    return (map50 - before) / gap if gap >= MIN_GAP else None


def recoveries(results: Sequence[ArmResult]) -> list[Recovery]:
    """Of one shift and equal settings: every arm between `before` and `full`, in the order of the lines."""
    at = {(one.arm, one.seed): one for one in results}
    seeds = sorted({seed for arm, seed in at if {(BEFORE, seed), (FULL, seed)} <= at.keys()})
    found = []
    for arm in dict.fromkeys(one.arm for one in results if one.arm not in (BEFORE, FULL)):
        own = [at[arm, seed] for seed in seeds if (arm, seed) in at]
        shares = [
            share
            for one in own
            if (share := recovered(one.map50, before=at[BEFORE, one.seed].map50, full=at[FULL, one.seed].map50))
            is not None
        ]
        if shares:
            map50 = sum(one.map50 for one in own) / len(own)
            interval = mean_interval(shares) if len(shares) > 1 else None
            found.append(Recovery(arm, tuple(shares), map50, interval))
    return found


def append_result(path: Path, result: ArmResult) -> None:
    """Nothing where the same was found before; else a line more, and the last of equal keys counts."""
    known = next((one for one in read_results(path) if one.key == result.key), None)
    if known is None or known.found != result.found:
        append_line(path, result.to_json())


def read_results(path: Path) -> list[ArmResult]:
    """Raises InputError where a line cannot be read."""
    found: dict[tuple[str, int, str, str], ArmResult] = {}
    for number, line in lines_of(path):
        try:
            result = ArmResult.from_json(json.loads(line))
        except (ValueError, TypeError) as error:
            next_step = "repair or remove that line; every whole line is kept"
            where = f"{path}:{number}"
            raise InputError("a line cannot be read", got=error, where=where, next_step=next_step) from error
        found[result.key] = result
    return list(found.values())
