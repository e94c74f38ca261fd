"""The label-efficiency experiment at toy size, by the command a person types: cut off, continued, concluded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.artifacts import Store, open_store
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.experiment.plan import SubsetConfig
from edgewright.experiment.subset import subset_rows

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]

SETTINGS = (
    "ingest.photographs=90",
    "train_labeler.steps=40",
    "train_labeler.image_px=96",
    "generate.images=12",
    "generate.image_px=160",
    "gate_data.bootstraps=20",
    "train_detector.image_px=96",
    "train_detector.batch=8",
)


def words(results: Path, *more: str, arms: str = "real,compositor,all_real") -> list[str]:
    given = ["experiment", "label-efficiency", "demo", "--labels", "24", "--draws", "0", "--steps", "20"]
    given += ["--epochs", "1", "--arms", arms, "--results", str(results), *more]
    return given + [word for setting in SETTINGS for word in ("--set", setting)]


def lines(results: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for the arms of 24 photographs: what two of them need alike is made once. `all_real` sees more."""
    return tmp_path_factory.mktemp("experiments")


def test_killed_continued_and_never_made_again(command: Command, prefect_api: str, tmp_path: Path) -> None:
    home, results = tmp_path / "home", tmp_path / "results.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "edgewright.cli", *words(results)],
        env={**os.environ, "EDGEWRIGHT_HOME": str(home), "PREFECT_API_URL": prefect_api},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as killed:
        deadline = time.monotonic() + 400
        while not lines(results) and time.monotonic() < deadline:
            time.sleep(0.2)
        os.killpg(killed.pid, signal.SIGKILL)
    first = lines(results)
    assert [line["arm"] for line in first] == ["real"]

    done = command(*words(results), home=home)
    made = lines(results)
    assert made[0] == first[0]  # as it was
    assert [line["arm"] for line in made] == ["real", "compositor", "all_real"]
    assert "real, n = 24" not in done.stderr
    by_arm = {str(line["arm"]): line for line in made}
    assert by_arm["real"]["n_photographs"] == by_arm["compositor"]["n_photographs"] == 24
    assert int(str(by_arm["all_real"]["n_photographs"])) > 24
    assert by_arm["compositor"]["gate"] in ("not_evaluable", "refuse")  # six held-out images are too few to pass

    page = Path(done.stdout.strip().splitlines()[-1])
    assert page.name == "report.html"
    assert (page.parent / "label_efficiency.png").read_bytes().startswith(b"\x89PNG")
    assert "Labels saved" in page.read_text()

    again = command(*words(results), home=home)
    assert len(lines(results)) == 3
    assert "train_detector" not in again.stderr

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("edgewright/demo")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if run.data.tags.get("edgewright.arm")]
    assert sorted(run.data.tags["edgewright.arm"] for run in children) == ["all_real", "compositor", "real"]
    [parent] = {run.data.tags["mlflow.parentRunId"] for run in children}
    assert {"label_efficiency.png", "report.html"} <= {found.path for found in client.list_artifacts(parent)}
    assert '<svg viewBox="0 0 800 500"' in page.read_text()


def test_the_plan_alone(command: Command, tmp_path: Path) -> None:
    planned = command(*words(tmp_path / "r.jsonl", "--dry-run"), home=tmp_path).stdout.splitlines()
    assert planned[0] == "real, n = 24, draw 0, seed 0"
    assert planned[-1] == "all_real, n = all, draw 0, seed 0"
    assert not (tmp_path / "r.jsonl").exists()


FEW = [word for name in ("steps=30", "batch=8", "width=8") for word in ("--set", f"train_generator.{name}")]


