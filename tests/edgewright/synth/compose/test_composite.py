"""Pasting, occlusion, backgrounds and holes on hand-made pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.data.rle import decode_mask, encode_mask
from edgewright.data.rows import Label
from edgewright.synth.boxes import tight_box
from edgewright.synth.compose.background import (
    Plate,
    SceneObject,
    Window,
    keep_some,
    make_plate,
    place_labels,
    place_objects,
    random_window,
    split_objects,
    whole_window,
)
from edgewright.synth.compose.composite import Photometry, label_scene, paste, vary_light
from edgewright.synth.compose.fill import fill_smooth
from edgewright.synth.layout.layouts import Planned
from edgewright.synth.matte import ellipse, matte_from_box
from edgewright.synth.objects.sprites import BLENDS, Pyramid, Sprite, fit

FRAME = (80, 60)


def gray(value: int = 120) -> np.ndarray:
    return np.full((FRAME[1], FRAME[0], 3), value, np.uint8)


def disk_sprite(*, masked: bool = False) -> Sprite:
    """A red disk in the middle of a gray 56 px square whose box has a margin of a fifth of its side."""
    rgba = np.zeros((56, 56, 4), np.uint8)
    rgba[:, :, :3] = 120
    place = np.pad(ellipse(40, 40), 8)
    rgba[place] = (200, 30, 30, 255)
    return Sprite(Pyramid(rgba), 1, "a.png", masked)


def scene_object(xyxy: tuple[float, float, float, float]) -> SceneObject:
    return place_labels(gray(), [Label(0, 0, xyxy)], whole_window(FRAME, longer_px=80))[0]


def in_frame(item: SceneObject, wh: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: its pixels in the whole frame."""
    frame = np.zeros((wh[1], wh[0]), np.bool_)
    item.of(frame)[:] = item.shape
    return frame


def plate_of(image: np.ndarray, labels: list[Label]) -> Plate:
    return make_plate(image, labels, longer_px=80, grain_seed=(0,))


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        ((10, 10, 40, 30), (10, 10, 40, 30)),  # wholly inside
        ((10.4, 9.6, 40.4, 29.6), (10, 10, 40, 30)),  # corners go to whole pixels
        ((-15, 10, 15, 40), (0, 10, 15, 40)),  # cut at the left
        ((60, 45, 100, 85), (60, 45, 80, 60)),  # cut at the right and at the bottom
    ],
)
def test_the_box_is_tight_around_what_is_in_the_frame(planned: tuple[float, ...], expected: tuple[int, ...]) -> None:
    item = paste(gray().astype(np.float32), disk_sprite(), Planned(1, planned), rng=np.random.default_rng(0))  # type: ignore[arg-type]
    assert tight_box(in_frame(item, FRAME)) == item.xyxy
    assert item.xyxy == pytest.approx(
        expected, abs=3 if planned[0] == 60 else 0
    )  # a corner of an ellipse is not its box


@given(seed=st.integers(0, 10_000), masked=st.booleans())
@settings(max_examples=40, deadline=None)
def test_boxes_are_tight_around_the_visible_masks(seed: int, masked: bool) -> None:
    rng = np.random.default_rng(seed)
    canvas, pasted = gray().astype(np.float32), []
    for _ in range(4):
        x, y, w, h = rng.uniform(-10, 60), rng.uniform(-10, 40), rng.uniform(8, 40), rng.uniform(8, 40)
        pasted.append(paste(canvas, disk_sprite(masked=masked), Planned(1, (x, y, x + w, y + h)), rng=rng))
    labels = label_scene([], pasted, wh=FRAME, min_visible=0.3)
    masks = [decode_mask(label.mask, shape=(FRAME[1], FRAME[0])) for label in labels]
    assert all(tight_box(mask) == label.xyxy for mask, label in zip(masks, labels, strict=True))
    assert sum(mask.astype(int) for mask in masks).max(initial=0) <= 1, "no pixel belongs to two objects"
    assert [label.instance_id for label in labels] == list(range(len(labels)))


