"""What may happen to a line after its detector was trained: night, a dirty lens, parts of a new look.

Decides how much darker, noisier, dirtier it gets. A `new part` is a known class that looks otherwise: all nuts come as
blue cap nuts, without a hole. Refuses a shift of another name.

>>> shift_named("night").lamp < 1, shift_named("day") == DAY
(True, True)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.errors import InputError
from edgewright.runtime.boxes import FloatArray
from edgewright.simulate.lens import blur, value_noise

_DUST_RGB = np.array([0.10, 0.095, 0.085], dtype=np.float32)
_SMUDGE_SIGMA_PX = 3.5


@dataclass(frozen=True)
class Shift:
    """Attributes:
    lamp: share of the line's light that is left.
    electrons: share of the sensor's full well that is used: less is noisier.
    warm: how much yellower the light is, as a share of red and blue.
    gain: what the camera's automatic exposure makes up for.
    dirt: share of the lens that is smeared, in [0, 1].
    capped: nuts come as cap nuts.
    """

    name: str
    lamp: float = 1.0
    electrons: float = 1.0
    warm: float = 0.0
    gain: float = 1.0
    dirt: float = 0.0
    capped: bool = False


SHIFTS = (
    Shift("day"),
    Shift("night", lamp=0.1, electrons=0.05, warm=0.35, gain=2.2),
    Shift("dirty-lens", dirt=0.75),
    Shift("new-part", capped=True),
)
DAY = SHIFTS[0]


def shift_named(name: str) -> Shift:
    """Raises InputError."""
    found = next((shift for shift in SHIFTS if shift.name == name), None)
    if found is None:
        raise InputError("no such shift", expected=", ".join(shift.name for shift in SHIFTS), got=name)
    return found


def draw_dirt(rng: np.random.Generator, *, wh: tuple[int, int], share: float) -> FloatArray:
    """(H, W, 1) [0, 1]: how little the lens lets through, the same on every photograph."""
    shape = (wh[1], wh[0])
    field = 0.7 * value_noise(shape, cell_px=55, rng=rng) + 0.3 * value_noise(shape, cell_px=13, rng=rng)
    threshold = float(np.quantile(field, 1 - share))
    return np.asarray(np.clip((field - threshold) * 3, 0, 0.8), dtype=np.float32)[..., None]


def through_dirt(light: FloatArray, dirt: FloatArray) -> FloatArray:
    """(H, W, 3) linear light behind the smears: blurred, dimmed, and veiled by what the dust scatters."""
    smeared = blur(light, sigma_px=_SMUDGE_SIGMA_PX)
    return np.asarray(light * (1 - dirt) + (0.45 * smeared + _DUST_RGB) * dirt, dtype=np.float32)
