from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from edgewright.device.looks import distance, looks_of


def scene(seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)


def test_night_is_dark_and_dirt_is_soft() -> None:
    day, night = looks_of(scene()), looks_of(scene().point(lambda value: value // 4))
    dirty = looks_of(scene().filter(ImageFilter.GaussianBlur(12)))
    assert night.light < day.light / 3 and night.detail < day.detail / 3
    assert dirty.detail < day.detail / 2 and abs(dirty.light - day.light) < 0.02


def test_the_fingerprint_is_of_the_scene() -> None:
    one = looks_of(scene()).fingerprint
    assert distance(one, looks_of(scene().resize((320, 240))).fingerprint) <= 4
    assert distance(one, looks_of(scene().point(lambda value: value // 2)).fingerprint) <= 6
    assert distance(one, looks_of(scene(1)).fingerprint) >= 16


def test_a_frame_of_one_pixel_has_looks() -> None:
    assert looks_of(Image.new("RGB", (1, 1), "white")).detail == 0.0
