"""`edgewright up` for tests: a home that is up, what of it can be killed, and what came of a run that was disturbed.

with up(home) as stack:
    done = stack.disturbed(*words, stage="quantize", disturb=lambda child: kill(stack.server()))
    stack.require_whole(json.loads(done.stdout), toy_run, stage="quantize")
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

import psutil

from tests.conftest import ToyRun, edgewright, free_port

MEASURED = {"gate_model", "release", "flash"}
"""What they make depends on the clock: latencies, signatures."""
T = TypeVar("T")


@dataclass(frozen=True)
class Stack:
    """A home that is up.

    Attributes:
        told: what the webhook was told.
        environment: what its runs are given besides the home and the router.
    """

    home: Path
    api: str
    said: str
    told: list[dict[str, Any]] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)

    # ------------------------------------------------------------ Prefect

    def flow_runs(self, *, named: str = "") -> list[dict[str, Any]]:
        body = {"flows": {"name": {"any_": [named]}}} if named else {}
        found: list[dict[str, Any]] = self._post("/flow_runs/filter", body)
        return found

    def begin(self, deployment: str, **parameters: Any) -> str:
        """Start a deployment as its form does; the flow run's id."""
        flow, _, name = deployment.partition("/")
        found = self.deployment(flow, name)
        body = {"parameters": {**found["parameters"], **parameters}, "state": {"type": "SCHEDULED"}}
        return str(self._post(f"/deployments/{found['id']}/create_flow_run", body)["id"])

    def deployment(self, flow: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._get(f"/deployments/name/{flow}/{name}")
        return found

    def artifact(self, key: str) -> dict[str, Any]:
        """The newest of a key. (`/artifacts/KEY/latest` answers with its collection's id, which has no page.)"""
        wanted = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1}
        found: dict[str, Any] = self._post("/artifacts/filter", wanted)[0]
        return found

    def state_of(self, flow_run: str) -> str:
        return str(self._get(f"/flow_runs/{flow_run}")["state_name"])

    def give_home(self, deployment: str, home: Path) -> None:
        """What it runs from now on has a home of its own, as on a machine of its own."""
        flow, _, name = deployment.partition("/")
        found = self.deployment(flow, name)
        variables = found["job_variables"]
        given = {**variables, "env": {**variables.get("env", {}), "EDGEWRIGHT_HOME": str(home)}}
        self._send("PATCH", f"/deployments/{found['id']}", {"job_variables": given})

    def _get(self, path: str) -> Any:
        with urlopen(f"{self.api}{path}", timeout=20) as answer:
            return json.loads(answer.read())

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return json.loads(self._send("POST", path, body))

    def _send(self, method: str, path: str, body: dict[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.api}{path}", json.dumps(body).encode(), headers, method=method)
        with urlopen(request, timeout=20) as answer:
            return bytes(answer.read())

    @property
    def prefect_pages(self) -> str:
        return self.api.removesuffix("/api")

    # ------------------------------------------------------------ MLflow

    @property
    def mlflow_pages(self) -> str:
        """Where its pages are."""
        return str(self._known["mlflow_url"])

    @property
    def tracking_uri(self) -> str:
        return str(self._known["tracking_uri"])

    @property
    def _known(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "up.json").read_bytes())
        return found

    # ------------------------------------------------------------ runs

    def record_of(self, flow_run: str) -> dict[str, Any]:
        """What the home knows of the run of a flow run."""
        states = (json.loads(path.read_bytes()) for path in (self.home / "runs").glob("*/run.json"))
        return next(state for state in states if state["prefect_flow_run_id"] == flow_run)

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        settings = {**self.environment, "EDGEWRIGHT_ROUTER": "pools"}
        return edgewright("run", "demo", *words, "--json", home=self.home, check=check, **settings)

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """The same, without waiting for its end."""
        settings = {**self.environment, "EDGEWRIGHT_ROUTER": "pools", **environment}
        return subprocess.Popen(
            [sys.executable, "-m", "edgewright.cli", "run", "demo", *words, "--json"],
            env={**os.environ, "EDGEWRIGHT_HOME": str(self.home), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def disturbed(
        self, *words: str, stage: str, disturb: Callable[[dict[str, Any]], object], **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """A run to its end; while its `stage` is at work, `disturb` is called with the stage's flow run."""
        known = {one["id"] for one in self.flow_runs(named=stage)}
        with self.start(*words, **environment) as run:
            try:
                disturb(wait_for(lambda: self._at_work(stage, known, run)))
                printed, said = run.communicate(timeout=900)
            finally:
                run.kill()
        return subprocess.CompletedProcess(run.args, run.returncode, printed, said)

    def _at_work(self, stage: str, known: set[str], run: subprocess.Popen[str]) -> dict[str, Any] | None:
        assert run.poll() is None, run.communicate()[1][-3000:]
        new = (one for one in self.flow_runs(named=stage) if one["id"] not in known)
        return next((one for one in new if one["state_type"] == "RUNNING" and process_of(one)), None)

    def require_whole(self, printed: dict[str, Any], toy: ToyRun, *, stage: str, dispatched: int = 1) -> None:
        """Whatever happened: the run is finished, its stage made what an undisturbed one makes, nothing shows twice.

        Args:
            dispatched: flow runs of the stage, all but the last of which died.
        """
        record = self.home / "runs" / printed["run_id"]
        assert json.loads((record / "run.json").read_bytes())["status"] == "finished"
        assert refs_of(record)[stage] == refs_of(toy.record)[stage]
        children = [one for one in self.flow_runs(named=stage) if printed["run_id"] in one["name"]]
        began = [one for one in self.flow_runs(named=stage) if one["id"] in _dispatched(printed)]
        assert [one["state_type"] for one in began] == ["COMPLETED"]
        assert sum(one["state_type"] == "COMPLETED" for one in children) == 1
        assert len(children) <= dispatched
        told = runs_below(self.tracking_uri, printed["mlflow_run_id"])
        assert sorted(set(told.values())) == ["FINISHED"], told
        assert [name for name in told if name.partition(" ")[0] == stage] == [stage]

    # ------------------------------------------------------------ processes

    def worker(self, pool: str) -> psutil.Process:
        """The worker of a pool that lives now."""
        (found,) = self.workers(pool)
        return found

    def workers(self, *pools: str) -> list[psutil.Process]:
        """Those that live now, of these pools or of all."""
        own = (process for process in psutil.process_iter() if home_of(process) == str(self.home))
        return [process for process in own if (pool := _pool_of(process)) and (pool in pools or not pools)]

    def mlflow(self) -> list[psutil.Process]:
        """MLflow's server, that `up` has started: what was started, and what that has started."""
        own = psutil.Process(self._known["pid"]).children()
        leader = next(process for process in own if "mlflow" in process.cmdline())
        return [leader, *leader.children(recursive=True)]

    def server(self) -> psutil.Process:
        """Prefect's, that `up` has started."""
        return psutil.Process(json.loads((self.home / "prefect" / "server.json").read_bytes())["pid"])

    @property
    def log(self) -> str:
        """What `up` has said."""
        return (self.home / "up.log").read_text()

    def is_well(self) -> bool:
        return edgewright("status", home=self.home, check=False, **self.environment).returncode == 0


class Program:
    """A server of a test's own that can be killed and begun again, with all that it starts.

    Args:
        words: its command. log: what it writes; ready: by what one knows that it serves.
    """

    def __init__(
        self, *words: str, log: Path, ready: Callable[[bytes], bool], environment: Mapping[str, str] | None = None
    ) -> None:
        self._words, self._log, self._ready, self._environment = words, log, ready, environment or {}
        self.start()

    def start(self) -> None:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self._words],
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
            )
        wait_for(lambda: self._ready(self._log.read_bytes()), seconds=120)

    def kill(self) -> None:
        if self.process.poll() is None:
            kill(*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid))
        self.process.wait()


