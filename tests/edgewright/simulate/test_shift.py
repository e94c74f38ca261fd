from __future__ import annotations

import numpy as np
import pytest

from edgewright.errors import InputError
from edgewright.simulate.camera import CLASSES, SimulatedCamera
from edgewright.simulate.shift import DAY, SHIFTS, Shift, draw_dirt, shift_named, through_dirt


def test_the_day_is_what_it_was_without_shifts() -> None:
    assert np.array_equal(SimulatedCamera(3, shift=DAY).photograph(5).image, SimulatedCamera(3).photograph(5).image)


@pytest.mark.parametrize("name", ["night", "dirty-lens"])
def test_night_and_dirt_leave_the_parts_where_they_are(name: str) -> None:
    day, changed = (SimulatedCamera(3, shift=shift_named(each)).photograph(5) for each in ("day", name))
    assert np.array_equal(day.boxes.xyxy, changed.boxes.xyxy)
    assert np.array_equal(day.boxes.class_id, changed.boxes.class_id)


def test_night_is_dark_and_noisy() -> None:
    day, night = (SimulatedCamera(0, shift=shift_named(each)).photograph(1).image for each in ("day", "night"))
    assert night.mean() < 0.7 * day.mean()
    noise = [np.abs(np.diff(image.astype(float), axis=1)).mean() / image.mean() for image in (day, night)]
    assert noise[1] > 2 * noise[0]


def test_dirt_lies_where_it_lay() -> None:
    """On the lens: the difference to a clean one has the same places on every photograph."""
    shift = shift_named("dirty-lens")
    cameras = SimulatedCamera(0), SimulatedCamera(0, shift=shift)
    moved = [
        np.abs(cameras[0].photograph(n).image.astype(int) - cameras[1].photograph(n).image).mean(axis=2) > 8
        for n in range(4)
    ]
    dirt = draw_dirt(np.random.default_rng([0, 9]), wh=(256, 192), share=shift.dirt)[..., 0]
    for each in moved:
        assert each[dirt > 0.4].mean() > 2 * each[dirt == 0].mean()
    assert 0.6 < (dirt > 0).mean() < 0.85


def test_a_clean_lens_lets_all_light_through() -> None:
    light = np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)
    assert np.array_equal(through_dirt(light, np.zeros((8, 8, 1), np.float32)), light)


def test_a_new_part_is_a_known_class_of_another_look() -> None:
    """Blue, and without a hole: the middle of a nut is nut."""
    camera = SimulatedCamera(0, shift=shift_named("new-part"))
    blue = 0
    for number in range(20):
        photograph = camera.photograph(number)
        for mask, kind in zip(photograph.masks, photograph.boxes.class_id, strict=True):
            r, _, b = photograph.image[mask].mean(axis=0)
            if CLASSES[int(kind)] == "nut":
                blue += 1
                assert b > 1.2 * r
            else:
                assert b < 1.2 * r
    assert blue > 10


def test_an_unknown_shift_is_refused() -> None:
    with pytest.raises(InputError, match=r"no such shift.*day, night, dirty-lens, new-part.*got fog"):
        shift_named("fog")
    assert len({shift.name for shift in SHIFTS}) == len(SHIFTS)
    assert all(isinstance(shift, Shift) for shift in SHIFTS)
