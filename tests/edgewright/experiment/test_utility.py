"""Paired trainings: fair, cross-fitted, resumable, and honest where there is nothing to measure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.artifacts import Content, Record, Store, open_store
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Label, Row
from edgewright.detect.evaluate import Evaluation
from edgewright.experiment.making import learned_from
from edgewright.experiment.score import scores_of
from edgewright.experiment.utility import detector_config, divide, measure_utility
from edgewright.gates.utility import Gain, Pair, Scores, UtilityEvidence, mean_interval
from edgewright.progress import silent
from edgewright.recipe import resolve
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.recipe.gates import MIN_FOLDS, MeasureUtilityConfig
from tests.scenes import gray, paint_square, publish_dataset

SMALL = TrainDetectorConfig(model="edgewright-slim", batch=4, image_px=64, width=0.0625)
TINY = MeasureUtilityConfig(pairs=1, folds=3, steps=4, epochs=2, detector=SMALL)


def squares(
    store: Store,
    *,
    split: Sequence[str],
    origin: str = "real",
    count: int,
    parents: Sequence[tuple[str, ...]] = ((),),
    groups: int = 100,
) -> Dataset:
    """Pictures with a bright square each."""
    rng = np.random.default_rng(count)
    pairs = []
    for index in range(count):
        image = gray(rng, ground=100, noise=9)
        labels = (Label(0, 0, paint_square(image, rng, 230)),)
        state = "human" if origin == "real" else "constructed"
        where = split[index % len(split)]
        row = Row(f"{origin}-{index}", "", width=64, height=64, split=where, origin=origin, labels=labels, state=state)
        row = replace(row, parents=parents[index % len(parents)], group=f"{origin}-group-{index % groups}")
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


@pytest.mark.trains
def test_every_photograph_is_held_out_once_and_pairs_differ_in_the_synthetic_pictures_alone(
    store: Store, measure: Callable[..., UtilityEvidence], tmp_path: Path
) -> None:
    real = squares(store, split=("train", "train", "val"), count=9)
    made = squares(store, split=("train",), origin="synthetic", count=6, parents=[(f"real-{i}",) for i in range(6)])
    evidence = measure(real, made, TINY)
    assert [(pair.fold, pair.seed, set(pair.real.by_class)) for pair in evidence.pairs] == [
        (fold, 3, {"square"}) for fold in range(3)
    ]
    assert [(pair.n_real, pair.n_held_out) for pair in evidence.pairs] == [(6, 3)] * 3
    assert all(0 < pair.n_synthetic <= 4 for pair in evidence.pairs)  # an epoch shows 4
    assert (evidence.n_real, evidence.n_synthetic, evidence.n_held_out) == (9, 6, 9)
    assert (evidence.steps, evidence.folds) == (4, 3)
    assert evidence.problem == next((pair.problem for pair in evidence.pairs if pair.problem), "")
    assert UtilityEvidence.from_json(json.loads(json.dumps(evidence.to_json(), allow_nan=False))) == evidence
    # What was trained is not trained again: what each detector found stands in the scratch folder.
    calls: list[str] = []
    again = measure(real, made, TINY, on_progress=lambda done, total, text: calls.append(text))
    assert again == evidence
    assert calls == []
    (tmp_path / "scratch" / "both-1-3.json").unlink()  # one that was interrupted: it alone is trained again
    assert measure(real, made, TINY, on_progress=lambda done, total, text: calls.append(text)) == evidence
    assert {text.partition("(")[2] for text in calls} == {"both-1-3)"}


@pytest.mark.trains
def test_a_set_against_itself_gains_nothing(store: Store, measure: Callable[..., UtilityEvidence]) -> None:
    """Without synthetic rows both sides are the same training: the difference is exactly nothing."""
    real = squares(store, split=("train", "train", "val"), count=9)
    made = squares(store, split=("train",), origin="synthetic", count=4)
    evidence = measure(real, made, TINY.model_copy(update={"real_share": 1.0}))
    assert all(pair.real == pair.both for pair in evidence.pairs)


def test_a_fold_trains_on_no_pixel_of_what_it_holds_out(store: Store) -> None:
    """Groups stay whole; a picture goes where none of its parents is held out; `test` takes no part."""
    real = squares(store, split=("train", "val", "train", "val", "test"), count=25, groups=10)
    rows = [Row(f"s{i}", "", parents=(f"real-{i}", f"real-{i + 1}", "unknown")) for i in range(24)]
    folds = divide(real, rows, folds=4, seed=0)
    held_out = [row.id for fold in folds for row in fold.held_out]
    assert sorted(held_out) == sorted(row.id for row in real.rows if row.split != "test")
    for fold in folds:
        outside = {row.group for row in fold.held_out}
        assert outside.isdisjoint(row.group for row in fold.train)
        ids = {row.id for row in fold.held_out}
        assert [row.id for row in fold.made] == [row.id for row in rows if ids.isdisjoint(row.parents)]
        assert 0 < len(fold.made) < len(rows)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("compositor", ""),
        ("gan", "the generator (gan) was not refitted"),
        ("diffusion", "the generator (diffusion) was not refitted"),
        (None, "how the pictures were made is not known"),
    ],
)
def test_what_a_network_learned_of_all_photographs_is_told(store: Store, method: str | None, said: str) -> None:
    inputs: dict[str, str] = {}
    if method:
        for kind, name in (("generator", "generator"), ("dataset_synthetic", "dataset")):
            with store.workspace() as out:
                content = Content(kind=kind, stage="x", config={"method": method}, inputs=inputs)
                inputs = {name: store.publish(out, content, Record()).sha256, "labeler": "0" * 64}
    with store.workspace() as out:
        DatasetWriter(out, classes=("square",)).finish()
        ref = store.publish(out, Content(kind="dataset_labeled", stage="label", inputs=inputs), Record())
    found = learned_from(Dataset.open(store, ref), store)
    assert found.startswith(said)
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("changes", "splits", "synthetic", "problem"),
    [
        ({"pairs": 0}, ("train", "val"), 4, "not measured"),
        ({}, ("train", "val"), 0, "no synthetic picture"),
        ({}, ("test",), 4, "0 groups, 3 are needed"),
        ({"groups": 2}, ("train",), 4, "2 groups, 3 are needed"),
        (
            {"parents": [tuple(f"real-{i}" for i in range(4))]},
            ("train",),
            4,
            "is made of photographs that fold 0 holds",
        ),
    ],
)
def test_where_there_is_nothing_to_measure_it_says_so(
    store: Store,
    measure: Callable[..., UtilityEvidence],
    changes: dict[str, Any],
    splits: tuple[str, ...],
    synthetic: int,
    problem: str,
) -> None:
    parents = changes.get("parents", ((),))
    made = squares(store, split=("train",), origin="synthetic", count=synthetic, parents=parents)
    real = squares(store, split=splits, count=4, groups=changes.get("groups", 100))
    evidence = measure(real, made, TINY.model_copy(update={"pairs": changes.get("pairs", 1)}))
    assert problem in evidence.problem
    assert evidence.gain is None


def test_both_sides_take_the_last_epoch() -> None:
    config = detector_config(TINY)
    assert (config.keep, config.steps, config.real_share) == ("last", 4, 0.5)


def test_the_network_of_the_run_is_the_one_that_is_measured() -> None:
    """Whatever `train_detector` says; steps, epochs and the share of photographs are the measurement's own."""
    words = ["model=edgewright-slim", "width=0.25", "image_px=96", "learning_rate=0.004", "batch=4", "epochs=7"]
    overrides = ["measure_utility.pairs=1", *(f"train_detector.{word}" for word in words)]
    recipe = resolve("demo", overrides=overrides)
    own = {"epochs": 20, "steps": 400, "real_share": 0.5, "keep": "last"}
    assert detector_config(recipe.utility).model_dump() == {**recipe.train_detector.model_dump(), **own}
    apart = detector_config(resolve("demo", overrides=[*overrides, "measure_utility.detector={image_px: 128}"]).utility)
    assert (apart.image_px, apart.learning_rate) == (128, TrainDetectorConfig().learning_rate)
    assert resolve("demo", overrides=overrides[1:]).utility == MeasureUtilityConfig()  # nothing to measure: one key


