"""Training an EfficientDet: from a lesson to weights, on the learning loop.

Decides what `init` means for this family: `auto` and `package` begin with EfficientNet-lite0's published weights where
the backbone has that width and depth (`auto` is `none` elsewhere, `package` is refused), a file with those of its
tensors that fit by name and shape, `none` with random numbers. Refuses weights of which none fits.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from edgewright.detect.distill import taught_by
from edgewright.detect.efficientdet.batches import Augmentation, Batches
from edgewright.detect.efficientdet.graph import FAMILY, LiteGraph, graph_named
from edgewright.detect.efficientdet.method import Judge, Judged, LiteMethod, Schedule, Teacher
from edgewright.detect.efficientdet.network import EfficientDet
from edgewright.detect.efficientdet.pictures import RowPictures
from edgewright.detect.evaluate import Sample, evaluate
from edgewright.detect.forward import as_network
from edgewright.detect.lesson import EpochReport, Fitted, Lesson
from edgewright.errors import InputError
from edgewright.learning.checkpoint import Checkpoint
from edgewright.learning.device import seeded, torch_threads
from edgewright.learning.efficientnet import from_published
from edgewright.learning.layout import lay_out_by_pixel
from edgewright.learning.loop import train
from edgewright.learning.precision import Precision
from edgewright.learning.provenance import Provenance
from edgewright.learning.ranks import Ranks, beside
from edgewright.learning.starts import file_start, package_start, take
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.runtime.session import predictor

VALIDATION_SCORE_THRESHOLD = 0.01
"""As for YOLO: lower scores cost time and move the fourth digit of the mAP."""
_SMALLEST_BATCH = 2
_DEVICES = "train_detector.devices"
_CHECKPOINT_EPOCHS = 1


def fit(lesson: Lesson) -> Fitted:
    """Train, or go on after the last whole epoch.

    Raises:
        InputError: an unknown graph, weights that cannot be had or fit nothing.
        StageFailed: a loss or a weight is not finite.
    """
    config = lesson.config
    with torch_threads(_threads(lesson)):
        batch = config.batch
        while True:
            module, provenance = _beginning(lesson)
            followed = replace(lesson, on_epoch=_say_nothing)
            try:
                with beside(config.devices, _follow, (followed, batch), folder=lesson.scratch, field=_DEVICES) as ranks:
                    method = _train(module, lesson, batch=batch, begins=provenance.taken > 0, ranks=ranks)
                break
            except torch.OutOfMemoryError:
                if batch // 2 < _SMALLEST_BATCH * config.devices:
                    raise
                batch = batch // 2 // config.devices * config.devices
    kept = method.kept
    return Fitted(
        graph=module.graph.to_json(),
        weights={name: value.cpu().contiguous() for name, value in kept.weights.items()},
        layout="dense",
        history=kept.history,
        best_epoch=kept.best,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        batch=batch,
        provenance=provenance,
    )


def _follow(ranks: Ranks, work: tuple[Lesson, int]) -> None:
    """The same training in another rank's process."""
    lesson, batch = work
    with torch_threads(_threads(lesson)):
        module, provenance = _beginning(lesson)
        _train(module, lesson, batch=batch, begins=provenance.taken > 0, ranks=ranks)


