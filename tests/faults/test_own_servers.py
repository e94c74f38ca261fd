"""Faults in a home that keeps everything itself: docs/faults.md says what comes of each.

The home has a worker for `control` and for `cpu`; whoever needs one for `gpu` starts it. Its store knows the toy run: a
run makes one stage anew, and what an undisturbed one makes is known.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from edgewright.artifacts import LocalStore
from edgewright.processes import listening_on
from edgewright.settings import configure_libraries, read_settings
from tasks.serve.workers import Reached, workers_of
from tests.conftest import ToyRun, edgewright, free_port
from tests.stack import Program, Stack, home_of, kill, process_of, refs_of, up, wait_for

pytestmark = pytest.mark.faults

QUANTIZE = ("--from", "quantize", "--until", "quantize")
GENERATE = ("--from", "generate", "--until", "generate")
REAPED_WITHIN_S = 300.0
CUT_S = 60.0


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, toy_run: ToyRun, share_store: Callable[[Path, Path], Path]
) -> Iterator[Stack]:
    home = share_store(toy_run.store, tmp_path_factory.mktemp("faults") / "home")
    with up(home, "--pool", "control", "--pool", "cpu") as here:
        yield here


@contextmanager
def cut_at_will(stack: Stack, log: Path) -> Iterator[tuple[str, Callable[[], datetime]]]:
    """The address of Prefect's API through a proxy, and what cuts it for a minute and says when that was over."""
    port = free_port()
    target = urlsplit(stack.api).port
    program = Program(
        "tests/servers/proxy.py", str(port), str(target), log=log / "proxy.log", ready=lambda said: b"ready" in said
    )

    def cut() -> datetime:
        program.process.send_signal(signal.SIGUSR1)
        time.sleep(CUT_S)
        program.process.send_signal(signal.SIGUSR2)
        return datetime.now(UTC)

    try:
        yield f"http://127.0.0.1:{port}/api", cut
    finally:
        program.kill()


def test_a_worker_that_never_comes(stack: Stack, toy_run: ToyRun, toy_settings: list[str]) -> None:
    """Before any of the tests that start one for `gpu`: Prefect remembers it for a while."""
    began = time.monotonic()
    refused = stack.run(*toy_settings, *GENERATE, "--set", "route.start_timeout_s=5", check=False)
    assert refused.returncode == 1
    assert "no worker is online in pool gpu (expected one within 5 s" in refused.stderr
    assert time.monotonic() - began < 120
    states = {run["state_name"] for run in stack.flow_runs(named="generate")}
    assert states <= {"Cancelled", "Cancelling"}

    elsewhere = ("--set", "route.start_timeout_s=5", "--set", "route.fallback=cpu")
    printed = json.loads(stack.run(*toy_settings, *GENERATE, *elsewhere).stdout)
    ran_on = {stage["name"]: stage["ran_on"] for stage in printed["stages"]}["generate"]
    assert (ran_on["router"], ran_on["pool"]) == ("pools", "cpu")
    assert refs_of(stack.home / "runs" / printed["run_id"])["generate"] == refs_of(toy_run.record)["generate"]


@pytest.mark.parametrize("half", ["all of it", "what was started"])
def test_mlflow_ends(stack: Stack, half: str) -> None:
    """It is two processes: the one that was started, and the one that serves, which keeps the port when that one is
    killed alone. Nobody but people's browsers talk to it."""
    known = stack.log.count("MLflow ended")
    whole = stack.mlflow()
    kill(*(whole if half == "all of it" else whole[:1]))
    wait_for(lambda: stack.log.count("MLflow ended (exit status -9) and is begun again") == known + 1)
    wait_for(stack.is_well, seconds=120)


def test_the_network_between_a_run_and_the_server_is_cut_for_a_minute(
    stack: Stack, toy_run: ToyRun, toy_settings: list[str], tmp_path: Path
) -> None:
    with cut_at_will(stack, tmp_path) as (api, cut):
        run = stack.disturbed(
            *toy_settings, *QUANTIZE, stage="quantize", disturb=lambda child: cut(), PREFECT_API_URL=api
        )
    assert run.returncode == 0, run.stderr[-3000:]
    printed = json.loads(run.stdout)
    stack.require_whole(printed, toy_run, stage="quantize")
    assert wait_for(lambda: _newest(stack, "lifecycle", "COMPLETED", of=printed["run_id"]), seconds=60)


