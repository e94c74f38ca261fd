"""The hash sees copies, not the camera."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageEnhance

from edgewright.data.phash import MAX_THRESHOLD_BITS, choose_threshold, find_duplicates, perceptual_hash


def opened(payload: bytes) -> PillowImage.Image:
    return PillowImage.open(io.BytesIO(payload)).convert("RGB")


def bits_apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def belt(seed: int) -> PillowImage.Image:
    """A fixed camera over a belt: one background, parts that lie elsewhere in every picture."""
    rng = np.random.default_rng(seed)
    image = np.full((96, 96, 3), 120, np.uint8)
    image[:12], image[-12:] = 40, 40
    for _ in range(rng.integers(3, 7)):
        x, y, side = rng.integers(4, 78), rng.integers(14, 66), rng.integers(10, 18)
        image[y : y + side, x : x + side] = rng.integers(0, 256, 3)
    return PillowImage.fromarray(np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((128, 96)),  # another size
        lambda image: ImageEnhance.Brightness(image).enhance(0.9),  # another exposure
        lambda image: image.crop((1, 1, 255, 191)),  # a small crop
    ],
)
def test_copies_are_near_and_others_are_far(
    picture: Callable[..., bytes], change: Callable[[PillowImage.Image], PillowImage.Image]
) -> None:
    image = opened(picture(1, wh=(256, 192)))
    assert bits_apart(perceptual_hash(image), perceptual_hash(change(image))) <= MAX_THRESHOLD_BITS
    assert bits_apart(perceptual_hash(image), perceptual_hash(opened(picture(2)))) > 12


def test_one_gray_has_the_hash_zero() -> None:
    assert {perceptual_hash(PillowImage.new("RGB", (50, 40), (g, g, g))) for g in (0, 77, 255)} == {"0" * 16}


def test_a_fixed_camera_does_not_make_duplicates() -> None:
    hashes = [(f"{seed:03d}", perceptual_hash(belt(seed)), str(seed)) for seed in range(120)]
    found = find_duplicates(hashes)
    assert found.pairs == ()
    assert sum(found.histogram) == 120 * 119 // 2


def test_copies_are_found_among_many(picture: Callable[..., bytes]) -> None:
    images = {f"{seed:02d}": opened(picture(seed)) for seed in range(40)}
    images["copy"] = images["07"].resize((100, 80))
    found = find_duplicates([(name, perceptual_hash(image), name) for name, image in images.items()])
    assert [(one, other) for one, other, _ in found.pairs] == [("07", "copy")]


def test_pictures_that_are_all_alike_are_joined_only_where_identical() -> None:
    """An empty belt: the hash cannot tell pictures apart, so it decides nothing."""
    hashes = [(f"{index}", f"{index % 4:016x}", "same" if index < 2 else str(index)) for index in range(30)]
    found = find_duplicates(hashes)
    assert found.threshold_bits == -1
    assert [pair[:2] for pair in found.pairs] == [("0", "1")]


@pytest.mark.parametrize(
    ("peak", "spread", "threshold"),
    [
        (32, 4, 6),  # unlike pictures: the cap
        (20, 4, 2),  # alike
        (12, 4, -1),  # too alike
    ],
)
def test_the_threshold_follows_the_sets_own_distances(peak: float, spread: float, threshold: int) -> None:
    drawn = np.random.default_rng(0).normal(peak, spread, 5000).round().clip(0, 64).astype(int)
    assert choose_threshold(np.bincount(drawn, minlength=65)) == threshold


@pytest.mark.parametrize("n", [0, 1])
def test_one_picture_has_no_pairs(n: int) -> None:
    found = find_duplicates([("a", "0" * 16, "s")] * n)
    assert (found.threshold_bits, found.pairs, sum(found.histogram)) == (-1, (), 0)
