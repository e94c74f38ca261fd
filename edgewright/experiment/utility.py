"""Measured usefulness: detectors trained in pairs, with and without the synthetic pictures.

Decides what makes a pair fair: same photographs, optimizer steps, batch, seed and picture size; the last epoch of both,
so that nothing is chosen by the photographs that they are then measured on (`val`, which neither the generator nor the
training saw). Refuses nothing: where there is nothing to pair, the evidence says so.

Every finished training leaves its scores in the scratch folder: an interruption costs one training.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from edgewright.artifacts import Content, Record, Store, canonical_json
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Origin, Split
from edgewright.detect.rows import factors_of
from edgewright.detect.schedule import shown
from edgewright.detect.train import train_detector
from edgewright.experiment.plan import AssembleConfig
from edgewright.experiment.score import score_detector, scores_of
from edgewright.experiment.subset import assemble
from edgewright.files import write_atomically
from edgewright.gates.utility import Pair, Scores, UtilityEvidence
from edgewright.progress import OnProgress
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.recipe.gates import MeasureUtilityConfig

_SCORE_THRESHOLD = 0.001


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
    """Train `2 · config.pairs` detectors and measure them on `val`; seeds `seed`, `seed + 1`, …"""
    problem = _problem(real, synthetic, config)
    if problem:
        return UtilityEvidence(problem=problem)
    trained = _Trainings(config, store=store, scratch=scratch, threads=threads, on_progress=on_progress)
    sets = {
        "real": _training_set(real, real, AssembleConfig(extra="none"), store=store),
        "both": _training_set(real, synthetic, AssembleConfig(extra="synthetic"), store=store),
    }
    pairs = [
        Pair(number, *(trained.scores(sets[arm], real, arm=arm, seed=number) for arm in ("real", "both")))
        for number in range(seed, seed + config.pairs)
    ]
    return UtilityEvidence(
        pairs=tuple(pairs),
        steps=config.steps,
        n_real=len(sets["real"].usable),
        n_synthetic=_n_shown(sets["both"], config),
        n_held_out=len(_held_out(real)),
        problem=next((pair.problem for pair in pairs if pair.problem), ""),
    )


def detector_config(config: MeasureUtilityConfig) -> TrainDetectorConfig:
    """The detector of both sides of a pair: `config.detector`, for as many steps on both, its last epoch.

    A stage that runs alone and was given none trains the default one.
    """
    changes = {"epochs": config.epochs, "steps": config.steps, "real_share": config.real_share, "keep": "last"}
    return (config.detector or TrainDetectorConfig()).model_copy(update=changes)


def _n_shown(training: Dataset, config: MeasureUtilityConfig) -> int:
    """How many synthetic pictures the mixed side ever sees; which ones, its seed decides."""
    made = [row.origin == Origin.SYNTHETIC for row in training.usable]
    settings = detector_config(config)
    indices = shown(made, settings, factors=factors_of(training.usable, settings), seed=0)
    return sum(made[at] for at in set(indices))


def _held_out(real: Dataset) -> list[object]:
    return [row for row in real.select(split=Split.VAL, origin=Origin.REAL, labeled=True) if len(row.boxes)]


def _problem(real: Dataset, synthetic: Dataset, config: MeasureUtilityConfig) -> str:
    if not config.pairs:
        return "usefulness was not measured (measure_utility.pairs is 0)"
    if not synthetic.select(origin=Origin.SYNTHETIC, labeled=True):
        return "there is no synthetic picture to measure"
    if not any(len(row.boxes) for row in real.select(split=Split.TRAIN, origin=Origin.REAL, labeled=True)):
        return "there is no labeled photograph to train on"
    return "" if _held_out(real) else "there is no labeled photograph in val to measure on"


def _training_set(real: Dataset, extra: Dataset, config: AssembleConfig, *, store: Store) -> Dataset:
    """`train` photographs and, on one side, the synthetic pictures; a data set of its own, so that both are alike."""
    with store.workspace() as out:
        writer = DatasetWriter(out, classes=real.classes)
        assemble(real, extra, config, writer=writer, splits=(Split.TRAIN,))
        ref = store.publish(out, Content(kind="dataset_training", stage="measure_utility"), Record())
    return Dataset.open(store, ref)


class _Trainings:
    """Trains, measures, remembers."""

    def __init__(
        self, config: MeasureUtilityConfig, *, store: Store, scratch: Path, threads: int, on_progress: OnProgress
    ) -> None:
        self._config, self._store, self._scratch, self._threads = config, store, scratch, threads
        self._on_progress, self._done = on_progress, 0

    def scores(self, training: Dataset, real: Dataset, *, arm: str, seed: int) -> Scores:
        known = self._scratch / f"{arm}-{seed}.json"
        self._done += 1
        if not known.is_file():
            write_atomically(known, canonical_json(asdict(self._train(training, real, arm=arm, seed=seed))))
        return Scores(**json.loads(known.read_bytes()))

    def _train(self, training: Dataset, real: Dataset, *, arm: str, seed: int) -> Scores:
        config, total = detector_config(self._config), 2 * self._config.pairs
        work = self._scratch / f"{arm}-{seed}"
        with self._store.workspace() as out:
            train_detector(
                training,
                config,
                out=out,
                scratch=work,
                seed=seed,
                threads=self._threads,
                on_epoch=lambda epoch: self._on_progress(
                    (self._done - 1) * config.epochs + epoch.epoch,
                    total * config.epochs,
                    f"training {self._done} of {total} ({arm}, seed {seed})",
                ),
            )
            found = score_detector(
                lambda name: out / name,
                real,
                split=Split.VAL,
                score_threshold=_SCORE_THRESHOLD,
                threads=self._threads,
            )
        shutil.rmtree(work, ignore_errors=True)
        return scores_of(found)
