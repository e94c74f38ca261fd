"""Training a detector: from a data set to weights, graph and specification, resumable at every epoch.

Decides what is published of a training run: the averaged weights of the epoch with the best validation mAP50-95, as
safetensors with their graph; checkpoints (which are pickles) never leave the scratch folder. Refuses a data set with no
labeled object, and weights that are not on this machine.

    report = train_detector(dataset, config, out=work, scratch=home / "scratch" / plan, seed=0, threads=2,
                            on_epoch=lambda epoch: show(epoch.epoch, epoch.map50))
"""

from __future__ import annotations

import csv
import json
import math
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.data.dataset import Dataset
from edgewright.data.rows import LabelState, Origin, Row, Split
from edgewright.detect.graphs import find_graph, write_graph
from edgewright.detect.library import open_ultralytics
from edgewright.detect.schedule import augmentation_settings, shown
from edgewright.detect.training_files import (
    REAL_LIST,
    TRAIN_LIST,
    read_list,
    training_rows,
    write_lists,
    write_training_files,
)
from edgewright.errors import InputError
from edgewright.metrics import HISTORY_FILE
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.runtime.session import ModelSpec

SCORE_THRESHOLD, IOU_THRESHOLD = 0.25, 0.6
"""Of the float specification; the INT8 model carries those of the recipe's `quantize` section."""


@dataclass(frozen=True)
class EpochReport:
    """One epoch, counted from 1. `losses` by ultralytics' names; the mAPs are the one evaluator's, on `val`, and None
    where `keep: last` leaves val unseen."""

    epoch: int
    epochs: int
    losses: dict[str, float]
    map50: float | None
    map50_95: float | None
    seconds: float


@dataclass(frozen=True)
class DetectorReport:
    """What training gave. `epochs` were run, `best_epoch` (from 1) was published; its mAPs are on `val`."""

    n_train: int
    n_val: int
    n_synthetic: int
    epochs: int
    best_epoch: int
    map50: float | None
    map50_95: float | None
    parameters: int
    weights_bytes: int
    layout: str


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
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def finished(self) -> Path:
        return self.root / "finished"


def train_detector(
    dataset: Dataset,
    config: TrainDetectorConfig,
    *,
    out: Path,
    scratch: Path,
    seed: int,
    threads: int,
    on_epoch: Callable[[EpochReport], None],
) -> DetectorReport:
    """Train on `train` (real and synthetic), choose the epoch on real `val` (or take the last), publish into `out`.

    Called again with the same scratch folder it goes on after the last whole checkpoint; with other inputs it starts
    anew. `out` gets `weights.safetensors graph.yaml spec.json history.json detector.json`.

    Raises:
        InputError: nothing to train on, an unknown model, weights that are not there.
        StageFailed: a loss or a weight is not finite.
    """
    open_ultralytics()
    rows = training_rows(dataset, with_val=config.keep == "best")
    folders = _Folders(scratch)
    _keep_if_same_plan(folders, _plan(dataset, config, seed=seed))
    write_training_files(dataset, rows, folder=folders.files, image_px=config.image_px)
    train = rows[Split.TRAIN]
    made = [row.origin == Origin.SYNTHETIC or row.state == LabelState.MODEL for row in train]  # labeled by no person
    write_lists(folders.files, shown([row.id for row in train], made, config, seed=seed), synthetic=made)
    graph_or_weights = _starting_point(config, n_classes=len(dataset.classes), folder=scratch)
    spec = ModelSpec(dataset.classes, config.image_px, "dense", SCORE_THRESHOLD, IOU_THRESHOLD)
    if not _is_finished(folders, epochs=config.epochs):
        settings = _settings(config, model=graph_or_weights, folders=folders, seed=seed)
        _run(settings, config, rows=rows, spec=spec, folders=folders, threads=threads, on_epoch=on_epoch)
        folders.finished.touch()
    n_synthetic = sum(row.origin == Origin.SYNTHETIC for row in train)
    counts = {"n_train": len(train), "n_val": len(rows[Split.VAL]), "n_synthetic": n_synthetic}
    return _publish(folders, config, spec=spec, out=out, counts=counts)