def test_every_other_arm(command: Command, home: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    arms = "real,strong,repeated,gan,diffusion,pseudo,unchecked,synthetic_only"
    command(*words(results, *FEW, arms=arms), home=home)
    by_arm = {str(line["arm"]): line for line in lines(results)}
    assert set(by_arm) == set(arms.split(","))
    assert {by_arm[arm]["n_photographs"] for arm in arms.split(",")[:-1]} == {24}
    assert by_arm["synthetic_only"]["n_photographs"] == 0
    assert by_arm["unchecked"]["n_extra"] == 12  # nobody has looked at them
    assert int(str(by_arm["repeated"]["n_extra"])) > 24
    check_that_nothing_saw_more_than_it_may(open_store(str(home / "store")))


def test_a_gate_that_decides_by_use_measures_on_the_arms_own_photographs(
    command: Command, home: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results.jsonl"
    pairs = [f"measure_utility.{field}" for field in ("pairs=1", "folds=3", "steps=16", "epochs=2")]
    chosen = [word for name in ("gate_data.rule=utility", *pairs) for word in ("--set", name)]
    command(*words(results, *chosen, arms="real,compositor"), home=home)
    (made,) = (line for line in lines(results) if line["arm"] == "compositor")
    assert made["gate"] in ("not_evaluable", "refuse")  # six held-out images are too few to pass
    check_that_nothing_saw_more_than_it_may(open_store(str(home / "store")))


def check_that_nothing_saw_more_than_it_may(store: Store) -> None:
    """By what every artifact says it was made from: nothing learns from more than the n, nothing meets `test` early."""
    manifests = {digest: store.manifest(digest).content for digest in store.digests()}

    def rows_of(digest: str) -> list[Row]:
        kind = manifests[digest].kind if digest in manifests else "source"
        return Dataset.open(store, store.ref(digest, kind)).usable if kind.startswith("dataset") else []

    def photographs(digest: str) -> set[str]:
        return {row.id for row in rows_of(digest) if row.origin == "real"}

    (everything,) = (digest for digest, content in manifests.items() if content.stage == "ingest")
    ordered = subset_rows(Dataset.open(store, store.ref(everything, "dataset_real")), SubsetConfig(labels=24, draw=0))
    own, learnt_from = {row.id for row in ordered}, {row.id for row in ordered if row.split == "train"}
    tested = {row.id for row in rows_of(everything) if row.split == "test"}
    assert len(own) == 24 > len(learnt_from) > 0 < len(tested)

    making = ("train_generator", "generate", "train_labeler", "measure_utility")
    seen = dict.fromkeys((*making, "label", "gate_data", "assemble"), 0)
    for content in manifests.values():
        given: set[str] = set().union(*map(photographs, content.inputs.values()))
        if content.stage in seen:
            seen[content.stage] += 1
            assert not given & tested, content.stage
        if content.stage in making and content.inputs:
            assert given == own, content.stage
    assert all(seen.values()), seen

    trained: list[set[str]] = []
    for digest, content in manifests.items():
        rows = rows_of(digest)
        if content.stage == "generate":
            assert {parent for row in rows for parent in row.parents} <= learnt_from
        if content.stage == "measure_utility" and rows:  # what the pairs of a fold train on
            known = {row.id for row in rows if row.origin == "real"}
            assert known < own
            trained.append(known)
            held_out = own - known
            assert all(held_out.isdisjoint(row.parents) for row in rows)
        if content.stage == "assemble":
            shown = {row.id.partition("~")[0]: row.state for row in rows}  # repeated ones are numbered
            assert {row for row, state in shown.items() if state == "human"} in (own, set())
            assert {state for row, state in shown.items() if row not in own} <= {"constructed", "model"}
    assert not trained or set.intersection(*trained) == set()  # each photograph is held out once


def test_a_run_that_fails_stops_no_other(command: Command, home: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    given = words(results, *FEW, "--set", "train_generator.learning_rate=1e30", arms="real,gan,compositor")
    failed = command(*given, home=home, check=False)
    assert failed.returncode != 0
    assert "gan, n = 24" in failed.stderr
    page = max((home / "experiments").glob("*/report.html"), key=lambda path: path.stat().st_mtime)
    assert "Missing from the plan: gan, n = 24, draw 0, seed 0 (" in page.read_text()
    assert [line["arm"] for line in lines(results)] == ["real", "compositor"]
