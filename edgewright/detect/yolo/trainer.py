"""Ultralytics' training loop, held to our rules. A torch module: imported only when training starts.

Decides five things against the library's defaults: the data set is ours (no font download, no path resolution),
validation is the one evaluator on the averaged weights, a checkpoint is replaced in one step, so that a kill at any
moment leaves a whole one, a step does the same work in less time (fused updates, decoded pictures kept), and
augmentation draws from a generator that nobody else has. Nothing is stripped or validated again at the end: the caller
takes the best checkpoint.
"""

from __future__ import annotations

import copy
import math
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from edgewright.data.rows import Row
from edgewright.detect.distill import Said, distance, taught_by
from edgewright.detect.evaluate import Sample, evaluate
from edgewright.detect.forward import as_network
from edgewright.detect.lesson import Begin
from edgewright.detect.yolo.kept_pictures import keep_decoded
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.detect.yolo.network import layout_of, prefer_end_to_end
from edgewright.errors import StageFailed
from edgewright.learning.layout import fuse_updates
from edgewright.runtime.preprocess import read_image
from edgewright.runtime.session import ModelSpec, predictor

VALIDATION_SCORE_THRESHOLD = 0.01  # a tenth of the time of 0.001 in early epochs, for the fourth digit of the mAP


_Base: Any = open_ultralytics("models.yolo.detect").DetectionTrainer


class Trainer(_Base):  # type: ignore[misc, valid-type]
    """One training run in a folder.

    Args:
        settings: ultralytics' own, by its names.
        data: what its data set loader reads: `train`, `val`, `names`, `nc`, `channels`.
        spec: how detections are read from the network.
        validation: the written images with the rows they were made from, for the evaluator.
        weights: what a new training begins with, by name; a resumed one has its own.
        begins: a network to go on from, in place of the graph's.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        *,
        data: dict[str, Any],
        spec: ModelSpec,
        validation: list[tuple[Path, Row]],
        weights: Mapping[str, torch.Tensor] | None = None,
        begins: Begin | None = None,
    ) -> None:
        self._data, self._spec, self._validation, self._weights = data, spec, validation, weights or {}
        self._begins = begins
        self.best_fitness: float | None
        super().__init__(overrides=settings, _callbacks=_default_callbacks())

    def get_dataset(self) -> dict[str, Any]:
        return self._data

    def get_model(self, *args: Any, **kwargs: Any) -> Any:
        if self._begins:
            module = self._begins.copied()
            if self.resume:  # from the checkpoint that a killed training left
                module.load_state_dict(kwargs["weights"].float().state_dict())
            return module
        module = prefer_end_to_end(super().get_model(*args, **kwargs))
        if self._weights and not self.resume:
            module.load_state_dict(dict(self._weights), strict=False)
        return module

    def build_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        optimizer = super().build_optimizer(*args, **kwargs)
        fuse_updates(optimizer)
        return optimizer

    def build_dataset(self, *args: Any, **kwargs: Any) -> Any:
        dataset = super().build_dataset(*args, **kwargs)
        return keep_decoded(dataset) if dataset.augment else dataset

    def validate(self) -> tuple[dict[str, float], float]:
        if not self._validation:  # nothing is chosen by val: the last epoch is the best one
            self.best_fitness = float(self.epoch + 1)
            return {"val/map50": math.nan, "val/map50_95": math.nan}, self.best_fitness
        model = self.ema.ema.eval()
        spec = replace(self._spec, layout=layout_of(model))
        found = evaluate(
            predictor(as_network(model, device=self.device), spec, score_threshold=VALIDATION_SCORE_THRESHOLD),
            self._samples(),
            classes=self._spec.classes,
        )
        fitness = found.map50_95 or 0.0
        self.best_fitness = fitness if self.best_fitness is None else max(self.best_fitness, fitness)
        return {"val/map50": found.map50 or 0.0, "val/map50_95": fitness}, fitness

    def save_model(self) -> bool:
        places = {"last": self.last, "best": self.best}
        for name, place in places.items():
            setattr(self, name, place.with_suffix(".writing"))
        super().save_model()
        for name, place in places.items():
            if getattr(self, name).exists():
                os.replace(getattr(self, name), place)
            setattr(self, name, place)
        return True

    def final_eval(self) -> None:
        return None

    def _samples(self) -> Iterable[Sample]:
        for path, row in self._validation:
            image = read_image(path)
            scale = max(image.shape[:2]) / max(row.width or 1, row.height or 1)
            yield Sample(image, row.boxes.transform(scale=scale), row.ignored.transform(scale=scale))


class _Taught:
    """The library's loss, and how far the network is from its teacher. No part of a checkpoint."""

    def __init__(self, inner: Any, teacher: torch.nn.Module, weight: float) -> None:
        self._inner, self._teacher, self._weight = inner, teacher, weight

    def __call__(self, found: Any, batch: Any) -> Any:
        losses, items = self._inner(found, batch)
        with torch.no_grad():
            taught = self._teacher(batch["img"])
        apart = sum(distance(said, wanted) for said, wanted in zip(_said(found), _said(taught), strict=True))
        return losses + self._weight * apart * len(batch["img"]) / losses.numel(), items

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":  # a copy that has nothing yet
            raise AttributeError(name)
        return getattr(self._inner, name)


