"""Where a frame's time goes, and whether the whole of it keeps its limit.

    L_total = L_capture + L_interconnect + L_compute + L_post <= limit

    capture        the file read and decoded, where a camera would hand over a frame
    interconnect   the picture fitted to the square that the network reads, and laid out as it reads it
    compute        the network
    post           boxes decoded and suppressed, put into px of the file, written down

Decides the phases and the steps of their histograms. A term for power is none of them: nothing here measures one.

>>> watch = Stopwatch(clock=iter([0.0, 0.003, 0.007]).__next__)
>>> watch.start()
>>> watch.lap("capture")
>>> watch.lap("compute")
>>> watch.stop()
>>> times = watch.times(limit_ms=5.0)
>>> times.phases["compute"].p50_ms, times.p50_ms, times.over
(4.0, 7.0, 1)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

PHASES = ("capture", "interconnect", "compute", "post")
BOUNDS_MS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Upper ends of the histograms' steps; what is longer is counted in one step more."""


@dataclass(frozen=True)
class PhaseTimes:
    """Attributes: counts: frames by step of BOUNDS_MS, and beyond."""

    p50_ms: float
    p99_ms: float
    sum_ms: float
    counts: tuple[int, ...]

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> PhaseTimes:
        """Raises ValueError where there are none."""
        if not times_ms:
            raise ValueError("no frame was timed")
        p50_ms, p99_ms = (round(float(value), 3) for value in np.percentile(times_ms, (50, 99)))
        steps = np.bincount(np.searchsorted(BOUNDS_MS, times_ms), minlength=len(BOUNDS_MS) + 1)
        return cls(p50_ms, p99_ms, round(float(np.sum(times_ms)), 3), tuple(map(int, steps)))


@dataclass(frozen=True)
class FrameTimes:
    """Law: `FrameTimes.from_json(t.to_json()) == t`.

    Attributes:
        phases: by name, in order.
        p50_ms, p95_ms, p99_ms: of whole frames, the sum of their phases.
        limit_ms: what a frame may take. over: frames that took longer.
    """

    phases: Mapping[str, PhaseTimes]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    frames: int
    limit_ms: float
    over: int

    def __str__(self) -> str:
        parts = " + ".join(f"{name} {each.p50_ms:.1f}" for name, each in self.phases.items())
        within = f"{self.over} of {self.frames} frames over the limit of {self.limit_ms:g} ms"
        return f"{parts} ms (medians), a frame {self.p50_ms:.1f} ms (p99 {self.p99_ms:.1f} ms), {within}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "bounds_ms": list(BOUNDS_MS)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> FrameTimes:
        """What agents wrote before they told the steps and p95 is read: the steps were these, and p99 stands for p95.

        Raises KeyError, TypeError or ValueError: of histograms with other steps, too.
        """
        if tuple(value.get("bounds_ms", BOUNDS_MS)) != BOUNDS_MS:
            raise ValueError(f"histograms with other steps: {value['bounds_ms']}")
        phases = {
            name: PhaseTimes(each["p50_ms"], each["p99_ms"], each["sum_ms"], tuple(each["counts"]))
            for name, each in value["phases"].items()
        }
        p95_ms = value.get("p95_ms", value["p99_ms"])
        return cls(phases, value["p50_ms"], p95_ms, value["p99_ms"], value["frames"], value["limit_ms"], value["over"])


class Stopwatch:
    """Laps of one frame after another; a frame counts from `stop` on. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._last = 0.0
        self._frame: dict[str, float] = {}
        self._frames: list[dict[str, float]] = []

    def start(self) -> None:
        """A new frame; what was not stopped never was."""
        self._frame, self._last = {}, self._clock()

    def lap(self, phase: str) -> None:
        """What passed since the last lap was this phase; a phase may have several."""
        now = self._clock()
        self._frame[phase] = self._frame.get(phase, 0.0) + 1000 * (now - self._last)
        self._last = now

    def stop(self) -> None:
        self._frames.append(self._frame)

    @property
    def frames(self) -> int:
        return len(self._frames)

    def sums_ms(self, *phases: str) -> list[float]:
        """Of each frame: these phases together."""
        return [sum(frame.get(phase, 0.0) for phase in phases) for frame in self._frames]

    def times(self, *, limit_ms: float) -> FrameTimes:
        """Raises ValueError where no frame was stopped."""
        frames = self.sums_ms(*PHASES)
        phases = {phase: PhaseTimes.of(self.sums_ms(phase)) for phase in PHASES}
        p50_ms, p95_ms, p99_ms = (round(float(value), 3) for value in np.percentile(frames, (50, 95, 99)))
        over = sum(each > limit_ms for each in frames)
        return FrameTimes(phases, p50_ms, p95_ms, p99_ms, self.frames, limit_ms, over)
