"""`edgewright up` with all that it starts: the toy run on its workers is the toy run, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from tasks.engine.stage import POOLS
from tests.conftest import edgewright, free_port

pytestmark = pytest.mark.slow

MEASURED = {"gate_model", "release", "flash"}
"""What they make depends on the clock: latencies, signatures."""


@dataclass(frozen=True)
class Stack:
    """A home that is up."""

    home: Path
    api: str
    said: str

    def flow_runs(self, *, named: str = "") -> list[dict[str, Any]]:
        body = json.dumps({"flows": {"name": {"any_": [named]}}} if named else {}).encode()
        request = Request(f"{self.api}/flow_runs/filter", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())  # type: ignore[no-any-return]

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return edgewright("run", "demo", *words, "--json", home=self.home, check=check, EDGEWRIGHT_ROUTER="pools")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home, ports = tmp_path_factory.mktemp("up"), (free_port(), free_port())
    try:
        said = edgewright(
            "up", "--detach", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1]), home=home
        ).stdout
        yield Stack(home, f"http://127.0.0.1:{ports[0]}/api", said)
    finally:
        edgewright("down", home=home, check=False)


def wait_for(condition: Callable[[], Any], *, seconds: float = 300) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.3)
    return found


def test_every_part_is_well(stack: Stack) -> None:
    assert "EDGEWRIGHT_ROUTER=pools" in stack.said
    parts = json.loads(edgewright("status", "--json", home=stack.home).stdout)
    assert [part["name"] for part in parts] == ["Prefect", "MLflow", *(f"pool {pool}" for pool in POOLS)]
    assert all(part["well"] for part in parts)
    refused = edgewright("up", home=stack.home, check=False)
    assert (refused.returncode, "this home is up already" in refused.stderr) == (1, True)


def test_a_killed_parent_finds_its_children_and_everything_is_as_inline(
    stack: Stack, toy_run: Any, toy_settings: list[str]
) -> None:
    words = [sys.executable, "-m", "edgewright.cli", "run", "demo", *toy_settings]
    environment = {**os.environ, "EDGEWRIGHT_HOME": str(stack.home), "EDGEWRIGHT_ROUTER": "pools"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as parent:
        wait_for(lambda: [run for run in stack.flow_runs(named="train_labeler") if run["state_type"] == "RUNNING"])
        parent.send_signal(signal.SIGKILL)
    printed = json.loads(stack.run(*toy_settings).stdout)

    stages = Counter(run["name"] for run in printed["stages"])
    assert set(stages) == {stage["name"] for stage in toy_run.printed["stages"]}
    dispatched = [len(stack.flow_runs(named=name)) for name in stages]
    assert dispatched == [1] * len(stages), "nothing ran twice"
    assert {stage["ran_on"]["router"] for stage in printed["stages"]} == {"pools"}
    assert {s["name"]: s["ran_on"]["pool"] for s in printed["stages"] if not s["cached"]}.items() <= {
        s["name"]: s["pool"] for s in toy_run.printed["stages"]
    }.items()
    assert refs_of(stack.home / "runs" / printed["run_id"]) == refs_of(toy_run.record)
    assert tree_of(stack.home, printed["mlflow_run_id"]) == tree_of(toy_run.home, toy_run.printed["mlflow_run_id"])


def refs_of(record: Path) -> dict[str, str]:
    """Stage → digest of what it made, where that follows from the recipe alone."""
    state = json.loads((record / "run.json").read_bytes())
    return {name: ref["sha256"] for name, ref in state["refs"].items() if name not in MEASURED}


def tree_of(home: Path, parent: str) -> dict[str, set[str]]:
    """The runs below a parent in MLflow, each with the names of its tags."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home}/mlflow/mlflow.db")
    experiment = client.get_run(parent).info.experiment_id
    below = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    return {
        str(run.info.run_name).removesuffix(" (cached)"): set(run.data.tags) - {"edgewright.made_by"} for run in below
    }


def test_what_a_worker_refuses_is_refused_here(stack: Stack, toy_settings: list[str]) -> None:
    """The child's own words, and the exit status of its kind."""
    changed = ("--set", "train_detector.init=/nowhere/weights.pt", "--until", "train_detector")
    refused = stack.run(*toy_settings, *changed, check=False)
    assert refused.returncode == 2, refused.stderr[-2000:]
    assert "/nowhere/weights.pt" in refused.stderr


def test_a_killed_stage_is_said_and_the_same_command_goes_on(stack: Stack, toy_settings: list[str]) -> None:
    words = [*toy_settings, "--set", "quantize.calibration_images=15", "--until", "quantize"]
    known = {run["id"] for run in stack.flow_runs(named="quantize")}
    command = [sys.executable, "-m", "edgewright.cli", "run", "demo", *words]
    environment = {**os.environ, "EDGEWRIGHT_HOME": str(stack.home), "EDGEWRIGHT_ROUTER": "pools"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        child = wait_for(
            lambda: next(
                (one["id"] for one in stack.flow_runs(named="quantize") if one["id"] not in known and process_of(one)),
                "",
            )
        )
        for process in process_of({"id": child}):
            process.kill()
        _, said = run.communicate(timeout=300)
    assert run.returncode == 1
    assert "quantize ended without a result" in said
    again = json.loads(stack.run(*words).stdout)
    assert again["stages"][-1]["name"] == "quantize"


def process_of(flow_run: dict[str, Any]) -> list[psutil.Process]:
    """The processes that run a flow run: Prefect names it in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PREFECT__FLOW_RUN_ID", "").replace("-", "") == flow_run["id"].replace("-", ""):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_down_leaves_nothing(stack: Stack) -> None:
    """Last: it ends the home of this module's tests."""
    mine = [process for process in psutil.process_iter() if home_of(process) == str(stack.home)]
    assert len(mine) >= 2 + len(POOLS)
    assert edgewright("down", home=stack.home).stdout == "ended\n"
    assert not [process for process in mine if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert edgewright("status", home=stack.home, check=False).returncode == 1


def home_of(process: psutil.Process) -> str:
    try:
        return str(process.environ().get("EDGEWRIGHT_HOME", ""))
    except psutil.Error:
        return ""