def test_the_picture_changes_inside_the_crop_alone() -> None:
    after = gray().astype(np.float32)
    paste(after, disk_sprite(), Planned(1, (20, 15, 40, 35)), rng=np.random.default_rng(3))
    changed = np.argwhere((np.abs(gray() - after) > 0.5).any(axis=2))
    assert tuple(after[25, 30]) == pytest.approx((200, 30, 30), abs=12)
    assert changed.min(axis=0) == pytest.approx((15, 20), abs=4)
    assert changed.max(axis=0) == pytest.approx((35, 40), abs=4)


@pytest.mark.parametrize("blend", BLENDS)
def test_a_mirrored_cover_is_the_mirrored_cover(blend: str) -> None:
    fitted = fit(disk_sprite(), (13, 9))
    plain, mirrored = fitted.cover(blend, mirrored=False), fitted.cover(blend, mirrored=True)
    assert (mirrored.rgb == plain.rgb[:, ::-1]).all() and (mirrored.alpha == plain.alpha[:, ::-1]).all()
    assert (mirrored.rim.mask == plain.rim.mask[:, ::-1]).all()
    assert (mirrored.rim.mask.ravel()[mirrored.rim.at]).all() and len(mirrored.rim.at) == mirrored.rim.mask.sum()
    cut, corner = plain.cut((-4, 2), wh=FRAME)
    assert corner == (0, 2) and (cut.rgb == plain.rgb[:, 4:]).all() and cut.smooth == (blend == "membrane")
    assert plain.cut((5, 5), wh=FRAME)[0] is plain, "inside the frame it is the very same"
    assert all(fitted.cover(other, mirrored=True).rgb is mirrored.rgb for other in BLENDS), "one copy for every blend"


@pytest.mark.parametrize("seed", range(6))
def test_a_pasted_rim_takes_the_light_of_its_place(seed: int) -> None:
    bright, same = gray(150).astype(np.float32), gray(120).astype(np.float32)
    for image in (bright, same):
        paste(image, disk_sprite(), Planned(1, (20, 15, 50, 45)), rng=np.random.default_rng(seed))
    assert bright[30, 35, 1] > same[30, 35, 1] + 10


@pytest.mark.parametrize(
    ("cover", "outcome"),
    [
        ((60, 40, 70, 50), "untouched"),  # elsewhere
        ((10, 10, 20, 30), "smaller"),  # half of it
        ((8, 8, 28, 32), "ignored"),  # all but a sliver
        ((8, 8, 32, 32), "gone"),  # all of it
    ],
)
def test_what_a_pasted_object_does_to_a_kept_one(cover: tuple[int, int, int, int], outcome: str) -> None:
    kept = scene_object((10, 10, 30, 30))
    shape = np.ones((cover[3] - cover[1], cover[2] - cover[0]), np.bool_)
    over = SceneObject(Label(0, 1, cover, source="constructed"), cover, shape, cover[:2], shape.size, shape.size)
    labels = label_scene([kept], [over], wh=FRAME, min_visible=0.3)
    found = [label for label in labels if label.class_id == 0]
    if outcome == "gone":
        assert not found or (found[0].ignore and found[0].xyxy[0] >= 28)
    elif outcome == "untouched":
        assert found[0].xyxy == (10, 10, 30, 30) and not found[0].ignore
    else:
        assert found == [] or found[0].xyxy[0] > 10
        assert outcome != "smaller" or not found[0].ignore
        assert outcome != "ignored" or found == [] or found[0].ignore


def test_an_ignored_object_stays_ignored_and_in_the_picture() -> None:
    labels = [Label(0, 0, (10, 10, 20, 20), ignore=True), Label(1, 0, (40, 30, 60, 50))]
    plate = plate_of(gray(), labels)
    assert keep_some(plate, keep_share=0.0, rng=np.random.default_rng(0)).tolist() == [True, False]
    assert label_scene(plate.objects[:1], [], wh=FRAME, min_visible=0.3)[0].ignore


