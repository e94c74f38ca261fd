"""Learning rates by step, as factors in (0, 1]: functions of the step number, so that a continued training needs none.

Descent(learning_rate=3e-3, rate=partial(warm_up, over=50))
"""

from __future__ import annotations

import math
from collections.abc import Callable

Rate = Callable[[int], float]
"""Step number, counted from 0 => factor."""


def steady(_: int) -> float:
    """The same all along."""
    return 1.0


def warm_up(step: int, *, over: int) -> float:
    """Linear to 1 within `over` steps."""
    return min(1.0, (step + 1) / over)


def half_cosine(step: int, *, steps: int) -> float:
    """From 1 towards 0 (Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def warm_cosine(step: int, *, steps: int, share: float) -> float:
    """Linear for that share of the steps, then a half cosine."""
    rising = max(1, round(steps * share))
    if step < rising:
        return (step + 1) / (rising + 1)
    return half_cosine(step - rising, steps=max(1, steps - rising))
