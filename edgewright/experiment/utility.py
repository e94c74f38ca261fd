"""Measured usefulness: detectors trained in pairs, with and without the synthetic pictures, cross-fitted.

Decides what makes a pair fair: same photographs, optimizer steps, batch, seed and picture size; the last epoch of both,
so that nothing is chosen by the photographs that they are then measured on. Every labeled photograph of `train` and
`val` is held out once, whole groups together; `test` is never opened. In each fold the synthetic pictures that name a
held-out photograph among their parents are left out of the training: their pixels are in them. What a network learned
of all photographs cannot be taken out of its pictures; the generator is not refitted, and the evidence says so. Refuses
nothing: where there is nothing to pair, the evidence says so.

Every finished training leaves what its detector found in the scratch folder, and one that was interrupted goes on there
after its last whole checkpoint.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from edgewright.artifacts import Content, Record, Store, canonical_json
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.folds import assign_folds
from edgewright.data.rows import Origin, Row, Split
from edgewright.detect.rows import factors_of
from edgewright.detect.schedule import shown
from edgewright.detect.train import train_detector
from edgewright.experiment.making import learned_from
from edgewright.experiment.pooled import ALL_CLASSES, Cell, Found, paired_gains
from edgewright.experiment.score import score_on, scores_of
from edgewright.experiment.subset import pool_rows
from edgewright.files import write_atomically
from edgewright.gates.utility import Pair, Scores, UtilityEvidence
from edgewright.progress import OnProgress
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.recipe.gates import MIN_FOLDS, MeasureUtilityConfig

_SCORE_THRESHOLD = 0.001
_ARMS = ("real", "both")


def measure_utility(
    real: Dataset,
    synthetic: Dataset,
    config: MeasureUtilityConfig,
    *,
    store: Store,
    scratch: Path,
    seed: int,
    threads: int,
    on_progress: OnProgress,
) -> UtilityEvidence:
    """Train `2 · config.pairs` detectors a fold and measure them on what it holds out; seeds `seed`, `seed + 1`, …"""
    made = synthetic.select(origin=Origin.SYNTHETIC, labeled=True)
    folds = divide(real, made, folds=config.folds, seed=seed)
    problem = _problem(made, folds, config)
    if problem:
        return UtilityEvidence(problem=problem)
    trained = _Trainings(
        real, config, n_folds=len(folds), store=store, scratch=scratch, threads=threads, on_progress=on_progress
    )
    cells, pairs = [], []
    for fold in folds:
        sets = [training_set(real, synthetic, fold.train, extra, store=store) for extra in ((), fold.made)]
        n_shown = _n_shown(sets[1], config)
        for number in range(seed, seed + config.pairs):
            found = [trained.measured(some, fold, arm=arm, seed=number) for some, arm in zip(sets, _ARMS, strict=True)]
            cells.append(Cell(fold.number, number, found[0].found, found[1].found))
            counts = {"n_real": len(fold.train), "n_synthetic": n_shown, "n_held_out": len(fold.held_out)}
            pairs.append(Pair(number, found[0].scores, found[1].scores, fold=fold.number, **counts))
    problem = next((pair.problem for pair in pairs if pair.problem), "")
    gains = {} if problem else paired_gains(cells, classes=real.classes, rng=np.random.default_rng([seed, 12]))
    return UtilityEvidence(
        pairs=tuple(pairs),
        steps=config.steps,
        folds=len(folds),
        n_real=sum(len(fold.held_out) for fold in folds),
        n_synthetic=len(made),
        n_held_out=sum(len(row.boxes) > 0 for fold in folds for row in fold.held_out),
        learned_from=learned_from(synthetic, store),
        pooled=gains.pop(ALL_CLASSES, None),
        pooled_by_class=gains,
        problem=problem,
    )


def detector_config(config: MeasureUtilityConfig) -> TrainDetectorConfig:
    """The detector of both sides of a pair: `config.detector`, for as many steps on both, its last epoch.

    A stage that runs alone and was given none trains the default one.
    """
    changes = {"epochs": config.epochs, "steps": config.steps, "real_share": config.real_share, "keep": "last"}
    return (config.detector or TrainDetectorConfig()).model_copy(update=changes)


@dataclass(frozen=True)
class Fold:
    """Photographs to train on, photographs held out, and the synthetic pictures that name none of the latter."""

    number: int
    train: tuple[Row, ...]
    held_out: tuple[Row, ...]
    made: tuple[Row, ...]


def divide(real: Dataset, made: Sequence[Row], *, folds: int, seed: int) -> list[Fold]:
    """Every labeled photograph of `train` and `val` held out once. Fewer groups than folds give fewer folds."""
    rows = pool_rows(real)
    if not rows:
        return []
    fold_of = assign_folds(rows, folds=folds, n_classes=len(real.classes), seed=seed)
    found = []
    for number in sorted(set(fold_of)):
        held_out = tuple(row for row, own in zip(rows, fold_of, strict=True) if own == number)
        barred = {row.id for row in held_out}
        found.append(
            Fold(
                number,
                train=tuple(row for row in rows if row.id not in barred),
                held_out=held_out,
                made=tuple(row for row in made if barred.isdisjoint(row.parents)),
            )
        )
    return found


def training_set(
    real: Dataset, synthetic: Dataset, photographs: Sequence[Row], made: Sequence[Row], *, store: Store
) -> Dataset:
    """Photographs and, on one side, synthetic pictures, all as `train`; a data set of its own: both are alike."""
    with store.workspace() as out:
        writer = DatasetWriter(out, classes=real.classes)
        for rows, source in ((photographs, real), (made, synthetic)):
            for row in rows:
                writer.link(replace(row, split=Split.TRAIN), source)
        writer.finish()
        ref = store.publish(out, Content(kind="dataset_training", stage="measure_utility"), Record())
    return Dataset.open(store, ref)


def _n_shown(training: Dataset, config: MeasureUtilityConfig) -> int:
    """How many synthetic pictures the mixed side ever sees; which ones, its seed decides."""
    made = [row.origin == Origin.SYNTHETIC for row in training.usable]
    settings = detector_config(config)
    indices = shown(made, settings, factors=factors_of(training.usable, settings), seed=0)
    return sum(made[at] for at in set(indices))


def _problem(made: Sequence[Row], folds: Sequence[Fold], config: MeasureUtilityConfig) -> str:
    if not config.pairs:
        return "usefulness was not measured (measure_utility.pairs is 0)"
    if not made:
        return "there is no synthetic picture to measure"
    if len(folds) < MIN_FOLDS:
        return f"the labeled photographs are of {len(folds)} groups, {MIN_FOLDS} are needed to hold each out in turn"
    for fold in folds:
        if not _with_objects(fold.train):
            return "there is no labeled photograph to train on"
        if not _with_objects(fold.held_out):
            return f"fold {fold.number} has no photograph with an object to measure on"
        if not fold.made:
            return f"every synthetic picture is made of photographs that fold {fold.number} holds out"
    return ""


def _with_objects(rows: Sequence[Row]) -> bool:
    return any(len(row.boxes) for row in rows)


@dataclass(frozen=True)
class _Measured:
    scores: Scores
    found: Found


class _Trainings:
    """Trains, measures, remembers."""

    def __init__(
        self,
        real: Dataset,
        config: MeasureUtilityConfig,
        *,
        n_folds: int,
        store: Store,
        scratch: Path,
        threads: int,
        on_progress: OnProgress,
    ) -> None:
        self._real, self._config, self._store = real, config, store
        self._scratch, self._threads, self._on_progress = scratch, threads, on_progress
        self._total, self._done = len(_ARMS) * config.pairs * n_folds, 0

    def measured(self, training: Dataset, fold: Fold, *, arm: str, seed: int) -> _Measured:
        """What the scratch folder knows is not trained again; the scores are written last."""
        name = f"{arm}-{fold.number}-{seed}"
        scores, found = self._scratch / f"{name}.json", self._scratch / f"{name}.npz"
        self._done += 1
        if not scores.is_file():
            measured = self._train(training, fold, name=name, seed=seed)
            measured.found.save(found)
            write_atomically(scores, canonical_json(asdict(measured.scores)))
        return _Measured(Scores(**json.loads(scores.read_bytes())), Found.load(found))

    def _train(self, training: Dataset, fold: Fold, *, name: str, seed: int) -> _Measured:
        config, done, total = detector_config(self._config), self._done, self._total
        work = self._scratch / name
        with self._store.workspace() as out:
            train_detector(
                training,
                config,
                out=out,
                scratch=work,
                seed=seed,
                threads=self._threads,
                on_epoch=lambda epoch: self._on_progress(
                    (done - 1) * config.epochs + epoch.epoch,
                    total * config.epochs,
                    f"training {done} of {total} ({name})",
                ),
            )
            evaluation = score_on(
                lambda file: out / file,
                self._real,
                fold.held_out,
                score_threshold=_SCORE_THRESHOLD,
                threads=self._threads,
                collect=True,
            )
        shutil.rmtree(work, ignore_errors=True)
        found = Found.of(evaluation.detections, fold.held_out, n_classes=len(self._real.classes))
        return _Measured(scores_of(evaluation), found)