def test_the_network_between_a_worker_and_the_server_is_cut_for_a_minute(
    stack: Stack, toy_run: ToyRun, toy_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stage ends while nobody can be told."""
    settings = read_settings({"EDGEWRIGHT_HOME": str(stack.home)})
    told: dict[str, str] = {}
    configure_libraries(settings, told)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    mended: list[datetime] = []
    with (
        cut_at_will(stack, tmp_path) as (api, cut),
        workers_of(settings, ["gpu"], reached=Reached(api, settings.mlflow_tracking_uri), say=print),
    ):
        run = stack.disturbed(*toy_settings, *GENERATE, stage="generate", disturb=lambda child: mended.append(cut()))
    assert run.returncode == 0, run.stderr[-3000:]
    printed = json.loads(run.stdout)
    stack.require_whole(printed, toy_run, stage="generate")
    made = LocalStore(stack.home / "store").manifest(refs_of(stack.home / "runs" / printed["run_id"])["generate"])
    assert datetime.fromisoformat(made.record.created_at) < mended[0], "it ended while the network was cut"


def test_a_stage_dies_with_its_worker_and_a_parent_alone(
    stack: Stack, toy_run: ToyRun, toy_settings: list[str]
) -> None:
    """Nobody is left who could say so: after four minutes Prefect does, and the same command goes on."""
    with stack.start(*toy_settings, "--until", "ingest", "--project", "elsewhere") as parent:
        lifecycle = wait_for(lambda: _newest(stack, "lifecycle", "RUNNING"))
        wait_for(lambda: stack.flow_runs(named="ingest"))  # it has told that it lives
        parent.kill()
    died = {"parent": (time.monotonic(), lifecycle["id"])}

    def disturb(child: dict[str, Any]) -> None:
        kill(stack.worker("cpu"), *process_of(child))
        died["stage"] = (time.monotonic(), child["id"])

    words = [*toy_settings, *QUANTIZE]
    run = stack.disturbed(*words, stage="quantize", disturb=disturb)
    took = {}
    for name, (began, flow_run) in died.items():
        wait_for(lambda one=flow_run: stack.state_of(one) == "Crashed", seconds=REAPED_WITHIN_S)
        took[name] = time.monotonic() - began
    print(f"called crashed after at most { ({name: round(s) for name, s in took.items()}) } s")
    assert max(took.values()) < REAPED_WITHIN_S
    assert run.returncode == 1
    assert "quantize ended without a result (got Crashed: its process has not been heard of for 240 s" in run.stderr
    failed = json.loads((stack.home / "runs" / json.loads(run.stdout)["run_id"] / "run.json").read_bytes())
    assert failed["status"] == "failed"
    again = json.loads(stack.run(*words).stdout)
    assert again["run_id"] == failed["run_id"]
    stack.require_whole(again, toy_run, stage="quantize", dispatched=2)


def test_a_worker_dies_with_what_it_has_taken_and_not_begun(
    stack: Stack, toy_run: ToyRun, toy_settings: list[str]
) -> None:
    """The flow run waits for ever, with its worker's only place: it is called crashed, and dispatched once more."""
    known = {one["id"] for one in stack.flow_runs(named="quantize")}
    with stack.start(*toy_settings, *QUANTIZE) as run:
        taken = wait_for(lambda: _newest(stack, "quantize", "PENDING", besides=known))
        kill(stack.worker("cpu"))
        kill(*process_of(taken))
        began = time.monotonic()
        assert stack.state_of(taken["id"]) in ("Pending", "Submitting")
        printed, said = run.communicate(timeout=900)
    print(f"the run was whole {time.monotonic() - began:.0f} s after its worker died")
    assert run.returncode == 0, said[-3000:]
    assert stack.state_of(taken["id"]) == "Crashed"
    stack.require_whole(json.loads(printed), toy_run, stage="quantize", dispatched=2)


def test_up_is_killed_and_brought_up_again(stack: Stack, toy_run: ToyRun, toy_settings: list[str]) -> None:
    """Its servers and workers end with it. The run waits for the next one, or says how its stage ended."""
    record = json.loads((stack.home / "up.json").read_bytes())
    prefect, mlflow = (urlsplit(record[name]).port for name in ("prefect_url", "mlflow_url"))
    words = ["--prefect-port", str(prefect), "--mlflow-port", str(mlflow), "--pool", "control", "--pool", "cpu"]

    def disturb(child: dict[str, Any]) -> None:
        os.kill(record["pid"], signal.SIGKILL)
        wait_for(lambda: stack.workers() == [], seconds=60)
        wait_for(lambda: not listening_on(prefect) and not listening_on(mlflow), seconds=120)
        edgewright("up", "--detach", *words, home=stack.home)

    run = stack.disturbed(*toy_settings, *QUANTIZE, stage="quantize", disturb=disturb)
    if run.returncode:
        assert "quantize ended without a result" in run.stderr
        run = stack.run(*toy_settings, *QUANTIZE)
    stack.require_whole(json.loads(run.stdout), toy_run, stage="quantize", dispatched=2)


def test_down_ends_what_a_killed_worker_has_left(stack: Stack, toy_settings: list[str]) -> None:
    """Last: it ends the home of this module's tests. A run says how its stage ended, or can be interrupted."""
    known = {one["id"] for one in stack.flow_runs(named="quantize")}
    with stack.start(*toy_settings, *QUANTIZE) as run:
        wait_for(lambda: _newest(stack, "quantize", "RUNNING", besides=known))
        kill(stack.worker("cpu"))
        wait_for(lambda: "the worker of pool cpu ended" in stack.log)
        assert edgewright("down", home=stack.home).stdout == "ended\n"
        left = [one for one in psutil.process_iter() if home_of(one) == str(stack.home) and one.pid != run.pid]
        assert left == []
        began = time.monotonic()
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=300)
    print(f"the run was over {time.monotonic() - began:.0f} s after it was interrupted")
    assert run.returncode != 0
    assert "interrupted" in said or "quantize ended without a result" in said


def _newest(
    stack: Stack, named: str, kind: str, *, besides: Collection[str] = (), of: str = ""
) -> dict[str, Any] | None:
    """A flow run in a state of that type, whose name holds `of`."""
    found = (one for one in stack.flow_runs(named=named) if one["id"] not in besides and of in one["name"])
    return next((one for one in found if one["state_type"] == kind), None)
