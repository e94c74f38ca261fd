"""Synthetic images with labels by construction, from a generator and the train images it was learned from.

Decides how the work is cut: into shards that this process and its helpers make without overlap, and that stay in the
scratch folder until the work is done, so that an interruption loses those in work at most. Picture `i` depends on the
generator, the dataset, the config, the seed and `i` alone, so the result is the same bytes whoever made it. Networks
are asked in one thread, because their results may depend on how many there are. Refuses a dataset with another class
list.

    report = generate(artifact, dataset, config, writer=writer, seed=0, hands=ProcessHands(2), on_progress=silent)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgewright.artifacts import Artifact
from edgewright.data.codec import SOURCE, coded, encode_png, require
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import LabelState, Origin, Row, Split, count_by_class
from edgewright.fanout.hands import Hands
from edgewright.fanout.processes import ALONE
from edgewright.learning.device import torch_threads
from edgewright.progress import OnProgress
from edgewright.recipe.synth import GenerateConfig
from edgewright.shards.folder import MakeShard, OnPicture, Shard, ShardFolder, ShardPlan
from edgewright.shards.helpers import HELPERS_AFTER_S, Help, Helped, make_with_help, shard_root
from edgewright.synth.compositor import PictureFactory
from edgewright.synth.generator import TrainedGenerator, open_generator
from edgewright.synth.job import describe_job
from edgewright.synth.layout.distance import MIN_PICTURES, layout_of, measure_layouts
from edgewright.synth.layout.steering import hard_scores
from edgewright.synth.picture import SyntheticPicture
from edgewright.synth.sources import train_rows

GROUP = "synthetic"
WORKER = "edgewright.synth.worker"
"""The program of those that make shards beside this process."""
_LAYOUT_ROUNDS = 20
_NO_SCORES = "generate.hard_share changed nothing: no train picture has the score `hard`; see ingest.scores"


@dataclass(frozen=True)
class GenerateReport:
    """What was made; `ignored` are labels of objects that are hardly visible.

    Attributes:
        no_place: planned objects left out because every place tried was taken.
        workers: helpers that were started beside this process; `workers_failed` of them gave up.
        layout_distance: by statistic, of the objects that count to the real ones (`layout_distance.py`).
        layout_baseline_q95: the same of real ones to real ones.
        layout_pictures: pictures on each side of these comparisons; 0 where there were too few.
        hard_scored: train pictures that have the score that `hard_share` draws by.
        warnings: what was asked for and could not be.
    """

    images: int
    objects_by_class: dict[str, int]
    kept: int
    pasted_real: int
    pasted_generated: int
    ignored: int
    no_place: int
    workers: int
    workers_failed: int
    layout_distance: dict[str, float]
    layout_baseline_q95: dict[str, float]
    layout_pictures: int
    hard_scored: int
    warnings: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """What an artifact's record says beside the numbers."""
        return {"hard_scored": self.hard_scored, "warnings": list(self.warnings)}


def generate(
    generator: Artifact,
    dataset: Dataset,
    config: GenerateConfig,
    *,
    writer: DatasetWriter,
    seed: int,
    on_progress: OnProgress,
    hands: Hands = ALONE,
    scratch: Path | None = None,
    helpers_after_s: float = HELPERS_AFTER_S,
) -> GenerateReport:
    """Add `config.images` synthetic rows to the writer.

    Args:
        hands: who may make shards beside this process.
        scratch: where finished shards survive an interruption; a temporary folder by default. It must belong to this
            code: shards of other inputs are told apart, shards of other code are not.
        helpers_after_s: the remaining work, in seconds of one process, that is worth starting helpers for.

    Raises:
        InputError: the class lists differ, there is no train image, or a helper would make something else.
        MissingExtra: `codec`, and imagecodecs is not installed.
        ArtifactCorrupt: a shard in the scratch folder is damaged.
    """
    require(config.codec)
    trained = open_generator(generator, solver=config.solver, sampler_steps=config.sampler_steps)
    dataset.check_classes(trained.classes)
    job = describe_job(generator, dataset, config, seed=seed)
    factory = make_factory(trained, dataset, config, seed=seed)
    helped_by = Help(hands, WORKER, job.to_bytes(), after_s=helpers_after_s)
    with shard_root(scratch) as root, torch_threads(1):
        maker = shard_maker(factory, codec=config.codec)
        folder = ShardFolder(root / job.name, ShardPlan(config.images, config.shard_images))
        helped = make_with_help(folder, maker, helped_by=helped_by, on_progress=on_progress, what="synthetic images")
        rows, counts = _collect(folder, writer)
    return _report(rows, counts, dataset, config, seed=seed, helped=helped)


