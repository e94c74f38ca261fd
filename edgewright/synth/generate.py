"""Synthetic images with labels by construction, from a generator and the train images it was learnt from.

Decides what each picture shows; picture `i` depends on the generator, the dataset, the config, the seed and `i` alone,
so the work can be cut anywhere. Refuses a dataset with another class list. The method `copier` returns train images
as they are: a control that every honest gate refuses, never a way to make data.

    report = generate(artifact, dataset, config, writer=writer, seed=0, threads=2, on_progress=silent)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import torch

from edgewright.artifacts import Artifact
from edgewright.data.dataset import Dataset, DatasetWriter, encode_png
from edgewright.data.rows import Row
from edgewright.progress import OnProgress
from edgewright.recipe import GenerateConfig
from edgewright.synth.compositor import PictureFactory
from edgewright.synth.generator import TrainedGenerator, open_generator
from edgewright.synth.picture import Picture

GROUP = "synthetic"
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