GAIN = Gain(0.02, 0.01, 0.03, 3)


def evidence_of(*pairs: Pair, folds: int = MIN_FOLDS, gain: Gain | None = GAIN) -> UtilityEvidence:
    by_class = {"a": Gain(-0.02, -0.03, -0.01, 3)}
    return UtilityEvidence(tuple(pairs), folds=folds, pooled=gain, pooled_by_class=by_class)


GOOD = Pair(0, Scores(0.5, 0.3, {"a": 0.3, "b": 0.1}), Scores(0.5, 0.32, {"a": 0.28}), 1, 20, 10, 5)


def test_the_interval_is_student_s() -> None:
    """scipy.stats.t.interval(0.9, 2, mean, sd / sqrt(3)) of 1, 2 and 3 points."""
    from scipy.stats import t

    found = mean_interval([0.01, 0.02, 0.03])
    assert (found.low, found.high) == pytest.approx(t.interval(0.9, 2, 0.02, 0.01 / 3**0.5), abs=1e-5)


def test_evidence_is_read_as_it_was_written() -> None:
    evidence = evidence_of(GOOD)
    written = json.loads(json.dumps(evidence.to_json(), allow_nan=False))
    assert written["gain_by_class"]["a"]["n"] == 3
    assert written["gain"]["mean"] == pytest.approx(0.02)
    assert UtilityEvidence.from_json(written) == evidence


def test_evidence_of_earlier_versions_is_read_and_is_none() -> None:
    """Pairs measured on one held-out part, without folds."""
    old = {
        "pairs": [{"seed": s, "real": asdict(GOOD.real), "both": asdict(GOOD.both)} for s in range(3)],
        "steps": 400,
        "n_real": 20,
        "n_synthetic": 10,
        "n_held_out": 5,
        "problem": "",
        "gain": {"mean": 0.02, "low": 0.01, "high": 0.03, "n": 3},
        "gain_by_class": {},
    }
    evidence = UtilityEvidence.from_json(old)
    assert (len(evidence.pairs), evidence.gain) == (3, None)
    assert "0 folds of photographs are too few" in evidence.why_none


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
    evidence = evidence_of(GOOD, odd)
    assert problem in evidence.why_none
    assert (evidence.gain, evidence.gain_by_class) == (None, {})


def test_what_was_not_measured_is_never_zero() -> None:
    found = Evaluation(3, None, float("nan"), {}, {"a": float("nan"), "b": 0.2}, {}, (), ())
    assert scores_of(found) == Scores(None, None, {"b": 0.2})


def test_fewer_folds_than_needed_or_no_interval_are_no_evidence() -> None:
    assert evidence_of(GOOD).gain is not None
    assert evidence_of(GOOD, folds=MIN_FOLDS - 1).gain is None
    assert evidence_of(GOOD, gain=None).why_none == "the gain has no finite interval"
