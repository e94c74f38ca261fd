"""What a frame looks like, in five numbers and a fingerprint: enough to tell night from day and dirt from glass.

Decides how they are measured. Refuses nothing.

    looks = looks_of(picture.rgb)
    looks.light, looks.detail, hex(looks.fingerprint)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage

_CROP_PX = 192
_WH = (9, 8)
BITS = 64


@dataclass(frozen=True)
class Looks:
    """Attributes:
    light: mean brightness, in [0, 1]. detail: mean step from a pixel to the next in the middle of the frame, in [0, 1].
    fingerprint: dHash of 64 bits: whether each of 9 × 8 squares is brighter than the one to its right.
    """

    light: float
    detail: float
    fingerprint: int


def looks_of(picture: PillowImage.Image) -> Looks:
    small = np.asarray(picture.convert("L").resize(_WH, PillowImage.Resampling.BOX), dtype=np.int16)
    bits = (small[:, :-1] > small[:, 1:]).ravel()
    x, y = ((side - min(side, _CROP_PX)) // 2 for side in picture.size)
    middle = picture.crop((x, y, x + min(picture.width, _CROP_PX), y + min(picture.height, _CROP_PX))).convert("L")
    steps = np.abs(np.diff(np.asarray(middle, dtype=np.int16), axis=1))
    detail = float(steps.mean()) / 255 if steps.size else 0.0
    return Looks(float(small.mean()) / 255, detail, int("".join(map(str, bits.astype(int))), 2))


def distance(one: int, other: int) -> int:
    """Bits in which two fingerprints differ, in [0, 64]."""
    return (one ^ other).bit_count()
