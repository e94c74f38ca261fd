"""Paired trainings: fair, resumable, and honest where there is nothing to measure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.artifacts import Store, open_store
from edgewright.data.dataset import Dataset, encode_png
from edgewright.data.rows import Label, Row
from edgewright.detect.evaluate import Evaluation
from edgewright.experiment.score import scores_of
from edgewright.experiment.utility import detector_config, measure_utility
from edgewright.gates.utility import Pair, Scores, UtilityEvidence, mean_interval
from edgewright.progress import silent
from edgewright.recipe import resolve
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.recipe.gates import MIN_PAIRS, MeasureUtilityConfig
from tests.scenes import gray, paint_square, publish_dataset

SMALL = TrainDetectorConfig(batch=4, image_px=64, width=0.0625)
TINY = MeasureUtilityConfig(pairs=1, steps=4, epochs=2, detector=SMALL)


def squares(store: Store, *, split: Sequence[str], origin: str = "real", count: int) -> Dataset:
    """Pictures with a bright square each."""
    rng = np.random.default_rng(count)
    pairs = []
    for index in range(count):
        image = gray(rng, ground=100, noise=9)
        labels = (Label(0, 0, paint_square(image, rng, 230)),)
        state = "human" if origin == "real" else "constructed"
        where = split[index % len(split)]
        row = Row(f"{origin}-{index}", "", width=64, height=64, split=where, origin=origin, labels=labels, state=state)
        pairs.append((row, encode_png(image)))
    return publish_dataset(store, pairs, classes=("square",), stage="test")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def measure(store: Store, tmp_path: Path) -> Callable[..., UtilityEvidence]:
    def run(real: Dataset, synthetic: Dataset, config: MeasureUtilityConfig, **changes: Any) -> UtilityEvidence:
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        given = {"store": store, "scratch": scratch, "seed": 3, "threads": 1, "on_progress": silent, **changes}
        return measure_utility(real, synthetic, config, **given)

    return run


def test_a_pair_differs_in_the_synthetic_pictures_alone(
    store: Store, measure: Callable[..., UtilityEvidence], tmp_path: Path
) -> None:
    real = squares(store, split=("train", "train", "val"), count=9)
    made = squares(store, split=("train",), origin="synthetic", count=6)  # of which an epoch shows 4
    evidence = measure(real, made, TINY)
    assert [(pair.seed, set(pair.real.by_class)) for pair in evidence.pairs] == [(3, {"square"})]
    assert (evidence.n_real, evidence.n_synthetic, evidence.n_held_out, evidence.steps) == (6, 4, 3, 4)
    assert evidence.gain is None  # one pair is no evidence
    assert evidence.problem == evidence.pairs[0].problem
    assert UtilityEvidence.from_json(evidence.to_json()) == evidence
    # What was trained is not trained again: the scores stand in the scratch folder.
    calls: list[str] = []
    again = measure(real, made, TINY, on_progress=lambda done, total, text: calls.append(text))
    assert again == evidence
    assert calls == []


@pytest.mark.trains
def test_a_set_against_itself_gains_nothing(store: Store, measure: Callable[..., UtilityEvidence]) -> None:
    """Without synthetic rows both sides are the same training: the difference is exactly nothing."""
    real = squares(store, split=("train", "train", "val"), count=9)
    made = squares(store, split=("train",), origin="synthetic", count=4)
    evidence = measure(real, made, TINY.model_copy(update={"real_share": 1.0}))
    pair = evidence.pairs[0]
    assert pair.real == pair.both


@pytest.mark.parametrize(
    ("pairs", "splits", "synthetic", "problem"),
    [
        (0, ("train", "val"), 4, "not measured"),
        (1, ("train", "val"), 0, "no synthetic picture"),
        (1, ("val",), 4, "to train on"),
        (1, ("train",), 4, "to measure on"),
    ],
)
def test_where_there_is_nothing_to_measure_it_says_so(
    store: Store,
    measure: Callable[..., UtilityEvidence],
    pairs: int,
    splits: tuple[str, ...],
    synthetic: int,
    problem: str,
) -> None:
    made = squares(store, split=("train",), origin="synthetic", count=synthetic)
    evidence = measure(squares(store, split=splits, count=4), made, TINY.model_copy(update={"pairs": pairs}))
    assert problem in evidence.problem
    assert evidence.gain is None


def test_both_sides_take_the_last_epoch() -> None:
    config = detector_config(TINY)
    assert (config.keep, config.steps, config.real_share) == ("last", 4, 0.5)


def test_the_network_of_the_run_is_the_one_that_is_measured() -> None:
    """Whatever `train_detector` says; steps, epochs and the share of photographs are the measurement's own."""
    words = ["image_px=96", "learning_rate=0.004", "model=yolo26n", "width=0.25", "batch=4", "epochs=7", "mosaic=0.5"]
    overrides = ["measure_utility.pairs=3", *(f"train_detector.{word}" for word in words)]
    recipe = resolve("demo", overrides=overrides)
    own = {"epochs": 20, "steps": 400, "real_share": 0.5, "keep": "last"}
    assert detector_config(recipe.utility).model_dump() == {**recipe.train_detector.model_dump(), **own}
    apart = detector_config(resolve("demo", overrides=[*overrides, "measure_utility.detector={image_px: 128}"]).utility)
    assert (apart.image_px, apart.learning_rate) == (128, TrainDetectorConfig().learning_rate)
    assert resolve("demo", overrides=overrides[1:]).utility == MeasureUtilityConfig()  # nothing to measure: one key


