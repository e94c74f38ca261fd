"""Synthetic images with labels by construction, from a generator and the train images it was learnt from.

Decides what each picture shows; picture `i` depends on the generator, the dataset, the config, the seed and `i` alone,
so the work can be cut anywhere. Refuses a dataset with another class list. The method `copier` returns train images
as they are: a control that every honest gate refuses, never a way to make data.

    report = generate(artifact, dataset, config, writer=writer, seed=0, threads=2, on_progress=silent)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from edgewright.artifacts import Artifact
from edgewright.data.dataset import Dataset, DatasetWriter, encode_png
from edgewright.data.rle import encode_mask
from edgewright.data.rows import Row
from edgewright.errors import InputError
from edgewright.progress import OnProgress
from edgewright.recipe import GenerateConfig
from edgewright.runtime.boxes import Boxes
from edgewright.synth.background import (
    SceneObject,
    keep_some,
    paint_over,
    place_labels,
    random_window,
    whole_window,
)
from edgewright.synth.composite import Sprite, label_scene, paste, vary_light
from edgewright.synth.generator import TrainedGenerator, open_generator
from edgewright.synth.layouts import Planned, Rng, move, sample_layout
from edgewright.synth.picture import Picture
from edgewright.synth.sources import train_rows, wh_of

GROUP = "synthetic"
MAX_STRETCH = 2.0
"""A generated crop is not enlarged more than this: beyond, it is a blur, and a real crop takes its place."""
_TRIES = 12
_REPORT_EVERY = 8


@dataclass(frozen=True)
class GenerateReport:
    """What was made; `ignored` are labels of objects that are hardly visible.

    Attributes:
        no_place: planned objects left out because every place tried was taken.
    """

    images: int
    objects_by_class: dict[str, int]
    kept: int
    pasted_real: int
    pasted_generated: int
    ignored: int
    no_place: int


def generate(
    generator: Artifact,
    dataset: Dataset,
    config: GenerateConfig,
    *,
    writer: DatasetWriter,
    seed: int,
    threads: int,
    on_progress: OnProgress,
) -> GenerateReport:
    """Add `config.images` synthetic rows to the writer. Raises InputError where the class lists differ."""
    torch.set_num_threads(threads)
    trained = open_generator(generator, solver=config.solver, sampler_steps=config.sampler_steps)
    dataset.check_classes(trained.classes)
    factory = make_factory(trained, dataset, config, seed=seed)
    counts: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    for index in range(config.images):
        picture = factory.make(index)
        writer.add(_row(index, picture), encode_png(picture.image))
        counts.update(picture.counts)
        counts["ignored"] += sum(label.ignore for label in picture.labels)
        classes.update(dataset.classes[label.class_id] for label in picture.labels if not label.ignore)
        if (index + 1) % _REPORT_EVERY == 0 or index + 1 == config.images:
            on_progress(index + 1, config.images, "synthetic images")
    return GenerateReport(
        images=config.images,
        objects_by_class={name: classes[name] for name in dataset.classes},
        kept=counts["kept"],
        pasted_real=counts["pasted_real"],
        pasted_generated=counts["pasted_generated"],
        ignored=counts["ignored"],
        no_place=counts["no_place"],
    )


class Factory(Protocol):
    """Law: `make(i)` gives the same picture whatever was made before."""

    def make(self, index: int) -> Picture: ...


def make_factory(trained: TrainedGenerator, dataset: Dataset, config: GenerateConfig, *, seed: int) -> Factory:
    """What makes pictures out of a generator: whole scenes where it learnt scenes, else objects put into real ones."""
    if trained.level == "scene":
        from edgewright.synth.scene import SceneFactory  # it imports networks that object-level work does not need

        return SceneFactory(trained, dataset, config, seed=seed)
    return PictureFactory(trained, dataset, config, seed=seed)


class PictureFactory:
    """Law: `make(i)` gives the same picture whatever was made before."""

    def __init__(self, trained: TrainedGenerator, dataset: Dataset, config: GenerateConfig, *, seed: int) -> None:
        self._trained = trained
        self._dataset = dataset
        self._config = config
        self._seed = seed
        self._rows = train_rows(dataset)
        self._copied = np.random.default_rng([seed, 2]).permutation(len(self._rows))
        if not self._rows:
            raise InputError("no train image to build on", expected=">= 1", got=0, where=dataset.ref.uri)

    def make(self, index: int) -> Picture:
        if self._trained.method == "copier":
            return self._copy(self._rows[self._copied[index % len(self._rows)]])
        return self._compose(np.random.default_rng([self._seed, 3, index]))

    def _copy(self, row: Row) -> Picture:
        image = self._dataset.image(row)
        window = whole_window(wh_of(row), longer_px=self._config.image_px)
        placed = place_labels(image, row.labels, window)
        labels = tuple(
            replace(item.label, mask=encode_mask(item.mask) if item.label.mask else "", source="constructed")
            for item in placed
        )
        return Picture(window.pixels(image), labels, (row.id,), {"kept": len(labels)})

    def _compose(self, rng: Rng) -> Picture:
        row = self._rows[int(rng.integers(len(self._rows)))]
        source = self._dataset.image(row)
        window = random_window(wh_of(row), longer_px=self._config.image_px, rng=rng)
        own = place_labels(source, row.labels, window)
        kept, gone = keep_some(own, keep_share=self._config.keep_share, rng=rng)
        image = paint_over(window.pixels(source), gone, kept, rng=rng)
        wanted = sample_layout(self._trained.layouts, wh=window.to_wh, rng=rng)
        planned = _refill(self._still_missing(wanted, kept, n_gone=len(gone), rng=rng), gone)
        plans = self._find_places(planned, kept, wh=window.to_wh, rng=rng)
        sprites = self._sprites(plans, rng)
        pasted: list[SceneObject] = []
        for sprite, plan in zip(sprites, plans, strict=True):
            image, item = paste(image, sprite, plan, rng=rng)
            pasted.append(item)
        labels = label_scene(kept, pasted, min_visible=self._config.min_visible)
        parents = tuple(sorted({row.id, *(sprite.source for sprite in sprites if sprite.source)}))
        return Picture(
            image=vary_light(image, self._trained.photometry, rng=rng),
            labels=tuple(labels),
            parents=parents,
            counts={
                "kept": len(kept),
                "pasted_real": sum(bool(sprite.source) for sprite in sprites),
                "pasted_generated": sum(not sprite.source for sprite in sprites),
                "no_place": len(planned) - len(plans),
            },
        )

    def _still_missing(
        self, wanted: Sequence[Planned], kept: Sequence[SceneObject], *, n_gone: int, rng: Rng
    ) -> list[Planned]:
        """As many objects of a layout as were painted over, at least one, those that the kept ones lack first.

        The picture then holds as many objects as its background did: the layout says which, not how many.
        """
        there = Counter(item.label.class_id for item in kept if not item.label.ignore)
        missing: list[Planned] = []
        spare: list[Planned] = []
        for position in rng.permutation(len(wanted)):
            item = wanted[int(position)]
            if item.class_id not in self._trained.bank.class_ids:
                continue
            (spare if there[item.class_id] > 0 else missing).append(item)
            there[item.class_id] -= 1
        return (missing + spare)[: max(1, n_gone)]

    def _find_places(
        self, planned: Sequence[Planned], kept: Sequence[SceneObject], *, wh: tuple[int, int], rng: Rng
    ) -> list[Planned]:
        """Each object where it was planned, or elsewhere if that place is taken; left out after a dozen tries."""
        taken = [item.label.xyxy for item in kept]
        placed = []
        for item in planned:
            for _ in range(_TRIES):
                if _overlap(item.xyxy, taken) <= self._config.max_overlap:
                    placed.append(item)
                    taken.append(item.xyxy)
                    break
                item = move(self._trained.layouts, item, wh=wh, rng=rng)
        return placed

    def _sprites(self, plans: Sequence[Planned], rng: Rng) -> list[Sprite]:
        """A crop for each plan: from the network for about `generated_share` of them, else a real one of like size."""
        from_network = [self._wants_network(plan, rng) for plan in plans]
        ids = [plan.class_id for plan, wanted in zip(plans, from_network, strict=True) if wanted]
        sampler = self._trained.sampler
        drawn = iter(sampler.sample(ids, rng) if sampler else [])
        bank = self._trained.bank
        return [
            Sprite(next(drawn), plan.class_id, "", bank.masked(plan.class_id)) if wanted else self._real(plan, rng)
            for plan, wanted in zip(plans, from_network, strict=True)
        ]

    def _wants_network(self, plan: Planned, rng: Rng) -> bool:
        chosen = rng.random() < self._config.generated_share
        if self._trained.sampler is None:
            return False
        limit_px = MAX_STRETCH * self._trained.sampler.side_px
        return bool(chosen and max(_side_px(plan)) <= limit_px)

    def _real(self, plan: Planned, rng: Rng) -> Sprite:
        width, height = _side_px(plan)
        longer = self._config.image_px
        crop = self._trained.bank.choose(plan.class_id, size_wh=(width / longer, height / longer), rng=rng)
        return Sprite(crop.rgba, crop.class_id, crop.source, crop.masked)


def _refill(planned: Sequence[Planned], gone: Sequence[SceneObject]) -> list[Planned]:
    """Objects put where one of their class was painted over, as long as there are such places: paint is no picture."""
    vacant = [item.label for item in gone]
    refilled = []
    for item in planned:
        place = next((label for label in vacant if label.class_id == item.class_id), None)
        if place is not None:
            vacant.remove(place)
            item = replace(item, xyxy=_centered(item, place.xyxy))
        refilled.append(item)
    return refilled


def _centered(item: Planned, place: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The item's box around the center of a place."""
    width, height = _side_px(item)
    x, y = (place[0] + place[2]) / 2, (place[1] + place[3]) / 2
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _side_px(plan: Planned) -> tuple[float, float]:
    x1, y1, x2, y2 = plan.xyxy
    return (x2 - x1, y2 - y1)


def _overlap(box: tuple[float, float, float, float], others: Sequence[tuple[float, float, float, float]]) -> float:
    """The largest intersection with any other box, as a share of the smaller of the two; 0 where there is none."""
    if not others:
        return 0.0
    one, many = Boxes.of([box], class_id=[0]), Boxes.of(others, class_id=[0] * len(others))
    top_left = np.maximum(one.xyxy[:, :2], many.xyxy[:, :2])
    bottom_right = np.minimum(one.xyxy[:, 2:], many.xyxy[:, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=1)
    return float((shared / np.maximum(np.minimum(one.area, many.area), 1.0)).max())


def _row(index: int, picture: Picture) -> Row:
    height, width = picture.image.shape[:2]
    return Row(
        id=f"synthetic/{index:06d}.png",
        sha256="",
        width=width,
        height=height,
        split="train",
        group=GROUP,
        origin="synthetic",
        parents=picture.parents,
        labels=picture.labels,
        state="constructed",
    )
