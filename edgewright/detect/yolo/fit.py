"""Training a YOLO: ultralytics' loop in a folder, resumable at every epoch.

Decides what is taken of a training run: the averaged weights of the epoch with the best validation mAP50-95;
checkpoints (which are pickles) never leave the scratch folder. Refuses weights that are not on this machine.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.artifacts import canonical_json, sha256_bytes, sha256_file
from edgewright.data.rows import Split
from edgewright.detect.graph_file import write_graph
from edgewright.detect.lesson import EpochReport, Fitted, Lesson
from edgewright.detect.schedule import augmentation_settings
from edgewright.detect.yolo.checkpoint import load_checkpoint
from edgewright.detect.yolo.graphs import find_graph, published
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.detect.yolo.training_files import REAL_LIST, TRAIN_LIST, read_list, write_lists, write_training_files
from edgewright.errors import InputError
from edgewright.learning.provenance import Provenance
from edgewright.recipe.detect import TrainDetectorConfig

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _Folders:
    """Where a run keeps its state in the scratch folder."""

    root: Path

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def last(self) -> Path:
        return self.root / "run" / "weights" / "last.pt"

    @property
    def best(self) -> Path:
        return self.root / "run" / "weights" / "best.pt"

    @property
    def epochs(self) -> Path:
        return self.root / "run" / "results.csv"

    @property
    def finished(self) -> Path:
        return self.root / "finished"


def fit(lesson: Lesson) -> Fitted:
    """Train, or go on after the last whole checkpoint.

    Raises:
        InputError: an unknown model, weights that are not there.
        StageFailed: a loss or a weight is not finite.
    """
    open_ultralytics()
    config, folders = lesson.config, _Folders(lesson.scratch)
    rows = {Split.TRAIN: list(lesson.train), Split.VAL: list(lesson.val)}
    write_training_files(lesson.dataset, rows, folder=folders.files, image_px=config.image_px)
    write_lists(folders.files, lesson.shown, synthetic=lesson.made)
    n_classes = len(lesson.spec.classes)
    graph_or_weights, weights, provenance = (
        _starting_point(config, n_classes=n_classes, folder=lesson.scratch)
        if lesson.begins is None
        else (_written(lesson.begins.module.yaml, folder=lesson.scratch), {}, lesson.begins.provenance)
    )
    if not _is_finished(folders, epochs=config.epochs):
        settings = _settings(config, model=graph_or_weights, folders=folders, seed=lesson.seed)
        _run(settings, lesson, folders=folders, weights=weights)
        folders.finished.touch()
    return _fitted(folders, config, provenance)


def read_history(path: Path) -> list[dict[str, float]]:
    """The library's table of epochs, what was not measured left out; of an epoch that was run twice (killed in between)
    the second counts."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [{str(name).strip(): float(value) for name, value in row.items()} for row in csv.DictReader(stream)]
    by_epoch = {int(row["epoch"]): {k: v for k, v in row.items() if k != "time" and math.isfinite(v)} for row in rows}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def _is_finished(folders: _Folders, *, epochs: int) -> bool:
    """Whether nothing is left to train: also where the last checkpoint was written and the marker was not."""
    if folders.finished.exists():
        return True
    return folders.last.is_file() and load_checkpoint(folders.last)["epoch"] + 1 >= epochs


def _starting_point(
    config: TrainDetectorConfig, *, n_classes: int, folder: Path
) -> tuple[str, Mapping[str, Tensor], Provenance]:
    """A graph file written into `folder`, or the user's weights file; and what the graph begins with."""
    if config.model.endswith(".pt"):
        if not Path(config.model).is_file():
            raise InputError(
                "the weights file is not on this machine",
                got=config.model,
                next_step="download it and give its path, or name a graph (`yolo26n.yaml`) to train from scratch",
            )
        load_checkpoint(Path(config.model))
        return config.model, {}, Provenance(Path(config.model).name, sha256=sha256_file(Path(config.model)))
    from edgewright.detect.yolo.network import build_module
    from edgewright.detect.yolo.start import weights_for

    graph = find_graph(config.model, width=config.width, n_classes=n_classes)
    module = build_module(graph, n_classes=n_classes)  # refused here, with a sentence, rather than inside the library
    weights, provenance = weights_for(module, config, folder=folder)
    return _written(graph, folder=folder), weights, provenance