def teach(trainer: Any, begins: Begin) -> None:
    """Before the first step: the loss also asks for what the teacher says."""
    assert begins.teacher is not None
    model = trainer.model
    model.criterion = _Taught(
        getattr(model, "criterion", None) or model.init_criterion(),  # a resumed one knows how far it was
        taught_by(copy.deepcopy(begins.teacher).to(trainer.device)),
        begins.teacher_weight,
    )


def _said(found: Mapping[str, Any]) -> list[Said]:
    """Of every head that learns."""
    heads = [found[name] for name in ("one2many", "one2one") if name in found] or [found]
    return [Said(head["scores"].transpose(1, 2), head["boxes"].transpose(1, 2)) for head in heads]


@contextmanager
def drawing_apart(seed: int) -> Iterator[None]:
    """Augmentation draws from a generator of its own. The interpreter's is anyone's: Prefect's threads draw from it
    whenever they wait, at times of their own, and equal trainings would differ."""
    augment = open_ultralytics("data.augment")
    shared, augment.random = augment.random, random.Random(seed)
    try:
        yield
    finally:
        augment.random = shared


def require_finite(trainer: Any) -> None:
    """After an epoch's steps, before anything of it is validated or saved: raises StageFailed for a loss or a weight
    that is not finite. The library would go on from the last checkpoint, and write zeros where a number is missing."""
    broken = [name for name, value in trainer.tloss.items() if not math.isfinite(float(value))]
    if not broken and not all(torch.isfinite(weight).all() for weight in trainer.model.parameters()):
        broken = ["the weights"]
    if broken:
        raise StageFailed(
            "training diverged: not a finite number",
            got=", ".join(broken),
            where=f"epoch {trainer.epoch + 1} of {trainer.epochs}",
            next_step="lower train_detector.learning_rate, or use precision=fp32",
        )


def show_photographs_alone(trainer: Any, files: list[str], *, since: int) -> None:
    """From epoch `since` (from 0) on, the training's data set holds these files and no others, as often as they stand.

    The length stays, so that the number of batches does; called before every epoch, it does nothing the second time.
    """
    dataset = trainer.train_loader.dataset
    if trainer.epoch < since or not files or dataset.im_files == files:
        return
    labels = dict(zip(dataset.im_files, dataset.labels, strict=True))
    dataset.im_files, dataset.labels = list(files), [dict(labels[name]) for name in files]
    dataset.label_files = [_label_file(name) for name in files]
    dataset.npy_files = [Path(name).with_suffix(".npy") for name in files]
    for cache in ("ims", "im_hw0", "im_hw"):
        setattr(dataset, cache, [None] * len(files))
    dataset.buffer = []
    trainer.train_loader.reset()


def use_bf16_on_cpu(trainer: Any) -> None:
    """Layers of the trained module in bfloat16, where the library would refuse to (it knows CUDA alone).

    Hooks on the module's own layers: its averaged copy, which is validated and saved, was made before and stays in
    float32. So does the loss: bfloat16 would place a box to half a pixel.
    """
    if trainer.device.type != "cpu":
        return
    context = torch.autocast("cpu", dtype=torch.bfloat16)

    def enter(*_: Any) -> None:
        context.__enter__()

    def leave(_module: Any, _inputs: Any, output: Any) -> Any:
        context.__exit__(None, None, None)
        return _as_float32(output)

    layers = trainer.model.model
    layers[0].register_forward_pre_hook(enter)
    layers[-1].register_forward_hook(leave)


def _as_float32(output: Any) -> Any:
    """Every tensor of a head's nested output in float32."""
    if isinstance(output, torch.Tensor):
        return output.float()
    if isinstance(output, dict):
        return {name: _as_float32(value) for name, value in output.items()}
    return type(output)(_as_float32(value) for value in output) if isinstance(output, list | tuple) else output


def _label_file(image_file: str) -> str:
    return str(open_ultralytics("data.utils").img2label_paths([image_file])[0])


def _default_callbacks() -> Any:
    return open_ultralytics("utils.callbacks").get_default_callbacks()


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads)
