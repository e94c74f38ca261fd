"""`kill -9` in the middle, then the same command: it goes on, and nothing is there twice."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import edgewright

pytestmark = pytest.mark.slow

EPOCHS = 8


def start(home: Path, words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgewright.cli", *words],
        env={**os.environ, "EDGEWRIGHT_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )


def hear_interrupts() -> None:
    """As at a terminal: a shell starts its background jobs with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(condition: Callable[[], bool], *, seconds: float, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the run never got there:\n{process.stderr.read()[-3000:] if process.stderr else ''}")
        time.sleep(0.2)


def epochs_done(home: Path) -> int:
    """How many epochs the detector's training has finished so far, by what MLflow was told."""
    tracked = home / "mlflow" / "mlflow.db"
    if not tracked.exists():
        return 0
    of_epochs = "select count(distinct step) from metrics where key = 'map50' and step > 0"
    with closing(sqlite3.connect(f"file:{tracked}?mode=ro", uri=True)) as database:
        try:
            return int(database.execute(of_epochs).fetchone()[0])
        except sqlite3.OperationalError:  # MLflow makes its tables, one version after another
            return 0


def test_a_killed_training_continues(toy_settings: list[str], toy_home: Path) -> None:
    """The stages before it are the toy run's; the server is the run's own, and dies with it."""
    changed = ("--set", f"train_detector.epochs={EPOCHS}", "--until", "train_detector")
    words = ["run", "demo", *toy_settings, *changed, "--json"]
    with start(toy_home, words) as first:
        wait_for(lambda: epochs_done(toy_home) >= 2, seconds=600, process=first)
        first.send_signal(signal.SIGKILL)
    assert 2 <= epochs_done(toy_home) < EPOCHS
    record = json.loads((toy_home / "prefect" / "server.json").read_bytes())
    before = json.loads(next((toy_home / "runs").glob("*/run.json")).read_bytes())

    again = json.loads(edgewright(*words, home=toy_home).stdout)
    assert again["run_id"] == before["run_id"], "the same run goes on"
    assert again["mlflow_run_id"] == before["mlflow_run_id"]
    assert [s["name"] for s in again["stages"] if s["cached"]] == [s["name"] for s in before["stages"]]
    after = json.loads(next((toy_home / "runs").glob("*/run.json")).read_bytes())
    for name, ref in before["refs"].items():
        assert after["refs"][name] == ref, f"{name} is the same artifact"
    assert not Path(f"/proc/{record['pid']}").exists() or b"prefect" not in cmdline(record["pid"])

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{toy_home}/mlflow/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("edgewright/demo").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    stages = [run.data.tags["edgewright.stage"] for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1
    assert len(stages) == len(set(stages)), "no stage has two MLflow runs"
    detector = next(run for run in runs if run.data.tags.get("edgewright.stage") == "train_detector")
    logged = [point.step for point in client.get_metric_history(detector.info.run_id, "map50") if point.step > 0]
    assert sorted(set(logged)) == list(range(1, EPOCHS + 1)), "every epoch was trained"
    assert len(logged) <= EPOCHS + 2, "and at most the one that was cut off was trained twice"


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_checkpoint(path: Path) -> bool:
    return path.suffix in (".pt", ".checkpoint")


def test_ctrl_c_leaves_nothing_half_written(toy_settings: list[str], toy_home: Path) -> None:
    """Of a generator that the toy run did not train."""
    changed = ("--set", "train_generator.checkpoint_every=10", "--until", "train_generator")
    words = ["run", "demo", *toy_settings, *changed, "--json"]
    with start(toy_home, words) as first:
        work = toy_home / "scratch" / "work"
        wait_for(lambda: any(map(is_checkpoint, work.rglob("*"))), seconds=200, process=first)
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "the same command continues the run" in err
    assert "Traceback" not in err
    assert json.loads(out)["error"]["next_step"]
    assert not list((toy_home / "store" / "scratch").glob("staged-*"))
    done = json.loads(edgewright(*words, home=toy_home).stdout)
    assert done["run_id"] == json.loads(out)["run_id"]
    assert done["error"] is None