def _written(graph: Any, *, folder: Path) -> str:
    """A graph's file, by a name that the library does not rewrite, as it does with `yolov5n.yaml`."""
    path = folder / f"graph-{sha256_bytes(canonical_json(graph))[:12]}.yaml"
    write_graph(published(graph), path)
    return str(path)


def _settings(config: TrainDetectorConfig, *, model: str, folders: _Folders, seed: int) -> dict[str, Any]:
    """Ultralytics' settings, by its names."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "model": str(folders.last) if folders.last.is_file() else model,
        "resume": str(folders.last) if folders.last.is_file() else False,
        "task": "detect",
        "project": str(folders.root),
        "name": "run",
        "exist_ok": True,
        "epochs": config.epochs,
        "patience": config.patience,
        "batch": config.batch,
        "nbs": config.batch,  # a step every batch: few images give few steps, and waiting for 64 wastes three of four
        "imgsz": config.image_px,
        "optimizer": config.optimizer,
        "lr0": config.learning_rate,
        "lrf": 0.01,
        "cos_lr": True,
        "mosaic": config.mosaic,
        "close_mosaic": round(config.epochs * config.close_mosaic_share),
        "flipud": config.flip_vertical,
        **augmentation_settings(config),
        "warmup_bias_lr": 0.0,
        "seed": seed,
        "deterministic": True,
        "device": "0" if cuda else "cpu",
        "workers": 0,
        "amp": "bf16" if config.precision == "bf16" and cuda else False,  # True would check by downloading weights
        "plots": False,
        "verbose": False,
    }


def _run(settings: dict[str, Any], lesson: Lesson, *, folders: _Folders, weights: Mapping[str, Tensor]) -> None:
    from edgewright.detect.yolo.trainer import (  # torch: only where it starts
        Trainer,
        drawing_apart,
        require_finite,
        set_threads,
        show_photographs_alone,
        teach,
        use_bf16_on_cpu,
    )

    config, spec = lesson.config, lesson.spec
    images = folders.files / "images"
    data = {
        "train": str(folders.files / TRAIN_LIST),
        "val": str(images / (Split.VAL if lesson.val else Split.TRAIN)),  # the library opens it, used or not
        "names": dict(enumerate(spec.classes)),
        "nc": len(spec.classes),
        "channels": 3,
    }
    validation = [(images / Split.VAL / f"{index:08d}.png", row) for index, row in enumerate(lesson.val)]
    begins = lesson.begins
    trainer = Trainer(settings, data=data, spec=spec, validation=validation, weights=weights, begins=begins)
    if begins and begins.teacher:
        trainer.add_callback("on_train_start", lambda trainer: teach(trainer, begins))
    trainer.add_callback("on_train_start", lambda _: set_threads(lesson.threads))
    if config.precision == "bf16":
        trainer.add_callback("on_train_start", lambda trainer: use_bf16_on_cpu(trainer))
    real, since = read_list(folders.files / REAL_LIST), round(config.epochs * config.synthetic_until)
    trainer.add_callback("on_train_epoch_start", lambda trainer: show_photographs_alone(trainer, real, since=since))
    trainer.add_callback("on_train_epoch_end", require_finite)
    trainer.add_callback("on_fit_epoch_end", lambda trainer: lesson.on_epoch(_epoch_report(trainer)))
    with drawing_apart(settings["seed"]):
        trainer.train()


def _epoch_report(trainer: Any) -> EpochReport:
    return EpochReport(
        epoch=trainer.epoch + 1,
        epochs=trainer.epochs,
        losses={name: float(value) for name, value in trainer.tloss.items()},
        map50=measured(trainer.metrics["val/map50"]),
        map50_95=measured(trainer.metrics["val/map50_95"]),
        seconds=trainer.epoch_time,
    )


def measured(value: float) -> float | None:
    """None for the NaN that stands where val was not looked at."""
    return value if math.isfinite(value) else None


def _fitted(folders: _Folders, config: TrainDetectorConfig, provenance: Provenance) -> Fitted:
    from edgewright.detect.yolo.network import layout_of, prefer_end_to_end

    checkpoint = load_checkpoint(folders.best)
    module = prefer_end_to_end(checkpoint["ema"].float())
    return Fitted(
        graph=published(module.yaml),
        weights={name: value.contiguous() for name, value in module.state_dict().items()},
        layout=layout_of(module),
        history=read_history(folders.epochs),
        best_epoch=checkpoint["epoch"] + 1,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        batch=config.batch,
        provenance=provenance,
        libraries=("torch", "ultralytics"),
    )
