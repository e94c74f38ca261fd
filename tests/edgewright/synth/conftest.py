"""Crops to learn from, and one thread, on which training is the same bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.synth.batches import CropSet


@pytest.fixture(scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def crops() -> CropSet:
    """Class 0: 40 red squares; class 1: 6 blue ones; on gray, opaque where colored."""
    rng = np.random.default_rng(0)
    pixels = np.full((46, 32, 32, 4), 120, np.uint8)
    pixels[..., 3] = 0
    index = np.array([0] * 40 + [1] * 6)
    for crop, which in zip(pixels, index, strict=True):
        half = rng.integers(7, 11)
        crop[16 - half : 16 + half, 16 - half : 16 + half] = (220, 40, 40, 255) if which == 0 else (40, 40, 220, 255)
    return CropSet(pixels, index)
