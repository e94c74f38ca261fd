"""Which measured detector is taken: limits and points => the front, who goes on, the one that is picked.

Decides by three numbers that are better when smaller or larger: bytes, milliseconds, mAP. A detector that finds nothing
is never taken, whatever it weighs. Where no point is within every limit nothing is picked: then the sentence names what
could not be met, and the nearest point. Refuses to choose from nothing.

    picked = pick(points, limits)
    picked.point, picked.sentence
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgewright.errors import InputError

P50_MS = "p50_ms"
"""Among the facts of what was weighed: in its record, for no two machines agree on it."""
LEAST_MAP = 1e-3
"""Of mAP50-95: below it a detector finds nothing."""


@dataclass(frozen=True)
class Limits:
    """Attributes: max_latency_ms: None where time does not matter."""

    max_bytes: int
    max_drop: float
    max_latency_ms: float | None = None


@dataclass(frozen=True)
class Point:
    """One measured detector. Law: `Point(**p.to_json()) == p`.

    Attributes:
        steps: it learned for, on its last rung.
        bytes: of the larger INT8 file. map50_95: of the worse one, on val. drop: of the float detector's, to that.
        p50_ms: of the file that this machine runs, one thread.
        model: digest of the INT8 model. detector: of the float one.
    """

    title: str
    family: str
    steps: int
    parameters: int
    bytes: int
    float_map50_95: float
    map50_95: float
    p50_ms: float
    model: str = ""
    detector: str = ""

    @property
    def drop(self) -> float:
        return self.float_map50_95 - self.map50_95

    @property
    def finds(self) -> bool:
        return self.map50_95 >= LEAST_MAP

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Picked:
    """`point` is None where nothing is within the limits; `nearest` is then the one that exceeds them least."""

    point: Point | None
    nearest: Point
    sentence: str


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in all of bytes, time and mAP; the smallest first."""
    best = [one for one in points if not any(_beats(other, one) for other in points)]
    return sorted(best, key=lambda one: (one.bytes, one.p50_ms, -one.map50_95))


def survivors(points: Sequence[Point], limits: Limits, *, n: int) -> list[Point]:
    """The `n` that go on: those whose size and time fit before those that do not, the front before what it beats.

    The drop does not count here: what has learned for a part of its time loses other things.
    """
    left, ranked = [one for one in points if one.finds] or list(points), list[Point]()
    while left:
        now = front(left)
        ranked += sorted(now, key=lambda one: -one.map50_95)
        left = [one for one in left if one not in now]
    fits = {id(one): not set(_excess(one, limits)) - {"drop"} for one in ranked}
    return sorted(ranked, key=lambda one: not fits[id(one)])[:n]


def pick(points: Sequence[Point], limits: Limits) -> Picked:
    """The most accurate point of the last rung within every limit, the smaller of equals.

    Raises:
        InputError: there is no point.
    """
    if not points:
        raise InputError("nothing was measured, so nothing can be picked")
    longest = max(one.steps for one in points)
    finding = [one for one in points if one.finds and one.steps == longest]
    if not finding:
        return Picked(None, points[0], "No candidate finds anything on val, so none is taken.")
    nearest = min(finding, key=lambda one: (max(_excess(one, limits).values(), default=0.0), -one.map50_95))
    fitting = [one for one in finding if not _excess(one, limits)]
    if fitting:
        best = min(fitting, key=lambda one: (-one.map50_95, one.bytes))
        return Picked(best, best, f"{best.title}: {_numbers(best)}.")
    return Picked(None, nearest, f"{_why(points, finding, limits)} Nearest: {nearest.title}: {_numbers(nearest)}.")


def _why(points: Sequence[Point], last: Sequence[Point], limits: Limits) -> str:
    """Bytes and time are known of every candidate, the drop of those alone that learned to the end."""
    never = [*_never(points, limits, ("bytes", "latency")), *_never(last, limits, ("drop",))]
    if never:
        return f"The budget cannot be met here: {'; '.join(never)}."
    return "Each limit is met by some candidate, and by none all of them."


def _never(points: Sequence[Point], limits: Limits, names: Sequence[str]) -> Iterator[str]:
    """A sentence's part for each of these limits that no point meets."""
    smallest, truest = min(points, key=lambda one: one.bytes), min(points, key=lambda one: one.drop)
    fastest = min(points, key=lambda one: one.p50_ms)
    texts = {
        "bytes": f"at most {limits.max_bytes:,} bytes, where the smallest, {smallest.title}, has {smallest.bytes:,}",
        "drop": f"a drop of at most {limits.max_drop:g}, where the least, of {truest.title}, is {truest.drop:.4f}",
        "latency": f"at most {limits.max_latency_ms or 0:g} ms, where the fastest, {fastest.title}, takes "
        f"{fastest.p50_ms:.1f}",
    }
    yield from (texts[name] for name in names if all(name in _excess(one, limits) for one in points))


def _excess(point: Point, limits: Limits) -> dict[str, float]:
    """Limit => how many times it is exceeded by, for those that are."""
    over = {"bytes": _over(point.bytes, limits.max_bytes), "drop": _over(point.drop, limits.max_drop)}
    if limits.max_latency_ms is not None:
        over["latency"] = _over(point.p50_ms, limits.max_latency_ms)
    return {name: value for name, value in over.items() if value > 0}


def _over(value: float, limit: float) -> float:
    if value <= limit:
        return 0.0
    return max(value / limit - 1, sys.float_info.min) if limit else math.inf


def _beats(one: Point, other: Point) -> bool:
    """At least as good in everything, and better in something."""
    mine, theirs = ((each.bytes, each.p50_ms, -each.map50_95) for each in (one, other))
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def _numbers(point: Point) -> str:
    return (
        f"{point.bytes:,} bytes, val mAP50-95 {point.map50_95:.3f} "
        f"({point.drop:.4f} less than in float), {point.p50_ms:.1f} ms"
    )
