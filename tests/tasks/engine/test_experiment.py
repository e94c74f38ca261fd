"""The experiment's bookkeeping: what is open, what is refused before the first run, what a failure says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.artifacts import ArtifactRef, Content, LocalStore, Record
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.errors import EdgewrightError, InputError, RecipeError, StageFailed
from edgewright.experiment.plan import EfficiencyConfig, Run
from edgewright.experiment.results import Result, append_result
from edgewright.gates.utility import Pair, Scores, UtilityEvidence, mean_interval
from edgewright.recipe import Recipe, resolve
from tasks.engine.experiment import conclude, open_runs, report_failures, utility_facts
from tasks.engine.session import Session, session_open

Run_ = tuple[LocalStore, dict[str, ArtifactRef]]
PLAN = EfficiencyConfig(labels=(8,), draws=(0, 1), arms=("real", "strong"))
RECIPE = Recipe()


def derived(run: Run_, split_of: Callable[[int], str], *, labeled: bool = True) -> ArtifactRef:
    """The photographs with other splits, and with or without objects in them."""
    store, refs = run
    real = Dataset.open(store, refs["ingest"])
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=real.classes)
        for place, row in enumerate(row for row in real.rows if row.state == "human"):
            split = split_of(place)
            empty = split == "test" and not labeled
            writer.link(replace(row, split=split, labels=() if empty else row.labels), real)
        writer.finish()
        return store.publish(work, Content(kind="dataset_real", stage="ingest"), Record())


def last_is_test(place: int) -> str:
    return "test" if place == 0 else "train"


@pytest.fixture
def session(run: Run_, open_session: Callable[[LocalStore], Session]) -> Iterator[Session]:
    opened = open_session(run[0])
    with session_open(opened):
        yield opened


def finished(run: Run, key: str, dataset: str, settings: str, **changes: object) -> Result:
    values = {"map50": 0.4, "map50_95": 0.2, "by_class": {}, "steps": 400, "image_px": 192, "n_test": 1, "n_extra": 0}
    place = {"arm": run.arm, "labels": run.labels, "draw": run.draw, "seed": run.seed, "n_photographs": 8}
    return Result(key=key, project="p", dataset=dataset, settings=settings, **{**values, **place, **changes})  # type: ignore[arg-type]


def made(run: Run, real: ArtifactRef, store: LocalStore, recipe: Recipe) -> Result:
    """The line of a run, by the law that the experiment itself goes by."""
    from edgewright.experiment.plan import run_key, settings_digest
    from edgewright.experiment.subset import photographs_digest

    dataset, settings = photographs_digest(Dataset.open(store, real)), settings_digest(recipe, PLAN, run.arm)
    return finished(run, run_key(run, dataset=dataset, settings=settings), dataset, settings)


def test_what_stands_in_the_file_is_not_open(run: Run_, session: Session, tmp_path: Path) -> None:
    real, results = derived(run, last_is_test), tmp_path / "r.jsonl"
    every = list(open_runs(RECIPE, PLAN, real, str(results)))
    assert [(one.arm, one.draw) for one in every] == [("real", 0), ("strong", 0), ("real", 1), ("strong", 1)]
    append_result(results, made(every[1], real, run[0], RECIPE))
    assert list(open_runs(RECIPE, PLAN, real, str(results))) == [every[0], *every[2:]]
    other = resolve("demo", overrides=["train_detector.batch=4"])
    assert len(list(open_runs(other, PLAN, real, str(results)))) == 4


def test_other_weights_under_an_old_name_make_it_open_again(run: Run_, session: Session, tmp_path: Path) -> None:
    real, results, weights = derived(run, last_is_test), tmp_path / "r.jsonl", tmp_path / "base.pt"
    weights.write_bytes(b"one")
    recipe = RECIPE.model_copy(
        update={"train_detector": RECIPE.train_detector.model_copy(update={"model": str(weights)})}
    )
    first = next(open_runs(recipe, PLAN, real, str(results)))
    append_result(results, made(first, real, run[0], recipe))
    assert next(open_runs(recipe, PLAN, real, str(results))) == first  # a line that knows nothing of the weights


def test_a_line_that_another_process_adds_is_seen_at_once(run: Run_, session: Session, tmp_path: Path) -> None:
    real, results = derived(run, last_is_test), tmp_path / "r.jsonl"
    waiting = open_runs(RECIPE, PLAN, real, str(results))
    first = next(waiting)
    append_result(results, made(Run("strong", 8, 0, 0), real, run[0], RECIPE))
    assert (first.arm, next(waiting)) == ("real", Run("real", 8, 1, 0))


def test_a_line_that_cannot_be_read_is_refused(run: Run_, session: Session, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"key": 1\n')
    with pytest.raises(InputError, match="cannot be read"):
        list(open_runs(RECIPE, PLAN, derived(run, last_is_test), str(tmp_path / "r.jsonl")))


@pytest.mark.parametrize(("split_of", "labeled"), [(last_is_test, False), (lambda _: "train", True)])
def test_without_an_object_to_find_in_test_nothing_is_begun(
    run: Run_, session: Session, tmp_path: Path, split_of: Callable[[int], str], labeled: bool
) -> None:
    real = derived(run, split_of, labeled=labeled)
    with pytest.raises(InputError, match="nothing to find on the test photographs"):
        next(open_runs(RECIPE, PLAN, real, str(tmp_path / "r.jsonl")))


def test_more_labels_than_there_are_is_refused(run: Run_, session: Session, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="fewer labeled"):
        next(
            open_runs(
                RECIPE, PLAN.model_copy(update={"labels": (99,)}), derived(run, last_is_test), str(tmp_path / "r")
            )
        )


def test_the_page_is_of_the_lines_of_these_settings_and_names_what_is_missing(
    run: Run_, session: Session, tmp_path: Path
) -> None:
    real, results = derived(run, last_is_test), tmp_path / "r.jsonl"
    append_result(results, made(Run("real", 8, 0, 0), real, run[0], RECIPE))
    append_result(results, replace(made(Run("real", 8, 1, 0), real, run[0], RECIPE), key="other", settings="other"))
    failed: dict[str, EdgewrightError] = {"strong, n = 8, draw 0, seed 0": StageFailed("the loss is not finite")}
    page = conclude(RECIPE, PLAN, real, str(results), failed).read_text()
    assert "Missing from the plan: strong, n = 8, draw 0, seed 0 (the loss is not finite); real, n = 8" in page
    assert ">1 runs<" in page
    with pytest.raises(StageFailed, match="1 of the experiment's runs failed") as raised:
        report_failures(failed)
    assert "strong, n = 8, draw 0, seed 0: the loss is not finite" in str(raised.value)
    report_failures({})


def test_the_gain_that_the_gate_measured_is_written_down(session: Session) -> None:
    def gated(evidence: UtilityEvidence) -> ArtifactRef:
        with session.store.workspace() as work:
            (work / "utility.json").write_text(json.dumps(evidence.to_json()))
            return session.store.publish(work, Content(kind="dataset_training", stage="gate_data"), Record())

    pairs = tuple(
        Pair(0, Scores(0.5, 0.2, {}), Scores(0.6, both, {}), fold) for fold, both in enumerate((0.22, 0.23, 0.24))
    )
    evidence = UtilityEvidence(pairs=pairs, folds=3, pooled=mean_interval([0.02, 0.03, 0.04]))
    gain = utility_facts(session, gated(evidence))["utility"]
    assert (round(gain["mean"], 6), gain["n"], gain["low"] > 0) == (0.03, 3, True)
    assert utility_facts(session, gated(UtilityEvidence(problem="not measured"))) == utility_facts(session, None) == {}