def _threads(lesson: Lesson) -> int:
    return max(1, lesson.threads // lesson.config.devices)


def _say_nothing(_: EpochReport) -> None:
    """Rank 0 reports."""


def _beginning(lesson: Lesson) -> tuple[EfficientDet, Provenance]:
    if lesson.begins is None:
        graph = graph_named(lesson.config.model, n_classes=len(lesson.spec.classes))
        return begin(graph, lesson.config, seed=lesson.seed)
    module = lesson.begins.copied()
    assert isinstance(module, EfficientDet)
    return module, lesson.begins.provenance


def begin(graph: LiteGraph, config: TrainDetectorConfig, *, seed: int) -> tuple[EfficientDet, Provenance]:
    """The network as training finds it, and where its weights came from."""
    with seeded(seed):
        module = EfficientDet(graph)
    packaged = (graph.width, graph.depth) == (1.0, 1.0)
    if config.init == "none" or (config.init == "auto" and not packaged):
        return module, Provenance()
    if config.init in ("auto", "package"):
        if not packaged:
            raise _not_packaged(config)
        start = package_start()
        tensors = {
            f"backbone.{name}": value
            for name, value in from_published(start.tensors, blocks=len(module.backbone.blocks)).items()
        }
    else:
        start = file_start(Path(config.init))
        tensors = dict(start.tensors)
    return module, take(module, tensors, start, where=config.init)


def _not_packaged(config: TrainDetectorConfig) -> InputError:
    return InputError(
        f"no pretrained weights are packaged for {config.model}",
        expected=f"{FAMILY}-slim or {FAMILY}-lite0, whose backbone is EfficientNet-lite0",
        got=f"train_detector.init={config.init}",
        next_step="give a file of weights (train_detector.init=FILE), or begin from random numbers (init=none)",
    )


def _train(module: EfficientDet, lesson: Lesson, *, batch: int, begins: bool, ranks: Ranks) -> LiteMethod:
    config, device, leads = lesson.config, ranks.device, ranks.rank == 0
    real = [index for index in lesson.shown if not lesson.made[index]]
    alone_from = round(config.epochs * config.synthetic_until)
    schedule = Schedule(
        epochs=config.epochs,
        epoch_steps=max(1, len(lesson.shown) // batch),
        learning_rate=config.learning_rate,
        plain_from=config.epochs - round(config.epochs * config.close_mosaic_share),
        patience=config.patience,
        backbone_rate=config.backbone_rate if begins else 1.0,
        frozen_share=config.frozen_share if begins else 0.0,
    )
    pictures = RowPictures(lesson.dataset, lesson.train, image_px=config.image_px)

    def batches(epoch: int) -> Batches:
        chosen = real if real and epoch >= alone_from else lesson.shown
        return Batches(pictures, chosen, size=batch, image_px=config.image_px, seed=lesson.seed, ranks=ranks)

    method = LiteMethod(
        lay_out_by_pixel(module.to(device)),
        batches,
        schedule,
        augmentation=augmentation_of(config),
        precision=Precision.on(config.precision, device, field="train_detector.precision"),
        judge=_judge_of(lesson, device) if lesson.val and leads else None,
        on_epoch=_reporter(lesson),
        teacher=_teacher_of(lesson, device),
        ranks=ranks,
    )
    work_id = f"{lesson.work_id} {batch}"
    every = schedule.epoch_steps * _CHECKPOINT_EPOCHS
    keep = Checkpoint(lesson.scratch / "detector.checkpoint", work_id, every, writes=leads)
    train(method, steps=schedule.steps, keep=keep)
    return method


def _teacher_of(lesson: Lesson, device: torch.device) -> Teacher | None:
    begins = lesson.begins
    if begins is None or begins.teacher is None:
        return None
    return Teacher(taught_by(copy.deepcopy(begins.teacher).to(device)), begins.teacher_weight)


def augmentation_of(config: TrainDetectorConfig) -> Augmentation:
    """What the recipe's words mean here; `strong` is about twice the usual, and turns."""
    usual = Augmentation(mosaic=config.mosaic, flip_vertical=config.flip_vertical)
    if config.augmentation == "usual":
        return usual
    return replace(usual, zoom=2.2, shift=0.2, degrees=10.0, hue=0.03, saturation=0.9, value=0.6)


def _judge_of(lesson: Lesson, device: torch.device) -> Judge:
    """The one evaluator on val, with its pictures kept at the training's size."""
    pictures = RowPictures(lesson.dataset, lesson.val, image_px=lesson.config.image_px)

    def sample(index: int) -> Sample:
        image, truth = pictures.at(index)
        row = lesson.val[index]
        return Sample(
            image, truth, row.ignored.transform(scale=max(image.shape[:2]) / max(row.width or 1, row.height or 1))
        )

    def judge(network: nn.Module) -> Judged:
        found = evaluate(
            predictor(as_network(network, device=device), lesson.spec, score_threshold=VALIDATION_SCORE_THRESHOLD),
            (sample(index) for index in range(len(pictures))),
            classes=lesson.spec.classes,
        )
        return Judged(found.map50 or 0.0, found.map50_95 or 0.0)

    return judge


def _reporter(lesson: Lesson) -> Callable[[int, Mapping[str, float]], None]:
    began = time.monotonic()

    def report(done: int, row: Mapping[str, float]) -> None:
        nonlocal began
        now = time.monotonic()
        lesson.on_epoch(
            EpochReport(
                epoch=done,
                epochs=lesson.config.epochs,
                losses={"loss": row["train/loss"]},
                map50=row.get("val/map50"),
                map50_95=row.get("val/map50_95"),
                seconds=now - began,
            )
        )
        began = now

    return report
