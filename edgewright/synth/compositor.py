"""The compositor's pictures: real or generated objects, put into real backgrounds by the layout model.

Decides what each picture shows; picture `i` depends on the generator, the dataset, the config, the seed and `i` alone,
so the work can be cut anywhere: what is remembered between pictures (plates of sources, reductions of crops) is made
from the same numbers whenever it is made. The method `copier` returns train images as they are: a control that every
honest gate refuses, never a way to make data.

    factory = PictureFactory(trained, dataset, config, seed=0)
    picture = factory.make(17)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from cachetools import LRUCache, cachedmethod

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Label, LabelSource
from edgewright.errors import InputError
from edgewright.recipe.synth import GenerateConfig
from edgewright.synth.boxes import Corners, encode_part
from edgewright.synth.compose.background import (
    Plate,
    SceneObject,
    keep_some,
    make_plate,
    place_objects,
    random_window,
    split_objects,
    whole_window,
)
from edgewright.synth.compose.composite import label_scene, paste, vary_light
from edgewright.synth.generator import TrainedGenerator
from edgewright.synth.layout.layouts import LayoutObject, Planned, Rng, draw_objects, move, plan_objects
from edgewright.synth.layout.steering import steer_as_asked
from edgewright.synth.objects.sprites import Fitted, Pyramid, Sprite, fit
from edgewright.synth.picture import SyntheticPicture
from edgewright.synth.sources import train_rows

MAX_STRETCH = 2.0
"""A generated crop is not enlarged more than this: beyond, it is a blur, and a real crop takes its place."""
PLATE_BYTES = 256_000_000
FITTED_BYTES = 96_000_000
"""Memory for plates of sources, and for crops at sizes they were wanted at."""
_TRIES = 12
Pair = tuple[int, int]


class PictureFactory:
    """Law: `make(i)` gives the same picture whatever was made before."""

    def __init__(self, trained: TrainedGenerator, dataset: Dataset, config: GenerateConfig, *, seed: int) -> None:
        self._trained = trained
        self._config = config
        self._seed = seed
        self._rows = train_rows(dataset)
        if not self._rows:
            raise InputError("no train image to build on", expected=">= 1", got=0, where=dataset.ref.uri)
        self._known = frozenset(trained.bank.class_ids)
        self._copied = np.random.default_rng([seed, 2]).permutation(len(self._rows))
        self._dataset = dataset
        self._plates: LRUCache[int, Plate] = LRUCache(PLATE_BYTES, getsizeof=lambda plate: plate.bytes)
        self._fitted: LRUCache[tuple[int, Pair], Fitted] = LRUCache(FITTED_BYTES, getsizeof=lambda made: made.bytes)
        self._layout_steering, self._background_steering = (
            steer_as_asked(trained.layouts.objects_by_class, pictures, self._rows, config)
            for pictures in (trained.layouts.pictures, [row.id for row in self._rows])
        )
        moved = self._layout_steering.exchange_share
        self._keep_share = config.keep_share * (1 - np.array(moved or [0.0] * len(trained.classes)))

    def make(self, index: int) -> SyntheticPicture:
        if self._trained.method == "copier":
            return self._copy(int(self._copied[index % len(self._rows)]))
        return self._compose(np.random.default_rng([self._seed, 3, index]))

    def _copy(self, position: int) -> SyntheticPicture:
        plate = self._plate(position)
        window = whole_window(plate.wh, longer_px=self._config.image_px)
        placed = [item for item in place_objects(plate, window) if item.px]
        labels = tuple(_as_it_is(item, wh=window.to_wh) for item in placed)
        return SyntheticPicture(window.pixels(plate.picture), labels, (self._rows[position].id,), {"kept": len(labels)})

    def _compose(self, rng: Rng) -> SyntheticPicture:
        position = self._background_steering.draw_picture(len(self._rows), rng)
        plate = self._plate(position)
        window = random_window(plate.wh, longer_px=self._config.image_px, rng=rng)
        keep_share = self._keep_share[plate.class_id]
        for share in (keep_share, np.where(keep_share < 1, 0.0, 1.0)):
            stays = keep_some(plate, keep_share=share, rng=rng)
            placed, gone = split_objects(plate, window, stays=stays)
            kept = [item for item in placed if item.shape.size]
            planned = _refill(self._plan(kept, n_gone=len(gone), wh=window.to_wh, rng=rng), gone)
            plans = self._find_places(planned, kept, wh=window.to_wh, rng=rng)
            if plans:  # else what stayed leaves no room: the picture would be the photograph over again
                break
        canvas = window.pixels(plate.without(stays)).astype(np.float32)
        sprites = self._sprites(plans, rng)
        pasted = [
            paste(canvas, sprite, plan, rng=rng, fit=self._fit) for sprite, plan in zip(sprites, plans, strict=True)
        ]
        labels = label_scene(kept, pasted, wh=window.to_wh, min_visible=self._config.min_visible)
        n_real = sum(bool(sprite.source) for sprite in sprites)
        return SyntheticPicture(
            image=vary_light(canvas, self._trained.photometry, rng=rng),
            labels=tuple(labels),
            parents=tuple(sorted({self._rows[position].id, *(sprite.source for sprite in sprites if sprite.source)})),
            counts={
                "kept": len(kept),
                "pasted_real": n_real,
                "pasted_generated": len(sprites) - n_real,
                "no_place": len(planned) - len(plans),
            },
        )

    @cachedmethod(lambda self: self._plates, key=lambda _, position: position)
    def _plate(self, position: int) -> Plate:
        row = self._rows[position]
        image, grain_seed = self._dataset.image(row), (self._seed, 4, position)
        return make_plate(image, row.labels, longer_px=self._config.image_px, grain_seed=grain_seed)

    def _fit(self, sprite: Sprite, box_wh: Pair) -> Fitted:
        # A generated crop is never seen again.
        return self._fit_real(sprite, box_wh) if sprite.source else fit(sprite, box_wh)

    @cachedmethod(lambda self: self._fitted, key=lambda _, sprite, box_wh: (id(sprite.pyramid), box_wh))
    def _fit_real(self, sprite: Sprite, box_wh: Pair) -> Fitted:
        return fit(sprite, box_wh)

    def _plan(self, kept: Sequence[SceneObject], *, n_gone: int, wh: tuple[int, int], rng: Rng) -> list[Planned]:
        wanted = draw_objects(self._trained.layouts, rng=rng, steering=self._layout_steering)
        missing = self._still_missing(wanted, kept, n_gone=n_gone, rng=rng)
        return plan_objects(self._trained.layouts, missing, wh=wh, rng=rng)

    def _still_missing(
        self, wanted: Sequence[LayoutObject], kept: Sequence[SceneObject], *, n_gone: int, rng: Rng
    ) -> list[LayoutObject]:
        """As many objects of a layout as were painted over, at least one, those that the kept ones lack first.

        The picture then holds as many objects as its background did: the layout says which, not how many.
        """
        there = [0] * len(self._trained.classes)
        for item in kept:
            there[item.label.class_id] += not item.label.ignore
        missing: list[LayoutObject] = []
        spare: list[LayoutObject] = []
        for position in rng.permutation(len(wanted)).tolist():
            drawn = wanted[position]
            if drawn.class_id in self._known:
                (spare if there[drawn.class_id] > 0 else missing).append(drawn)
                there[drawn.class_id] -= 1
        return (missing + spare)[: max(1, n_gone)]

    def _find_places(
        self, planned: Sequence[Planned], kept: Sequence[SceneObject], *, wh: tuple[int, int], rng: Rng
    ) -> list[Planned]:
        """Each object where it was planned, or elsewhere if that place is taken; left out after a dozen tries."""
        taken = [item.xyxy for item in kept]
        placed = []
        for item in planned:
            for _ in range(_TRIES):
                if _is_free(item.xyxy, taken, max_overlap=self._config.max_overlap):
                    placed.append(item)
                    taken.append(item.xyxy)
                    break
                item = move(self._trained.layouts, item, wh=wh, rng=rng)
        return placed

    def _sprites(self, plans: Sequence[Planned], rng: Rng) -> list[Sprite]:
        """A crop for each plan: from the network for about `generated_share` of them, else a real one of like size."""
        sampler = self._trained.sampler
        if sampler is None:
            return [self._real(plan, rng) for plan in plans]
        limit_px = MAX_STRETCH * sampler.side_px
        chosen = rng.random(len(plans)) < self._config.generated_share
        wanted = [bool(drawn) and max(_side_px(plan)) <= limit_px for plan, drawn in zip(plans, chosen, strict=True)]
        ids = [plan.class_id for plan, here in zip(plans, wanted, strict=True) if here]
        drawn = iter(sampler.sample(ids, rng))
        bank = self._trained.bank
        return [
            Sprite(Pyramid(next(drawn)), plan.class_id, "", bank.masked(plan.class_id))
            if here
            else self._real(plan, rng)
            for plan, here in zip(plans, wanted, strict=True)
        ]

    def _real(self, plan: Planned, rng: Rng) -> Sprite:
        x1, y1, x2, y2 = plan.xyxy
        width, height = max(round(x2 - x1), 1), max(round(y2 - y1), 1)
        longer = self._config.image_px
        crop = self._trained.bank.choose(plan.class_id, size_wh=(width / longer, height / longer), rng=rng)
        return Sprite(crop.pyramid, crop.class_id, crop.source, crop.masked)


def _as_it_is(item: SceneObject, *, wh: tuple[int, int]) -> Label:
    """The label of a copied object, moved with the picture."""
    mask = encode_part(item.shape, item.corner_xy, wh=wh) if item.label.mask else ""
    return replace(item.label, xyxy=item.xyxy, mask=mask, source=LabelSource.CONSTRUCTED)


def _refill(planned: Sequence[Planned], gone: Sequence[Planned]) -> list[Planned]:
    """Objects put where one of their class was painted over, as long as there are such places: paint is no picture."""
    vacant = list(gone)
    refilled = []
    for item in planned:
        at = next((index for index, place in enumerate(vacant) if place.class_id == item.class_id), None)
        refilled.append(item if at is None else Planned(item.class_id, _centered(item, vacant.pop(at).xyxy)))
    return refilled


def _centered(item: Planned, place: Corners) -> Corners:
    """The item's box around the center of a place."""
    width, height = _side_px(item)
    x, y = (place[0] + place[2]) / 2, (place[1] + place[3]) / 2
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _side_px(plan: Planned) -> tuple[float, float]:
    x1, y1, x2, y2 = plan.xyxy
    return (x2 - x1, y2 - y1)


def _is_free(box: Corners, taken: Sequence[Corners], *, max_overlap: float) -> bool:
    """Whether no box shares more than `max_overlap` of the smaller of the two with this one."""
    x1, y1, x2, y2 = box
    area = (x2 - x1) * (y2 - y1)
    for left, top, right, bottom in taken:
        if left < x2 and x1 < right and top < y2 and y1 < bottom:
            shared = (min(x2, right) - max(x1, left)) * (min(y2, bottom) - max(y1, top))
            if shared > max_overlap * max(min(area, (right - left) * (bottom - top)), 1.0):
                return False
    return True
