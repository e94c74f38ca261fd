"""The copy test: what is found as a copy, and what is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as PillowImage

from edgewright.gates.evidence import Measurement
from edgewright.gates.measure.copying import Prints, measure_copying, nearest_prints
from edgewright.gates.measure.tiles import Tiles
from edgewright.gates.selftest.controls import Scene, blurred, copied, noisy
from edgewright.runtime.boxes import Image

NO_OBJECTS = np.empty((0, 16, 16, 3), np.uint8)


def scenes(n: int, *, seed: int, side: int = 24) -> Tiles:
    """Soft random blobs on one fixed background: like a camera that never moves."""
    rng = np.random.default_rng(seed)
    background = np.linspace(60, 160, side)[None, :, None] * np.ones((side, side, 3))
    noise = rng.normal(0, 60, size=(n, side, side, 3))
    for _ in range(3):
        noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / 2
    return np.clip(background + noise, 0, 255).astype(np.uint8)


def prints(
    pictures: Tiles,
    objects: Tiles = NO_OBJECTS,
    far: Tiles | None = None,
    *,
    name: str = "s",
    parents: tuple[tuple[str, ...], ...] = (),
    groups: tuple[str, ...] = (),
) -> Prints:
    """Objects go to the pictures in turn; `far` are their far views, the near ones where none are given."""
    owner = np.arange(len(objects)) % max(len(pictures), 1)
    ids = tuple(f"{name}{i}" for i in range(len(pictures)))
    named = parents or ((),) * len(ids)
    return Prints(ids, pictures, objects, objects if far is None else far, owner, groups or ids, named)


def measure(synthetic: Prints, train: Prints, held_out: Prints) -> dict[str, Measurement]:
    found, _ = measure_copying(synthetic, train, held_out, copy_radius=0.1, rounds=50, rng=np.random.default_rng(0))
    return {measurement.name: measurement for measurement in found}


def relit(image: Image) -> Image:
    return (image // 2 + 40).astype(np.uint8)


@pytest.mark.parametrize(
    ("disguise", "share"),
    [
        (lambda image: image, 1.0),
        (lambda image: image[:, ::-1], 1.0),  # mirrored
        (lambda image: np.rot90(image), 1.0),  # turned
        (relit, 1.0),  # half the contrast, brighter
        (lambda image: noisy(image, sd=2, rng=np.random.default_rng(1)), 1.0),
        (lambda image: np.roll(image, 6, axis=1), 0.0),  # shifted: the object level's business
    ],
)
def test_disguised_copies(disguise: Callable[[Image], Image], share: float) -> None:
    train = scenes(40, seed=0)
    copies = copied([Scene(image, ()) for image in train], count=30, rng=np.random.default_rng(2))
    synthetic = np.stack([disguise(copy.image) for copy in copies])
    found = measure(prints(synthetic), prints(train, name="t"), prints(scenes(20, seed=1)))
    assert found["picture_copy_share"].value == share


def test_fresh_pictures_are_no_copies_and_a_third_of_copies_is_a_third() -> None:
    train, held_out = prints(scenes(40, seed=0), name="t"), prints(scenes(20, seed=1))
    fresh = measure(prints(scenes(30, seed=2)), train, held_out)
    assert fresh["picture_copy_share"].value == 0
    assert fresh["picture_distance_ratio"].value == pytest.approx(1, abs=0.05)
    mixed = measure(prints(np.concatenate([scenes(20, seed=2), train.pictures[:10]])), train, held_out)
    assert mixed["picture_copy_share"].value == pytest.approx(1 / 3, abs=1e-5)
    low, high = mixed["picture_copy_share"].low, mixed["picture_copy_share"].high
    assert low is not None
    assert high is not None
    assert 0.1 < low < 1 / 3 < high < 0.6


def test_objects_with_their_surroundings() -> None:
    """A copied object in copied surroundings is found; the same object among new neighbors is not."""
    train_objects, held_out_objects = scenes(60, seed=3, side=16), scenes(40, seed=4, side=16)
    pasted = scenes(40, seed=5, side=16)
    pasted[:, 5:11, 5:11] = train_objects[:40, 5:11, 5:11]
    pictures = {name: scenes(20, seed=seed) for seed, name in enumerate(("s", "t", "h"))}
    train, held_out = prints(pictures["t"], train_objects), prints(pictures["h"], held_out_objects)
    copies = measure(prints(pictures["s"], train_objects[:40]), train, held_out)
    composites = measure(prints(pictures["s"], pasted), train, held_out)
    assert copies["object_copy_share"].value == 1
    assert copies["object_distance_ratio"].value == pytest.approx(0, abs=1e-3)
    assert composites["object_distance_ratio"].value is not None
    assert composites["object_distance_ratio"].value > 0.8


def views(n: int, *, seed: int) -> Tiles:
    """As pictures are: some alike, most not."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 2, 3, 3)).astype(np.uint8)
    return np.stack([np.asarray(PillowImage.fromarray(each).resize((16, 16))) for each in coarse])


NEAR, FAR = views(60, seed=3), views(60, seed=6)
"""Both views of the objects of T, three a picture."""
T = prints(scenes(20, seed=7), NEAR, FAR, name="t")
H = prints(scenes(20, seed=8), views(60, seed=4), views(60, seed=9))
OTHERS = np.roll(FAR, 1, axis=0)