def read_history(path: Path) -> list[dict[str, float]]:
    """The library's table of epochs, what was not measured left out; of an epoch that was run twice (killed in between)
    the second counts."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [{str(name).strip(): float(value) for name, value in row.items()} for row in csv.DictReader(stream)]
    by_epoch = {int(row["epoch"]): {k: v for k, v in row.items() if k != "time" and math.isfinite(v)} for row in rows}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def _plan(dataset: Dataset, config: TrainDetectorConfig, *, seed: int) -> bytes:
    return canonical_json({"dataset": dataset.ref.sha256, "config": config.model_dump(mode="json"), "seed": seed})


def _keep_if_same_plan(folders: _Folders, plan: bytes) -> None:
    """A scratch folder of another plan is emptied."""
    if folders.plan.is_file() and folders.plan.read_bytes() == plan:
        return
    shutil.rmtree(folders.root, ignore_errors=True)
    folders.root.mkdir(parents=True)
    folders.plan.write_bytes(plan)


def _is_finished(folders: _Folders, *, epochs: int) -> bool:
    """Whether nothing is left to train: also where the last checkpoint was written and the marker was not."""
    if folders.finished.exists():
        return True
    return folders.last.is_file() and load_checkpoint(folders.last)["epoch"] + 1 >= epochs


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A `.pt` file through the loader that runs no code of it. Raises InputError."""
    load = open_ultralytics("nn.tasks").torch_safe_load
    try:
        checkpoint: dict[str, Any] = load(path, safe_only=True)[0]
    except (TypeError, struct.error, pickle.UnpicklingError, RuntimeError, ImportError, EOFError) as error:
        raise InputError("not a weights file that can be loaded safely", got=error, where=path) from error
    return checkpoint


def _starting_point(config: TrainDetectorConfig, *, n_classes: int, folder: Path) -> str:
    """A graph file written into `folder`, or the user's weights file."""
    if config.model.endswith(".pt"):
        if not Path(config.model).is_file():
            raise InputError(
                "the weights file is not on this machine",
                got=config.model,
                next_step="download it and give its path, or name a graph (`yolo26n.yaml`) to train from scratch",
            )
        load_checkpoint(Path(config.model))
        return config.model
    from edgewright.detect.network import build_module

    graph = find_graph(config.model, width=config.width, n_classes=n_classes)
    build_module(graph, n_classes=n_classes)  # refused here, with a sentence, rather than inside the library
    # A name that the library does not rewrite, as it does with `yolov5n.yaml`.
    path = folder / f"graph-{sha256_bytes(canonical_json(graph))[:12]}.yaml"
    write_graph(graph, path)
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


def _run(
    settings: dict[str, Any],
    config: TrainDetectorConfig,
    *,
    rows: dict[Split, list[Row]],
    spec: ModelSpec,
    folders: _Folders,
    threads: int,
    on_epoch: Callable[[EpochReport], None],
) -> None:
    from edgewright.detect.trainer import (  # torch: only where it starts
        Trainer,
        drawing_apart,
        require_finite,
        set_threads,
        show_photographs_alone,
        use_bf16_on_cpu,
    )

    images = folders.files / "images"
    data = {
        "train": str(folders.files / TRAIN_LIST),
        "val": str(images / (Split.VAL if rows[Split.VAL] else Split.TRAIN)),  # the library opens it, used or not
        "names": dict(enumerate(spec.classes)),
        "nc": len(spec.classes),
        "channels": 3,
    }
    validation = [(images / Split.VAL / f"{index:08d}.png", row) for index, row in enumerate(rows[Split.VAL])]
    trainer = Trainer(settings, data=data, spec=spec, validation=validation)
    trainer.add_callback("on_train_start", lambda _: set_threads(threads))
    if config.precision == "bf16":
        trainer.add_callback("on_train_start", lambda trainer: use_bf16_on_cpu(trainer))
    real, since = read_list(folders.files / REAL_LIST), round(config.epochs * config.synthetic_until)
    trainer.add_callback("on_train_epoch_start", lambda trainer: show_photographs_alone(trainer, real, since=since))
    trainer.add_callback("on_train_epoch_end", require_finite)
    trainer.add_callback("on_fit_epoch_end", lambda trainer: on_epoch(_epoch_report(trainer)))
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


def _publish(
    folders: _Folders, config: TrainDetectorConfig, *, spec: ModelSpec, out: Path, counts: dict[str, int]
) -> DetectorReport:
    from safetensors.torch import save_file

    from edgewright.detect.network import GRAPH_FILE, SPEC_FILE, WEIGHTS_FILE, layout_of, prefer_end_to_end

    checkpoint = load_checkpoint(folders.best)
    module = prefer_end_to_end(checkpoint["ema"].float())
    weights = {name: value.contiguous() for name, value in module.state_dict().items()}
    save_file(weights, out / WEIGHTS_FILE)
    write_graph(module.yaml, out / GRAPH_FILE)
    spec = replace(spec, layout=layout_of(module))
    history = read_history(folders.epochs)
    best = checkpoint["epoch"]
    report = DetectorReport(
        **counts,
        epochs=len(history),
        best_epoch=best + 1,
        map50=history[best].get("val/map50"),
        map50_95=history[best].get("val/map50_95"),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        weights_bytes=(out / WEIGHTS_FILE).stat().st_size,
        layout=spec.layout,
    )
    versions = {name: version(name) for name in ("torch", "ultralytics")}
    (out / SPEC_FILE).write_bytes(canonical_json(spec.to_json()))
    (out / HISTORY_FILE).write_bytes(canonical_json(history))
    facts = {**asdict(report), "model": config.model, "width": config.width, "versions": versions}
    (out / "detector.json").write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
    return report