def pairs(*deltas: float) -> tuple[Pair, ...]:
    return tuple(
        Pair(seed, Scores(0.5, 0.3, {"a": 0.3, "b": 0.1}), Scores(0.5, 0.3 + delta, {"a": 0.3 - delta}))
        for seed, delta in enumerate(deltas)
    )


def test_the_interval_is_student_s() -> None:
    """scipy.stats.t.interval(0.9, 2, mean, sd / sqrt(3)) of 1, 2 and 3 points."""
    from scipy.stats import t

    found = mean_interval([0.01, 0.02, 0.03])
    assert (found.low, found.high) == pytest.approx(t.interval(0.9, 2, 0.02, 0.01 / 3**0.5), abs=1e-5)


def test_classes_apart() -> None:
    evidence = UtilityEvidence(pairs(0.01, 0.02, 0.03))
    assert evidence.gain_by_class["a"].mean == pytest.approx(-0.02)
    assert set(evidence.gain_by_class) == {"a"}  # b was not measured on both sides
    written = json.loads(json.dumps(evidence.to_json(), allow_nan=False))
    assert written["gain_by_class"]["a"]["n"] == 3
    assert written["gain"]["mean"] == pytest.approx(0.02)
    assert UtilityEvidence.from_json(written) == evidence


NOTHING_FOUND = Pair(1, Scores(0.0, 0.0, {"a": 0.0}), Scores(0.0, 0.0, {"a": 0.0}))


@pytest.mark.parametrize(
    ("odd", "problem"),
    [
        (NOTHING_FOUND, "seed 1 finds nothing"),
        (replace(NOTHING_FOUND, both=Scores(0.4, 0.2, {"a": 0.2})), "seed 1 finds nothing"),  # a huge gain over nothing
        (Pair(1, Scores(0.5, 0.3, {}), Scores(None, None, {})), "no finite mAP"),
        (Pair(1, Scores(0.5, float("nan"), {}), Scores(0.5, 0.3, {})), "no finite mAP"),
    ],
)
def test_a_pair_that_says_nothing_is_no_evidence(odd: Pair, problem: str) -> None:
    evidence = UtilityEvidence((*pairs(0.01, 0.02, 0.03), odd))
    assert problem in evidence.why_none
    assert (evidence.gain, evidence.gain_by_class) == (None, {})


def test_what_was_not_measured_is_never_zero() -> None:
    found = Evaluation(3, None, float("nan"), {}, {"a": float("nan"), "b": 0.2}, {}, (), ())
    assert scores_of(found) == Scores(None, None, {"b": 0.2})


def test_fewer_pairs_than_needed_are_no_evidence() -> None:
    assert UtilityEvidence(pairs(*[0.1] * (MIN_PAIRS - 1))).gain is None
    assert replace(UtilityEvidence(), pairs=pairs(*[0.1] * MIN_PAIRS)).gain is not None
