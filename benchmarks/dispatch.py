"""What a stage costs besides its own work: in the process that calls it, and on a worker.

Runs one recipe twice against one `edgewright up`, each time with a store of its own: inline, then dispatched. The
baseline of both is the work itself, the seconds that the stage's function took (in its manifest). Of a dispatched
stage, what Prefect's state history tells: until a worker takes it, until its interpreter has imported what it needs,
until it has ended beyond the work, and until the parent has noticed.

The bounds: dispatched <= 4 s a stage without the interpreter's start; inline <= 200 ms a stage and <= 5 % of the run.

python benchmarks/dispatch.py                                     # the demo, five minutes and more, twice
python benchmarks/dispatch.py --set train_detector.epochs=1 …     # smaller
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from edgewright.artifacts import ArtifactRef, open_store
from tasks.serve.ports import free_port

COMMAND = (sys.executable, "-m", "edgewright.cli")


@dataclass(frozen=True)
class Stage:
    """One stage of a run, in seconds: its task in the parent, and the function alone."""

    name: str
    task_s: float
    work_s: float

    @property
    def beyond_s(self) -> float:
        return self.task_s - self.work_s


@dataclass(frozen=True)
class Run:
    """Attributes: wall_s: of the command. first_s: until its first stage began. between_s: from the first to the last
    stage, less what the stages took themselves."""

    wall_s: float
    first_s: float
    between_s: float
    stages: tuple[Stage, ...]
    printed: Mapping[str, Any]


@dataclass(frozen=True)
class Server:
    """Prefect's, by its REST interface."""

    api: str

    def task_runs(self, flow_run: str) -> list[dict[str, Any]]:
        return self._post("/task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run]}}})

    def states(self, flow_run: str) -> dict[str, float]:
        """State → when it was first in it, in seconds."""
        with urlopen(f"{self.api}/flow_run_states/?flow_run_id={flow_run}", timeout=20) as answer:
            states = json.loads(answer.read())
        found: dict[str, float] = {}
        for state in sorted(states, key=lambda state: str(state["timestamp"])):
            found.setdefault(str(state["type"]), seconds(state["timestamp"]))
        return found

    def _post(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        request = Request(f"{self.api}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())  # type: ignore[no-any-return]


def seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@contextmanager
def up(home: Path) -> Iterator[Server]:
    """`edgewright up` in a home, and its Prefect server."""
    ports = (free_port(), free_port())
    words = ("up", "--detach", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1]))
    environment = {**os.environ, "EDGEWRIGHT_HOME": str(home)}
    subprocess.run([*COMMAND, *words], env=environment, check=True, stdout=sys.stderr)
    try:
        yield Server(f"http://127.0.0.1:{ports[0]}/api")
    finally:
        subprocess.run([*COMMAND, "down"], env=environment, check=True, stdout=sys.stderr)


def run(server: Server, words: Sequence[str], *, home: Path, router: str) -> Run:
    """One run in this home, measured. Raises CalledProcessError."""
    environment = {
        **os.environ,
        "EDGEWRIGHT_HOME": str(home),
        "EDGEWRIGHT_ROUTER": router,
        "PREFECT_API_URL": server.api,
    }
    began = time.time()
    done = subprocess.run(
        [*COMMAND, "run", "demo", *words, "--json"], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    wall_s, printed = time.time() - began, json.loads(done.stdout)
    state = json.loads((home / "runs" / printed["run_id"] / "run.json").read_bytes())
    store, names = open_store(str(home / "store"), scratch=home / "scratch"), set(state["refs"])
    tasks = [task for task in server.task_runs(state["prefect_flow_run_id"]) if task["name"] in names]
    stages = tuple(
        Stage(
            task["name"],
            seconds(task["end_time"]) - seconds(task["start_time"]),
            store.manifest(ArtifactRef.from_json(state["refs"][task["name"]]).sha256).record.seconds,
        )
        for task in sorted(tasks, key=lambda task: str(task["start_time"]))
    )
    first, last = min(seconds(t["start_time"]) for t in tasks), max(seconds(t["end_time"]) for t in tasks)
    between_s = last - first - sum(stage.work_s for stage in stages)
    return Run(wall_s, first - began, between_s, stages, printed)


def tell_inline(found: Run) -> None:
    print(f"\ninline: {found.wall_s:.1f} s, of which {found.first_s:.1f} s before the first stage (once)")
    for stage in found.stages:
        print(f"  {stage.name:<18}{stage.work_s:>9.2f} s of work{1e3 * stage.beyond_s:>9.0f} ms beyond")
    each = statistics.median(stage.beyond_s for stage in found.stages)
    share = found.between_s / found.wall_s
    print(f"  median {1e3 * each:.0f} ms a stage; {found.between_s:.2f} s in all, {share:.1%} of the run")


def tell_dispatched(found: Run, server: Server) -> None:
    print(f"\ndispatched: {found.wall_s:.1f} s, of which {found.first_s:.1f} s before the first stage (once)")
    rows = []
    for stage in found.stages:
        made = next(one for one in found.printed["stages"] if one["name"] == stage.name)
        at = server.states(made["ran_on"]["flow_run"])
        taken, started = at["PENDING"] - at["SCHEDULED"], at["RUNNING"] - at["PENDING"]
        inside = at["COMPLETED"] - at["RUNNING"] - stage.work_s
        noticed = stage.task_s - (at["COMPLETED"] - at["SCHEDULED"])
        rows.append(taken + inside + noticed)
        print(
            f"  {stage.name:<18}{stage.work_s:>9.2f} s of work   taken after {taken:.2f}, interpreter {started:.2f}, "
            f"around the work {inside:.2f}, asked and noticed {noticed:.2f}: {rows[-1]:.2f} s beyond"
        )
    print(f"  median {statistics.median(rows):.2f} s a stage without the interpreter, most {max(rows):.2f} s")


def main(words: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here, there = Path(folder) / "inline", Path(folder) / "pools"
        with up(there) as server:
            tell_inline(run(server, words, home=here, router="inline"))
            tell_dispatched(run(server, words, home=there, router="pools"), server)


if __name__ == "__main__":
    main(sys.argv[1:])