def test_what_goes_leaves_a_gap_where_the_frame_holds_it() -> None:
    plate = plate_of(gray(), [Label(0, 0, (5, 5, 15, 15)), Label(1, 1, (40, 30, 60, 50)), Label(2, 2, (60, 5, 75, 15))])
    right_half = Window((38.0, 0.0), (42.0, 60.0), False, (42, 60))
    kept, gaps = split_objects(plate, right_half, stays=np.array([False, False, True]))
    assert gaps == [Planned(1, (2, 30, 22, 50))]
    assert [(item.label.class_id, item.xyxy, item.px == item.full_px) for item in kept] == [(2, (22, 5, 37, 15), True)]


def test_what_touches_a_kept_object_is_kept() -> None:
    plate = plate_of(gray(), [Label(x, 0, (x, 10, x + 20, 30), ignore=x == 5) for x in (5, 20, 35, 60)])
    assert keep_some(plate, keep_share=0.0, rng=np.random.default_rng(0)).tolist() == [True, True, True, False]


def test_each_object_stays_as_often_as_its_own_share_says() -> None:
    plate = plate_of(gray(), [Label(0, 0, (5, 5, 15, 15)), Label(1, 1, (40, 30, 60, 50))])
    draws = [keep_some(plate, keep_share=np.array([0.9, 0.2]), rng=np.random.default_rng(seed)) for seed in range(400)]
    assert np.mean(draws, axis=0) == pytest.approx([0.9, 0.2], abs=0.06)


def test_painting_over_removes_the_object_and_leaves_the_rest() -> None:
    rng = np.random.default_rng(0)
    image = np.clip(gray() + rng.normal(0, 3, gray().shape), 0, 255).astype(np.uint8)
    labels = [Label(0, 0, (30, 20, 50, 40)), Label(1, 0, (52, 20, 70, 40))]
    kept = in_frame(plate_of(image, labels).objects[1], FRAME)
    image[20:40, 30:50] = (200, 0, 0)
    image[kept] = (0, 200, 0)
    plate = plate_of(image, labels)
    painted = plate.without(np.array([False, True]))
    assert (plate.picture == image).all(), "the plate itself stays as it is"
    assert (painted[kept] == (0, 200, 0)).all(), "what stays keeps every pixel"
    assert (painted[:, :25] == image[:, :25]).all() and (painted[:15] == image[:15]).all()
    inside = painted[20:40, 30:50].astype(float)
    assert inside.mean(axis=(0, 1)) == pytest.approx((120, 120, 120), abs=4), "neither red nor the neighbor's green"
    assert 1 < inside.std() < 6, "grain, neither a flat patch nor an outline"


@pytest.mark.parametrize("box", [(0, 0, 80, 60), (0, 0, 79, 59)])
def test_a_picture_that_is_one_object_is_not_painted_black(box: tuple[int, int, int, int]) -> None:
    painted = plate_of(gray(), [Label(0, 0, box)]).without(np.array([False]))
    assert painted.mean() == pytest.approx(120, abs=2)


def test_smooth_fill_keeps_what_is_known_and_interpolates_a_ramp() -> None:
    ramp = np.tile(np.linspace(0, 100, 33, dtype=np.float32)[None, :, None], (17, 1, 1))
    known = np.ones(ramp.shape[:2], np.bool_)
    known[5:12, 10:20] = False
    filled = fill_smooth(ramp, known)
    assert (filled[known] == ramp[known]).all()
    assert np.abs(filled - ramp).max() < 15
    assert (fill_smooth(ramp, np.zeros_like(known)) == 0).all()


