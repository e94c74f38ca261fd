"""`edgewright up` with all that it starts: the toy run on its workers is the toy run, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from edgewright.recipe import resolve
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
    told: list[dict[str, Any]]
    """What the webhook was told."""

    def flow_runs(self, *, named: str = "") -> list[dict[str, Any]]:
        body = json.dumps({"flows": {"name": {"any_": [named]}}} if named else {}).encode()
        request = Request(f"{self.api}/flow_runs/filter", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())  # type: ignore[no-any-return]

    def begin(self, deployment: str, **parameters: Any) -> str:
        """Start a deployment as its form does; the flow run's id."""
        flow, _, name = deployment.partition("/")
        found = self._get(f"/deployments/name/{flow}/{name}")
        body = {"parameters": {**found["parameters"], **parameters}, "state": {"type": "SCHEDULED"}}
        return str(self._post(f"/deployments/{found['id']}/create_flow_run", body)["id"])

    def state_of(self, flow_run: str) -> str:
        return str(self._get(f"/flow_runs/{flow_run}")["state_name"])

    def _get(self, path: str) -> dict[str, Any]:
        with urlopen(f"{self.api}{path}", timeout=20) as answer:
            return json.loads(answer.read())  # type: ignore[no-any-return]

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"{self.api}{path}", json.dumps(body).encode(), headers), timeout=20) as answer:
            return json.loads(answer.read())  # type: ignore[no-any-return]

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return edgewright("run", "demo", *words, "--json", home=self.home, check=check, EDGEWRIGHT_ROUTER="pools")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home, ports = tmp_path_factory.mktemp("up"), (free_port(), free_port())
    words = ["up", "--detach", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    with listening() as (webhook, told):
        try:
            said = edgewright(*words, home=home, EDGEWRIGHT_WEBHOOK=webhook).stdout
            yield Stack(home, f"http://127.0.0.1:{ports[0]}/api", said, told)
        finally:
            edgewright("down", home=home, check=False)


@contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that takes what it is sent: its address, and what it was sent."""
    told: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", told
    finally:
        server.shutdown()


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


def test_a_gate_that_asks_suspends_its_run_and_an_answer_resumes_it(stack: Stack, toy_settings: list[str]) -> None:
    """Nobody waits on a worker; the answer at a command line has the very run go on, and stands in it."""
    recipe = resolve("demo", overrides=[*toy_settings[1::2], "gate_data.on_refuse=ask"])
    flow_run = stack.begin("lifecycle/demo", recipe=recipe.model_dump(mode="json"))
    wait_for(lambda: stack.state_of(flow_run) in ("Suspended", "Failed", "Crashed", "Completed"))
    assert stack.state_of(flow_run) == "Suspended"
    waiting = record_of(stack, flow_run)
    assert (waiting["status"], process_of({"id": flow_run})) == ("waiting", [])
    wait_for(lambda: [one for one in stack.told if one["event"] == "prefect.flow-run.Suspended"], seconds=60)

    answer = ("decide", waiting["run_id"], "real_only", "--why", "they look odd", "--person", "the test")
    assert "goes on where it waited" in edgewright(*answer, home=stack.home).stdout
    wait_for(lambda: stack.state_of(flow_run) in ("Failed", "Crashed", "Completed"))
    ended = record_of(stack, flow_run)
    assert (ended["run_id"], ended["status"]) == (waiting["run_id"], "finished"), ended["error"]
    gate = next(gate for gate in ended["gates"] if gate["name"] == "gate_data")
    assert (gate["decision"], gate["decided_by"], gate["why"]) == ("real_only", "the test", "they look odd")


def record_of(stack: Stack, flow_run: str) -> dict[str, Any]:
    states = (json.loads(path.read_bytes()) for path in (stack.home / "runs").glob("*/run.json"))
    return next(state for state in states if state["prefect_flow_run_id"] == flow_run)


def test_reviewed_labels_start_a_run_and_its_failure_is_told(stack: Stack) -> None:
    """The data set of this event is in no store: the run that it starts says so, and the webhook hears of it."""
    command = (
        "from tasks.engine.events import dataset_ready; dataset_ready(project='toy', digest='abcdef123456');"
        "from prefect.events.worker import EventsWorker; EventsWorker.drain_all(timeout=10)"
    )
    subprocess.run([sys.executable, "-c", command], env={**os.environ, "PREFECT_API_URL": stack.api}, check=True)
    failed = wait_for(lambda: [one for one in stack.told if "no such data set in the store" in one["details"]])
    assert failed[0]["event"] == "prefect.flow-run.Failed"
    assert "dataset:abcdef123456" in failed[0]["details"]


def test_a_recipe_of_ones_own_is_started_by_its_schedule(stack: Stack, toy_settings: list[str]) -> None:
    words = ["deploy", "demo", *toy_settings, "--name", "mine", "--cron", "* * * * *", "--timezone", "Europe/Berlin"]
    assert "lifecycle/mine" in edgewright(*words, home=stack.home).stdout
    assert "* * * * * Europe/Berlin" in edgewright("deploy", "--list", home=stack.home).stdout

    def started() -> list[dict[str, Any]]:
        runs = stack.flow_runs(named="lifecycle")
        return [run for run in runs if run["created_by"] and run["auto_scheduled"] and run["state_type"] == "COMPLETED"]

    try:
        wait_for(started)
    finally:
        edgewright("deploy", "--delete", "mine", home=stack.home)
    assert "mine" not in edgewright("deploy", "--list", home=stack.home).stdout


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
