"""Where an estimate, its interval and its threshold lie on a line of 120 px: the one picture that is not a chart.

Decides the scale, so that all of them and a margin fit. Own code: it is a glyph in a table's cell, and a figure of
matplotlib's for each of them costs more bytes than the table.

>>> from edgewright.gates.verdict import compare
>>> place_interval(compare("a", 0.5, at_least=0.0, low=0.0, high=1.0, n=9, set_at="s")).value
60.0
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgewright.gates.verdict import Check

WIDTH_PX = 120.0


@dataclass(frozen=True)
class IntervalPlace:
    """px from the left, in [0, WIDTH_PX]."""

    low: float
    high: float
    value: float
    threshold: float
    allowed_from: float
    allowed_width: float


def place_interval(check: Check) -> IntervalPlace | None:
    """None without an estimate or a threshold, or where one of the numbers is not finite."""
    if check.value is None or check.threshold is None:
        return None
    low = check.value if check.low is None else check.low
    high = check.value if check.high is None else check.high
    numbers = (low, high, check.value, check.threshold)
    if not all(map(math.isfinite, numbers)):
        return None
    margin = (max(numbers) - min(numbers)) * 0.2 or abs(check.threshold) * 0.2 or 1.0
    start, span = min(numbers) - margin, max(numbers) - min(numbers) + 2 * margin
    low, high, value, threshold = (round((number - start) / span * WIDTH_PX, 1) for number in numbers)
    above = check.comparison == ">="
    return IntervalPlace(
        low=low,
        high=high,
        value=value,
        threshold=threshold,
        allowed_from=threshold if above else 0.0,
        allowed_width=round(WIDTH_PX - threshold, 1) if above else threshold,
    )
