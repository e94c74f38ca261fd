"""`prefect.yaml` names every stage and pool of the life cycle; a real server and a real worker accept it (slow)."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
import yaml
from PIL import Image

from flows.lifecycle import STAGES
from tasks.engine.stage import POOLS

ROOT = Path(__file__).parents[2]
FILE = files("deployments").joinpath("prefect.yaml")
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["deployments"]


def test_every_stage_and_pool_is_deployed_once() -> None:
    declared = sorted((stage.name, pool) for stage in STAGES for pool in stage.pools)
    deployed = sorted(
        (entry["entrypoint"].partition(":")[0].removeprefix("tasks."), entry["name"]) for entry in DEPLOYMENTS
    )
    assert deployed == declared


@pytest.mark.parametrize("entry", DEPLOYMENTS, ids=lambda entry: f"{entry['entrypoint']} {entry['name']}")
def test_a_deployment_names_its_pool_and_its_flow(entry: dict[str, Any]) -> None:
    module, _, path = entry["entrypoint"].partition(":")
    stage = getattr(import_module(module), path.removesuffix(".flow"))
    assert stage.flow.name == stage.name
    assert entry["work_pool"] == {"name": entry["name"]}
    assert entry["tags"] == [f"pool:{entry['name']}"]


class Server:
    """A Prefect server of this test alone, and the command line that talks to it."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self.api = f"http://127.0.0.1:{port}/api"
        self.environment = {
            **os.environ,
            "EDGEWRIGHT_HOME": str(home),
            "EDGEWRIGHT_SOURCES": str(home / "photographs"),
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "true",
            "PYTHONPATH": str(ROOT),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def prefect(self, *words: str, timeout_s: float = 180) -> str:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def await_health(self, timeout_s: float = 90) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                urlopen(f"{self.api}/health", timeout=2).close()
                return
            except (URLError, OSError):
                time.sleep(0.5)
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("home"))
    try:
        started.await_health()
        yield started
    finally:
        started.stop()


@pytest.mark.slow
def test_a_worker_runs_a_deployed_stage(server: Server) -> None:
    """The five pools, all deployments, and `ingest/cpu` from a form's JSON to an artifact in the store."""
    home = Path(server.environment["EDGEWRIGHT_HOME"])
    photographs = home / "photographs"
    photographs.mkdir()
    generator = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(photographs / f"{number}.png")
    for pool in POOLS:
        server.prefect("work-pool", "create", pool, "--type", "process")
    server.prefect("deploy", "--all", "--prefect-file", str(FILE))
    listed = re.findall(r"\w+/\w+", server.prefect("deployment", "ls"))
    assert len(listed) == len(DEPLOYMENTS)

    form = json.dumps({"config": {"layout": "unlabeled"}, "source": str(photographs)})
    run = server.prefect("deployment", "run", "ingest/cpu", "--params", form)
    identity = re.search(r"UUID: ([0-9a-f-]{36})", run)
    assert identity, run
    server.prefect("worker", "start", "--pool", "cpu", "--run-once", timeout_s=300)
    state = json.loads(urlopen(f"{server.api}/flow_runs/{identity[1]}", timeout=10).read())["state"]
    assert state["type"] == "COMPLETED", state
    assert list((home / "store").rglob("manifest.json"))
