"""What stands in MLflow after a stage: its values, its datasets, what it was for, and whether it was computed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edgewright.errors import SourceError, StoreUnavailable
from tasks.engine.tracking import Entry, TrackedDataset, Tracker
from tests.listeners import closed_port

ENTRY = Entry(
    "train_toy",
    key="k" * 64,
    description="Train a toy.",
    tags={"pool": "gpu"},
    params={"train_toy.epochs": 2, "seed": 0},
    datasets=[TrackedDataset("toys/real", "d" * 64, "file:///nowhere", "dataset", {"num_rows": 3})],
)


def open_parent(tracker: Tracker, run_id: str) -> str:
    return tracker.start_parent("toys", run_id=run_id, name=f"toys demo {run_id}")


def children(tracker: Tracker, parent: str) -> list[Any]:
    condition = f"tags.`mlflow.parentRunId` = '{parent}'"
    return list(tracker.client.search_runs([tracker.experiment_of(parent)], condition))


def run_stage(tracker: Tracker, parent: str) -> str:
    with tracker.child(parent, ENTRY) as child:
        for epoch in (1, 2):
            child.log({"epoch": epoch, "epochs": 2, "map50": 0.1 * epoch}, step=epoch)
    return child.run_id


def test_a_stage_carries_its_values_its_datasets_and_what_it_is_for(tracker: Tracker) -> None:
    parent = open_parent(tracker, "carries")
    run = tracker.client.get_run(run_stage(tracker, parent))
    assert (run.info.run_name, run.info.status) == ("train_toy", "FINISHED")
    assert run.data.params == {"train_toy.epochs": "2", "seed": "0"}
    assert run.data.tags["mlflow.note.content"] == "Train a toy."
    [found] = run.inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("toys/real", "d" * 36)
    assert json.loads(found.dataset.source) == {"uri": "file:///nowhere"}
    assert json.loads(found.dataset.profile) == {"num_rows": 3}
    assert {tag.key: tag.value for tag in found.tags} == {"mlflow.data.context": "dataset"}


def test_what_was_asked_for_is_no_metric_and_neither_is_the_step(tracker: Tracker) -> None:
    run_id = run_stage(tracker, open_parent(tracker, "constants"))
    assert tracker.client.get_run(run_id).data.metrics == {"map50": 0.2}
    assert [point.step for point in tracker.client.get_metric_history(run_id, "map50")] == [1, 2]


def test_a_dataset_is_found_where_it_lies(tracker: Tracker, tmp_path: Path) -> None:
    import mlflow.data

    (tmp_path / "manifest.json").write_text("{}")
    parent = open_parent(tracker, "lies")
    tracker.log_datasets(parent, [TrackedDataset("toys/found", "a" * 64, tmp_path.as_uri(), "photographs", {})])
    [found] = tracker.client.get_run(parent).inputs.dataset_inputs
    assert (Path(mlflow.data.get_source(found.dataset).load()) / "manifest.json").is_file()


def test_a_stage_that_fails_says_why_and_what_to_do(tracker: Tracker) -> None:
    parent = open_parent(tracker, "fails")
    with pytest.raises(SourceError), tracker.child(parent, ENTRY):
        raise SourceError("no images", next_step="check --source")
    [run] = children(tracker, parent)
    assert run.info.status == "FAILED"
    assert run.data.tags["mlflow.note.content"] == "no images. Next: check --source\n\nTrain a toy."


def test_what_the_store_answered_for_stands_in_the_tree_and_names_the_run_that_made_it(tracker: Tracker) -> None:
    maker = run_stage(tracker, open_parent(tracker, "first"))
    for again in ("second", "third"):
        parent = open_parent(tracker, again)
        tracker.note_cached(parent, ENTRY, metrics={"map50": 0.2, "epochs": 2}, made="made on Monday on a laptop")
        [run] = children(tracker, parent)
        assert (run.info.run_name, run.info.status) == ("train_toy (cached)", "FINISHED")
        assert (run.data.tags["edgewright.cached"], run.data.tags["edgewright.made_by"]) == ("true", maker)
        assert f"/runs/{maker}?workflowType=machine_learning)" in run.data.tags["mlflow.note.content"]
        assert (run.data.params["train_toy.epochs"], run.data.metrics) == ("2", {"map50": 0.2})
        assert len(run.inputs.dataset_inputs) == 1


def test_a_result_that_another_tracker_knows_is_told_without_a_link(tracker: Tracker) -> None:
    parent = open_parent(tracker, "foreign")
    foreign = Entry("train_toy", key="f" * 64, description="Train a toy.")
    tracker.note_cached(parent, foreign, metrics={}, made="made on Monday on a laptop")
    [run] = children(tracker, parent)
    assert run.data.tags["mlflow.note.content"] == (
        "Taken from the store, not computed again: made on Monday on a laptop.\n\nTrain a toy."
    )
    assert "edgewright.made_by" not in run.data.tags


def test_a_run_that_continues_does_not_list_its_own_work_twice(tracker: Tracker) -> None:
    parent = open_parent(tracker, "continued")
    made = run_stage(tracker, parent)
    tracker.note_cached(parent, ENTRY, metrics={}, made="made a minute ago")
    assert [run.info.run_id for run in children(tracker, parent)] == [made]


def test_an_experiment_says_that_it_trains(tracker: Tracker) -> None:
    parent = open_parent(tracker, "kind")
    kind = tracker.client.get_experiment(tracker.experiment_of(parent)).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"


def test_more_than_a_batch_is_logged_whole(tracker: Tracker) -> None:
    params = {f"p{number}": number for number in range(230)}
    parent = tracker.start_parent("toys", run_id="many", params=params)
    tracker.log(parent, {f"m{number}": float(number) for number in range(1100)})
    data = tracker.client.get_run(parent).data
    assert (len(data.params), len(data.metrics)) == (230, 1100)


def test_a_parent_is_opened_again_where_mlflow_knows_it(tracker: Tracker) -> None:
    parent = open_parent(tracker, "again")
    tracker.finish_parent(parent, succeeded=False)
    assert tracker.resume_parent(parent)
    assert tracker.client.get_run(parent).info.status == "RUNNING"
    assert not tracker.resume_parent("0" * 32)


def test_a_silent_mlflow_has_forgotten_nothing(tmp_path: Path) -> None:
    """Else a second parent would be made as soon as it answers."""
    with pytest.raises(StoreUnavailable, match="MLflow does not take this run"):
        Tracker(f"http://127.0.0.1:{closed_port()}", tmp_path).resume_parent("0" * 32)


def test_a_data_set_that_two_stages_name_at_once_is_named_for_both(tracker: Tracker) -> None:
    """Side by side, each finds that nobody has named it, and MLflow takes one of them."""
    parents = [open_parent(tracker, f"at once {number}") for number in range(4)]
    datasets = [TrackedDataset(f"toys/{number}", "e" * 64, "file:///nowhere", "dataset", {}) for number in range(8)]
    with ThreadPoolExecutor(len(parents)) as pool:
        for done in [pool.submit(tracker.log_datasets, parent, datasets) for parent in parents]:
            done.result()
    for parent in parents:
        assert len(tracker.client.get_run(parent).inputs.dataset_inputs) == len(datasets)
