"""`kill -9` in the middle, then the same command: it goes on, and nothing is there twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

EPOCHS = ("--set", "train_detector.epochs=24")


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
    """How many epochs the detector's training has finished so far."""
    tables = list((home / "scratch" / "work").rglob("results.csv"))
    return len(tables[0].read_text().splitlines()) - 1 if tables else 0


def test_a_killed_training_continues(toy_settings: list[str], tmp_path: Path, command: Any) -> None:
    words = ["run", "demo", *toy_settings, *EPOCHS, "--json"]
    with start(tmp_path, words) as first:
        wait_for(lambda: epochs_done(tmp_path) >= 3, seconds=600, process=first)
        first.send_signal(signal.SIGKILL)
    stopped_at = epochs_done(tmp_path)
    assert 3 <= stopped_at < 24
    record = json.loads((tmp_path / "prefect" / "server.json").read_bytes())
    before = json.loads(next((tmp_path / "runs").glob("*/run.json")).read_bytes())

    again = json.loads(command(*words, home=tmp_path).stdout)
    assert again["run_id"] == before["run_id"], "the same run goes on"
    assert again["mlflow_run_id"] == before["mlflow_run_id"]
    assert [s["name"] for s in again["stages"] if s["cached"]] == [s["name"] for s in before["stages"]]
    after = json.loads(next((tmp_path / "runs").glob("*/run.json")).read_bytes())
    for name, ref in before["refs"].items():
        assert after["refs"][name] == ref, f"{name} is the same artifact"
    assert not Path(f"/proc/{record['pid']}").exists() or b"prefect" not in cmdline(record["pid"])

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("edgewright/demo").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    stages = [run.data.tags["edgewright.stage"] for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1
    assert len(stages) == len(set(stages)), "no stage has two MLflow runs"
    detector = next(run for run in runs if run.data.tags.get("edgewright.stage") == "train_detector")
    logged = [point.step for point in client.get_metric_history(detector.info.run_id, "map50") if point.step > 0]
    assert sorted(set(logged)) == list(range(1, 25)), "every epoch was trained"
    assert len(logged) <= 24 + 2, "and at most the one that was cut off was trained twice"


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_ctrl_c_leaves_nothing_half_written(toy_settings: list[str], tmp_path: Path, command: Any) -> None:
    words = ["run", "demo", *toy_settings, "--until", "generate", "--json"]
    with start(tmp_path, words) as first:
        checkpoints = tmp_path / "scratch" / "work"
        wait_for(lambda: checkpoints.exists() and any(checkpoints.iterdir()), seconds=200, process=first)
        time.sleep(3)
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "the same command continues the run" in err
    assert "Traceback" not in err
    assert json.loads(out)["error"]["next_step"]
    assert not list((tmp_path / "store" / "scratch").glob("staged-*"))
    done = json.loads(command(*words, home=tmp_path).stdout)
    assert done["run_id"] == json.loads(out)["run_id"]
    assert done["error"] is None
