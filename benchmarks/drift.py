"""How often drift is told where nothing changed, and after how many windows where something did.

    python benchmarks/drift.py

Windows are made of independent normal numbers, one of which moves by so many of its standard deviations. Prints counts
and medians; the baseline is the statement in `edgewright/device/drift.py`: one false alarm in ALARM windows on average.
"""

from __future__ import annotations

import random
from statistics import median

from edgewright.device.drift import ALARM, SIGNALS, Drift

DEVICES, WINDOWS = 40, 1_500
BEFORE, AT_MOST, REPEATS = 300, 400, 15


def _after(drift: Drift, draws: random.Random, shift: float = 0.0) -> Drift:
    return drift.after({name: draws.gauss(0, 1) + shift * (name == "light") for name in SIGNALS}, ties=draws)


def main() -> None:
    alarms = 0
    for seed in range(DEVICES):
        draws, drift = random.Random(seed), Drift("a")
        for _ in range(WINDOWS):
            drift = _after(drift, draws)
        alarms += bool(drift.why)
    chance = DEVICES * WINDOWS / ALARM
    print(f"nothing changes: {alarms} of {DEVICES} devices alarmed in {WINDOWS} windows (stated: at most {chance:.0f})")
    for shift in (1.0, 2.0, 3.0, 5.0):
        delays = []
        for seed in range(REPEATS):
            draws, drift = random.Random(1_000 + seed), Drift("a")
            for _ in range(BEFORE):
                drift = _after(drift, draws)
            count = 0
            while not drift.why and count < AT_MOST:
                drift, count = _after(drift, draws, shift), count + 1
            delays.append(count)
        print(f"one number moves by {shift:g} sigma: told after {median(delays):.0f} windows (longest {max(delays)})")


if __name__ == "__main__":
    main()
