"""The simulated camera: the same picture for the same number, and truth that is exactly what can be seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.errors import InputError
from edgewright.simulate.camera import CLASSES, MIN_VISIBLE, PARTS_MAX, SimulatedCamera
from edgewright.simulate.parts import METALS, draw_part

CAMERA = SimulatedCamera(seed=5)
indices = st.integers(min_value=0, max_value=2_000_000)


@settings(max_examples=12, deadline=None)
@given(indices)
def test_boxes_are_tight_around_the_visible_pixels(index: int) -> None:
    photograph = CAMERA.photograph(index)
    for box, mask in zip(photograph.boxes.xyxy.astype(int), photograph.masks, strict=True):
        x1, y1, x2, y2 = box
        assert mask[y1:y2, x1:x2].sum() == mask.sum() > 0
        assert mask[y1].any()
        assert mask[y2 - 1].any()
        assert mask[:, x1].any()
        assert mask[:, x2 - 1].any()


@settings(max_examples=8, deadline=None)
@given(indices)
def test_no_pixel_belongs_to_two_parts(index: int) -> None:
    photograph = CAMERA.photograph(index)
    assert len(photograph.boxes) == len(photograph.masks) <= PARTS_MAX
    assert np.sum(photograph.masks, axis=0).max() <= 1


def test_a_photograph_depends_on_seed_and_index_alone() -> None:
    forwards = [CAMERA.photograph(index).image for index in (0, 1, 2)]
    again = SimulatedCamera(seed=5)
    backwards = [again.photograph(index).image for index in (2, 1, 0)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert not np.array_equal(forwards[0], forwards[1])
    assert not np.array_equal(forwards[0], SimulatedCamera(seed=6).photograph(0).image)


def test_scenes_are_crowded_and_every_class_comes_up() -> None:
    photographs = [CAMERA.photograph(index) for index in range(40)]
    class_ids = np.concatenate([photograph.boxes.class_id for photograph in photographs])
    counts = np.bincount(class_ids, minlength=len(CLASSES))
    assert counts.min() > 0.2 * counts.sum()
    touching = [np.triu(photograph.boxes.iou(photograph.boxes), k=1).max() > 0 for photograph in photographs]
    assert np.mean(touching) > 0.4  # overlap is usual, or components would do
    assert all(len(photograph.boxes) >= 1 for photograph in photographs)


def test_metal_and_size_do_not_tell_the_class() -> None:
    rng = np.random.default_rng(0)
    parts = [draw_part(rng) for _ in range(1500)]
    for metal in METALS:
        of_metal = np.bincount([part.class_id for part in parts if part.metal is metal], minlength=3)
        assert of_metal.min() > 0.2 * of_metal.sum()
    radii = [[part.radius_px for part in parts if part.class_id == class_id] for class_id in range(3)]
    assert max(min(of_class) for of_class in radii) < min(np.median(of_class) for of_class in radii)


@pytest.mark.parametrize("wh", [(256, 192), (64, 64), (320, 128)])
def test_size(wh: tuple[int, int]) -> None:
    photograph = SimulatedCamera(seed=0, wh=wh).photograph(1)
    assert photograph.image.shape == (wh[1], wh[0], 3)
    assert photograph.image.dtype == np.uint8
    assert all(mask.shape == (wh[1], wh[0]) for mask in photograph.masks)


def test_drift_dims_yellows_and_blurs_but_moves_nothing() -> None:
    fresh, worn = SimulatedCamera(seed=3), SimulatedCamera(seed=3, drift=1.0)
    pairs = [(fresh.photograph(index), worn.photograph(index)) for index in range(6)]
    assert all(np.array_equal(before.boxes.xyxy, after.boxes.xyxy) for before, after in pairs)
    before, after = (np.stack([p.image.astype(float) for p in side]) for side in zip(*pairs, strict=True))
    assert after.mean() < 0.85 * before.mean()
    assert after[..., 0].mean() / after[..., 2].mean() > 1.05 * before[..., 0].mean() / before[..., 2].mean()
    edges = [np.quantile(np.abs(np.diff(side, axis=2)), 0.999) / side.mean() for side in (before, after)]
    assert edges[1] < 0.8 * edges[0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": -1},  # generators take no negative seed
        {"seed": 0, "wh": (63, 192)},  # too small for a part
        {"seed": 0, "drift": 1.5},  # beyond the end of the scale
    ],
)
def test_impossible_cameras_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        SimulatedCamera(**arguments)


def test_hardly_visible_parts_are_never_in_a_scene() -> None:
    """A lower bound by area: a box of visible pixels is never a sliver."""
    areas = [mask.sum() for index in range(30) for mask in CAMERA.photograph(index).masks]
    assert min(areas) > MIN_VISIBLE * 60
