"""The run's record on disk, `runs/<run_id>/run.json`, and the lock that keeps one live run a home.

Decides which run a command continues, the newest unfinished one of the same plan whose process is dead, and which one
`latest` means: the newest that has what is asked for. Written in one step after every change, so that a killed run
leaves a readable record.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgewright.errors import ArtifactMissing, HomeBusy
from edgewright.files import locked, locked_for_reading, try_locked, try_locked_for_reading, write_atomically

RECORD_FILE = "run.json"
LATEST = "latest"
_LOCK_FILE = "run.lock"
_WRITING = threading.RLock()
"""Stages that run side by side are noted one after another."""
_OF_LATER: dict[str, Any] = {"tiers": {}}
"""What the record of a run from before does not have."""
UNFINISHED = ("running", "interrupted", "failed")
PUBLIC = ("run_id", "mlflow_run_id", "stages", "gates", "models", "tiers", "release", "device", "report", "error")


@dataclass(frozen=True)
class Journal:
    """One run's record. `update` and `note_*` rewrite the file."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.parent.name

    @property
    def state(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.path.read_bytes())
        return document

    @property
    def public(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        state = {**_OF_LATER, **self.state}
        return {name: state[name] for name in PUBLIC}

    @property
    def asks(self) -> bool:
        """Whether a person was asked, and no answer stands here."""
        state = self.state
        return "question" in state and "gate_data" not in state["decisions"]

    @classmethod
    def begin(cls, runs: Path, *, project: str, source: str, recipe: dict[str, Any], plan: str) -> Journal:
        """A new run. Its id sorts by time."""
        now = datetime.now(UTC)
        run_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        journal = cls(runs / run_id / RECORD_FILE)
        journal._write(
            {
                "run_id": run_id,
                "mlflow_run_id": None,
                "stages": [],
                "gates": [],
                "models": {},
                "tiers": {},
                "release": None,
                "device": None,
                "report": None,
                "error": None,
                "status": "running",
                "created_at": now.isoformat(timespec="seconds"),
                "project": project,
                "source": source,
                "recipe": recipe,
                "plan": plan,
                "refs": {},
                "decisions": {},
                "prefect_flow_run_id": "",
            }
        )
        return journal

    @classmethod
    def resume_or_begin(
        cls, runs: Path, *, project: str, source: str, recipe: dict[str, Any], plan: str, flow_run: str = ""
    ) -> Journal:
        """The newest run where it is unfinished and of the same plan, else a new one. Call it under the home's lock.

        Args:
            flow_run: of Prefect, as which it runs: one that waited and is begun again by an answer is the same run.
        """
        for journal in journals(runs):
            state = journal.state
            answered = state["status"] == "waiting" and flow_run != "" and state["prefect_flow_run_id"] == flow_run
            if state["plan"] == plan and (state["status"] in UNFINISHED or answered):
                journal.update(status="running", error=None, stages=[], gates=[])
                return journal
        return cls.begin(runs, project=project, source=source, recipe=recipe, plan=plan)

    def update(self, **changes: Any) -> None:
        with _WRITING:
            self._write({**self.state, **changes})

    def note_stage(self, stage: dict[str, Any], ref: dict[str, str]) -> None:
        """Add a stage's row and its artifact; a later row of the same stage replaces the earlier one."""
        with _WRITING:
            state = self.state
            rows = [row for row in state["stages"] if row["name"] != stage["name"]]
            self._write({**state, "stages": [*rows, stage], "refs": {**state["refs"], stage["name"]: ref}})

    def note_gate(self, gate: dict[str, Any]) -> None:
        with _WRITING:
            state = self.state
            rows = [row for row in state["gates"] if row["name"] != gate["name"]]
            self._write({**state, "gates": [*rows, gate]})

    def _write(self, state: dict[str, Any]) -> None:
        write_atomically(self.path, json.dumps(state, indent=1, sort_keys=True).encode())


def journals(runs: Path) -> list[Journal]:
    """Every run with a readable record, newest first."""
    return [Journal(path) for path in sorted(runs.glob(f"*/{RECORD_FILE}"), reverse=True)]


def has_result(state: Mapping[str, Any], stage: str = "") -> bool:
    """Whether the run has come to the end of a stage; of any where none is named. One that failed before that has not
    begun, whatever it wrote down."""
    return stage in state["refs"] if stage else bool(state["refs"])


def find_journal(runs: Path, run_id: str, *, stage: str = "", status: str = "") -> Journal:
    """By its id or the unambiguous beginning of it; `latest` is the newest with a result of `stage`, or with any.

    Args:
        stage, status: what `latest` must have; a run that is named is taken as it is.

    Raises:
        ArtifactMissing: there is none, or more than one begins so.
    """
    known = journals(runs)
    if run_id == LATEST:
        return _latest(runs, known, stage=stage, status=status)
    matching = [journal for journal in known if journal.run_id.startswith(run_id)]
    if len(matching) != 1:
        raise ArtifactMissing(
            "no such run" if not matching else "more than one run begins so",
            got=run_id,
            where=runs,
            next_step="`edgewright runs` lists them",
        )
    return matching[0]


def _latest(runs: Path, known: Sequence[Journal], *, stage: str, status: str) -> Journal:
    states = ((journal, journal.state) for journal in known)
    fitting = (one for one, state in states if has_result(state, stage) and status in ("", state["status"]))
    found = next(fitting, None)
    if found is None:
        raise ArtifactMissing(
            f"no run is {status}" if status else f"no run has a result{f' of {stage}' if stage else ''}",
            got=f"{len(known)} runs",
            where=runs,
            next_step="`edgewright runs` lists them",
        )
    return found


@contextmanager
def project_lock(home: Path, project: str, *, waits: bool) -> Iterator[None]:
    """Held while a run of a project goes on whose stages run elsewhere. Other projects' may be live beside it; what
    needs the home to itself, as a run in this process or `gc` does, may not.

    Args:
        waits: for its turn, as what a form, a schedule or an event has begun does.

    Raises:
        HomeBusy: not its turn, and it does not wait.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = home / _LOCK_FILE
    lock.touch()
    with ExitStack() as held:
        if waits:
            held.enter_context(locked_for_reading(lock))
            held.enter_context(locked(home / f"run-{project}.lock"))
        elif not (
            held.enter_context(try_locked_for_reading(lock))
            and held.enter_context(try_locked(home / f"run-{project}.lock"))
        ):
            raise HomeBusy(
                "another run of this project is live, or the home is in use",
                got=project,
                where=home,
                next_step="wait for it, or stop it",
            )
        yield


@contextmanager
def home_lock(home: Path) -> Iterator[None]:
    """Held while a pipeline runs; the operating system lets go of it when the process dies, however it dies.

    Raises:
        HomeBusy: another live run holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = home / _LOCK_FILE
    with try_locked(lock) as free:
        if not free:
            raise HomeBusy(
                "another run is live in this home",
                got=f"process {lock.read_text().strip() or 'unknown'}",
                where=home,
                next_step="wait for it, stop it, or set EDGEWRIGHT_HOME to another folder",
            )
        lock.write_text(str(os.getpid()))
        yield
