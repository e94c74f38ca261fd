"""Bad generators on purpose. A gate that has not refused the copier is not a gate.

Decides what the gate must be able to refuse; each control is a pure function on (H, W, 3) uint8 pictures, and names
the check that must catch it. Used by the gate's self-test and its benchmark, never by a run.

>>> picture = np.zeros((8, 8, 3), np.uint8); picture[4, 4] = 90
>>> int(blurred(picture)[3, 3, 0])
10
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.runtime.boxes import Image


def copied(train: Sequence[Image], *, count: int, rng: np.random.Generator) -> list[Image]:
    """Training pictures drawn with replacement, half of them mirrored. Caught by the copy test."""
    picked = rng.integers(len(train), size=count)
    return [train[i][:, ::-1] if index % 2 else train[i] for index, i in enumerate(picked)]


def blurred(image: Image) -> Image:
    """3 × 3 box blur, borders repeated. Caught by the spectrum."""
    height, width = image.shape[:2]
    padded = np.pad(image.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.asarray(np.rint(np.mean(shifted, axis=0)), dtype=np.uint8)


def noisy(image: Image, *, sd: float, rng: np.random.Generator) -> Image:
    """Gaussian noise of `sd` gray levels. Caught by the spectrum."""
    return np.clip(np.rint(image + rng.normal(0.0, sd, size=image.shape)), 0, 255).astype(np.uint8)


def darker_half(images: Sequence[Image]) -> list[Image]:
    """The half with the lower mean: half of the modes, where light is a mode. Caught by the coverage."""
    order = np.argsort([float(image.mean()) for image in images], kind="stable")
    return [images[i] for i in np.sort(order[: len(images) // 2])]