class Factory(Protocol):
    """Law: `make(i)` gives the same picture whatever was made before."""

    def make(self, index: int) -> SyntheticPicture: ...


def make_factory(trained: TrainedGenerator, dataset: Dataset, config: GenerateConfig, *, seed: int) -> Factory:
    """What makes pictures out of a generator: whole scenes where it learned scenes, else objects put into real ones."""
    if trained.level == "scene":
        from edgewright.synth.scene import SceneFactory  # it imports networks that object-level work does not need

        return SceneFactory(trained, dataset, config, seed=seed)
    return PictureFactory(trained, dataset, config, seed=seed)


def shard_maker(factory: Factory, *, codec: str = SOURCE) -> MakeShard:
    """How a process makes a shard: the same in all of them."""

    def make(indexes: range, on_picture: OnPicture) -> Shard:
        rows, payloads, counts = [], [], Counter[str]()
        for done, index in enumerate(indexes, start=1):
            picture = factory.make(index)
            stored = coded(encode_png(picture.image), codec)
            rows.append(replace(_row(index, picture), sha256=stored.of, codec=stored.codec))
            payloads.append(stored.payload)
            counts.update(picture.counts)
            on_picture(done)
        return Shard(tuple(rows), tuple(payloads), counts)

    return make


def _collect(folder: ShardFolder, writer: DatasetWriter) -> tuple[list[Row], Counter[str]]:
    """Move every shard into the dataset, in order; their rows and the sums of their counts."""
    rows: list[Row] = []
    counts: Counter[str] = Counter()
    for number in range(len(folder.plan)):
        shard = folder.read(number)
        for row, payload in zip(shard.rows, shard.payloads, strict=True):
            writer.add(row, payload)
        rows += shard.rows
        counts.update(shard.counts)
    return rows, counts


def _report(
    rows: list[Row],
    counts: Counter[str],
    dataset: Dataset,
    config: GenerateConfig,
    *,
    seed: int,
    helped: Helped,
) -> GenerateReport:
    sources = train_rows(dataset)
    hard_scored = len(hard_scores(sources))
    real = [layout_of(row) for row in sources]
    enough = len(real) >= MIN_PICTURES and rows
    rng = np.random.default_rng([seed, 5])
    made = [layout_of(row) for row in rows]
    distances = measure_layouts(made, real, rounds=_LAYOUT_ROUNDS, rng=rng) if enough else ()
    return GenerateReport(
        images=len(rows),
        objects_by_class=dict(zip(dataset.classes, count_by_class(rows, len(dataset.classes)), strict=True)),
        kept=counts["kept"],
        pasted_real=counts["pasted_real"],
        pasted_generated=counts["pasted_generated"],
        ignored=sum(label.ignore for row in rows for label in row.labels),
        no_place=counts["no_place"],
        workers=helped.started,
        workers_failed=helped.failed,
        layout_distance={item.name: item.value for item in distances},
        layout_baseline_q95={item.name: item.baseline_q95 for item in distances},
        layout_pictures=min((item.n for item in distances), default=0),
        hard_scored=hard_scored,
        warnings=helped.warnings + ((_NO_SCORES,) if config.hard_share > 0 and not hard_scored else ()),
    )


def _row(index: int, picture: SyntheticPicture) -> Row:
    height, width = picture.image.shape[:2]
    return Row(
        id=f"synthetic/{index:06d}.png",
        sha256="",
        width=width,
        height=height,
        split=Split.TRAIN,
        group=GROUP,
        origin=Origin.SYNTHETIC,
        parents=picture.parents,
        labels=picture.labels,
        state=LabelState.CONSTRUCTED,
    )