@contextmanager
def up(home: Path, *words: str, **environment: str) -> Iterator[Stack]:
    """A home that is up while the block lasts."""
    ports = (free_port(), free_port())
    command = ["up", "--detach", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1]), *words]
    with listening() as (webhook, told):
        try:
            said = edgewright(*command, home=home, EDGEWRIGHT_WEBHOOK=webhook, **environment).stdout
            yield Stack(home, f"http://127.0.0.1:{ports[0]}/api", said, told, environment)
        finally:
            edgewright("down", home=home, check=False, **environment)


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
        server.server_close()


def wait_for(condition: Callable[[], T | None], *, seconds: float = 300) -> T:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.3)
    return found


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


def kill(*processes: psutil.Process) -> None:
    """-9, all of them; what is gone already is gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def home_of(process: psutil.Process) -> str:
    try:
        return str(process.environ().get("EDGEWRIGHT_HOME", ""))
    except psutil.Error:
        return ""


def refs_of(record: Path) -> dict[str, str]:
    """Stage → digest of what it made, where that follows from the recipe alone."""
    state = json.loads((record / "run.json").read_bytes())
    return {name: ref["sha256"] for name, ref in state["refs"].items() if name not in MEASURED}


def tree_of(tracking_uri: str, parent: str) -> dict[str, set[str]]:
    """The runs below a parent in MLflow, each with the names of its tags."""
    return {
        str(run.info.run_name).removesuffix(" (cached)"): set(run.data.tags) - {"edgewright.made_by"}
        for run in _below(tracking_uri, parent)
    }


def runs_below(tracking_uri: str, parent: str) -> dict[str, str]:
    """Name → status of the runs below a parent in MLflow. No name stands there twice."""
    found = _below(tracking_uri, parent)
    told = {str(run.info.run_name): str(run.info.status) for run in found}
    assert len(told) == len(found), [run.info.run_name for run in found]
    return told


def _below(tracking_uri: str, parent: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    experiment = client.get_run(parent).info.experiment_id
    return list(client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'"))


def _dispatched(printed: dict[str, Any]) -> set[str]:
    """The flow runs that a run took what it has from."""
    return {stage["ran_on"]["flow_run"] for stage in printed["stages"] if "flow_run" in stage["ran_on"]}


def _pool_of(process: psutil.Process) -> str:
    """Whose worker it is; "" for what is none."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return ""
    return words[words.index("--pool") + 1] if words[3:6] == ["--no-prompt", "worker", "start"] else ""