@pytest.mark.parametrize(
    ("near", "far", "copied"),
    [
        (NEAR, FAR, True),  # a copy
        (NEAR[:, ::-1], FAR[:, ::-1], True),  # mirrored
        (NEAR, OTHERS, False),  # an object where another one was
        (NEAR, views(60, seed=10), False),  # a crop in a new picture
        (views(60, seed=11), FAR, False),  # a new object in an old picture
    ],
)
def test_a_scene_is_copied_where_one_object_is_met_in_both_views(near: Tiles, far: Tiles, copied: bool) -> None:
    share = measure(prints(scenes(20, seed=12), near, far), T, H)["scene_copy_share"].value
    assert share is not None
    assert share == 1 if copied else share < 0.25


def test_crops_of_photographs_that_a_picture_names_are_no_copies() -> None:
    """Every object is one of T among new neighbors; what is re-used is declared, by half of the pictures, or not."""
    elsewhere, new = views(60, seed=10), scenes(20, seed=12)
    named = tuple((f"t{i}", "elsewhere") for i in range(20))
    shares = {}
    for told, parents in (
        ("all", named),
        ("half", tuple(each if i % 2 else () for i, each in enumerate(named))),
        ("others", named[1:] + named[:1]),
        ("none", ()),
    ):
        found = measure(prints(new, NEAR, elsewhere, parents=parents), T, H)
        shares[told] = found["object_copy_share"].value
    assert shares == {"all": pytest.approx(0, abs=0.1), "half": pytest.approx(0.5, abs=0.1), "others": 1, "none": 1}
    twins = prints(T.pictures, NEAR, FAR, name="t", groups=("one",) * 20)  # of one series of photographs
    one = measure(prints(new, NEAR, elsewhere, parents=(("t3",),) * 20), twins, H)
    assert (one["object_copy_share"].value, one["object_copy_share"].why) == (
        None,
        "every picture names all training photographs as its parents",
    )


def test_a_copier_is_one_whatever_it_names() -> None:
    copies = prints(T.pictures, NEAR, FAR, parents=tuple((f"t{i}",) for i in range(20)))
    found = measure(copies, T, H)
    assert (found["picture_copy_share"].value, found["scene_copy_share"].value) == (1, 1)


def test_photographs_that_look_the_same_from_afar_have_no_scene_level() -> None:
    """A still camera over one object: what stands around it is always the same."""
    still = np.repeat(FAR[:1], 60, axis=0)
    found = measure(
        prints(scenes(20, seed=12), views(60, seed=11), still),
        prints(scenes(20, seed=7), NEAR, still, name="t"),
        prints(scenes(20, seed=8), views(40, seed=4), still[:40]),
    )
    assert (found["scene_copy_share"].value, found["scene_copy_share"].why) == (
        None,
        "every photograph looks the same from afar",
    )
    assert found["object_copy_share"].value is not None


def test_nearest_pairs_come_first_and_are_named() -> None:
    train = scenes(10, seed=0)
    synthetic = np.concatenate([scenes(5, seed=1), train[7:8]])
    _, pairs = measure_copying(
        prints(synthetic),
        prints(train, name="t"),
        prints(scenes(8, seed=2)),
        copy_radius=0.1,
        rounds=20,
        rng=np.random.default_rng(0),
    )
    assert (pairs[0].synthetic_id, pairs[0].train_id) == ("s5", "t7")
    assert pairs[0].ratio < 0.01 < pairs[1].ratio


@pytest.mark.parametrize(
    ("missing", "measured"),
    [
        ("synthetic", False),  # S shows no object: the object level has no value
        ("train", False),
        ("held_out", False),
        ("none", True),
    ],
)
def test_a_level_without_objects_has_no_value(missing: str, measured: bool) -> None:
    sets = {
        name: prints(scenes(6, seed=seed), NO_OBJECTS if name == missing else scenes(12, seed=10 + seed, side=16))
        for seed, name in enumerate(("synthetic", "train", "held_out"))
    }
    assert ("object_copy_share" in measure(sets["synthetic"], sets["train"], sets["held_out"])) == measured


def test_held_out_pictures_that_are_training_pictures_say_nothing() -> None:
    """Re-coded by a gray level: a distance that is nearly 0, by which every ratio would be huge or infinite."""
    train = scenes(10, seed=0)
    again = np.clip(train[:6].astype(int) + 1, 0, 255).astype(np.uint8)
    objects = scenes(12, seed=1, side=16)
    for held_out in (train[:6], again):
        found, pairs = measure_copying(
            prints(scenes(8, seed=1), objects),
            prints(train, scenes(12, seed=2, side=16)),
            prints(held_out, scenes(12, seed=3, side=16)),
            copy_radius=0.1,
            rounds=20,
            rng=np.random.default_rng(0),
        )
        assert [(one.value, one.low, one.baseline) for one in found] == [(None, None, None)] * 6
        assert all("training photographs over again" in one.why for one in found)
        assert pairs == ()


def test_flat_prints_are_near_to_nothing() -> None:
    flat = np.full((3, 24, 24, 3), 90, np.uint8)
    distances, _ = nearest_prints(flat, flat)
    np.testing.assert_allclose(distances, np.sqrt(2), rtol=1e-6)
    assert blurred(flat[0]).tolist() == flat[0].tolist()