@pytest.mark.parametrize(
    ("background", "shape_color"),
    [
        (120, (200, 30, 30)),  # a clear object: its square shape is found
        (120, (123, 121, 120)),  # no contrast: the ellipse of the box
    ],
)
def test_a_matte_is_opaque_on_the_object_and_clear_at_the_rim(
    background: int, shape_color: tuple[int, int, int]
) -> None:
    crop = np.full((56, 56, 3), background, np.uint8)
    crop[8:48, 8:48] = shape_color
    matte = matte_from_box(crop)
    assert matte[20:36, 20:36].min() > 0.95
    assert matte[0].max() < 0.05 and matte[:, -1].max() < 0.05
    square_corner = matte[11, 11]
    assert square_corner > 0.5 if shape_color[0] == 200 else square_corner < 0.5


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_windows_move_boxes_as_they_move_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = np.zeros((120, 160, 3), np.uint8)
    image[40:80, 50:110] = 255
    window = random_window((160, 120), longer_px=128, rng=rng)
    (item,) = place_labels(image, [Label(0, 0, (50, 40, 110, 80))], window)
    seen = tight_box(window.pixels(image)[:, :, 0] > 127)
    assert seen is not None
    assert item.xyxy == pytest.approx(seen, abs=1.01)


def test_a_whole_window_scales_and_nothing_else() -> None:
    window = whole_window((160, 120), longer_px=80)
    assert window.to_wh == (80, 60)
    assert window.boxes(np.array([[10.0, 20, 30, 40]])).tolist() == [[5, 10, 15, 20]]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_windows_move_masks_as_they_move_pixels(seed: int) -> None:
    """From a plate of a third of the size, too: the mask agrees with the pixels where they are not half of each."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((120, 160), np.bool_)
    x, y, w, h = (
        int(rng.integers(0, 100)),
        int(rng.integers(0, 70)),
        int(rng.integers(20, 60)),
        int(rng.integers(20, 50)),
    )
    mask[y : y + h, x : x + w] = ellipse(w, h)
    image = np.repeat(mask[:, :, None].astype(np.uint8) * 255, 3, axis=2)
    label = Label(0, 0, (x, y, x + w, y + h), mask=encode_mask(mask))
    plate = make_plate(image, [label], longer_px=int(rng.choice([34, 70, 160])), grain_seed=(0,))
    window = random_window(plate.wh, longer_px=int(rng.integers(64, 160)), rng=rng)
    (item,) = place_labels(image, [label], whole_window((160, 120), longer_px=160))
    assert (in_frame(item, (160, 120)) == mask).all(), "nothing happens to a mask at its own size"
    seen = window.pixels(plate.picture)[:, :, 0].astype(int)
    (placed,) = place_objects(plate, window)
    found = in_frame(placed, window.to_wh)
    assert (found[seen > 150]).all() and not found[seen < 100].any()


def test_a_plate_is_small_and_its_boxes_are_where_its_pixels_are() -> None:
    image = gray().repeat(10, axis=0).repeat(10, axis=1)
    image[100:300, 200:500] = 255
    plate = make_plate(image, [Label(0, 0, (200, 100, 500, 300))], longer_px=64, grain_seed=(0,))
    assert plate.picture.shape == (75, 100, 3)
    assert plate.xyxy[0] == pytest.approx(tight_box(plate.picture[:, :, 0] == 255), abs=0.51)


def test_light_varies_within_bounds_and_not_at_all_where_real_pictures_do_not() -> None:
    image = np.random.default_rng(0).integers(60, 200, (20, 20, 3)).astype(np.uint8)

    def varied(gain_sd: float, seed: int) -> np.ndarray:
        return vary_light(image.astype(np.float32), Photometry(gain_sd, 0.0), rng=np.random.default_rng(seed))

    assert (varied(0.0, 1) == image).all()
    means = [varied(2.0, seed).mean() for seed in range(30)]
    assert max(means) < image.mean() * 1.17 and min(means) > image.mean() / 1.17
    assert np.std(means) > 5
