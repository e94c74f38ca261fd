"""One pipeline run from the command line: lock, journal, server, session, flow, report.

Part of the outermost layer. Decides whether a command continues an earlier run, and what is written down when a run
ends, however it ends. `configure_libraries` must have been called before this module is imported: Prefect and MLflow
read their environment when they are.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.artifacts import Store, canonical_json, open_store, sha256_bytes
from edgewright.errors import EdgewrightError, GateEnded, InputError, WaitingForPerson, describe
from edgewright.experiment.plan import EfficiencyConfig
from edgewright.recipe import Recipe, validate
from edgewright.settings import Settings
from flows.lifecycle import STAGES, lifecycle
from tasks.engine.enforce import record_decision
from tasks.engine.journal import Journal, home_lock
from tasks.engine.session import Observer, Session, Silent, StageLink, session_open
from tasks.engine.source import is_local, project_of
from tasks.engine.tracking import Tracker
from tasks.report import write_report
from tasks.serve.prefect_server import prefect_server

_DELIVERY_S = 10.0
STAGE_NAMES = tuple(stage.name for stage in STAGES)


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    recipe: Recipe
    source: str
    project: str
    from_stage: str = ""
    until: str = ""

    def __post_init__(self) -> None:
        for name, value in (("--from", self.from_stage), ("--until", self.until)):
            if value and value not in STAGE_NAMES:
                raise InputError(f"no such stage for {name}", expected=", ".join(STAGE_NAMES), got=value)
        if self.from_stage and self.until and _position(self.from_stage) > _position(self.until):
            raise InputError("--from names a later stage than --until", got=f"{self.from_stage}, {self.until}")

    @property
    def plan(self) -> str:
        """Equal plans are the same command: what a killed run is recognized by."""
        return sha256_bytes(
            canonical_json(
                [self.recipe.model_dump(mode="json"), self.source, self.project, self.from_stage, self.until]
            )
        )

    @property
    def required(self) -> frozenset[str]:
        return frozenset(STAGE_NAMES[: _position(self.from_stage)] if self.from_stage else ())

    @property
    def refresh(self) -> frozenset[str]:
        return frozenset(STAGE_NAMES[_position(self.from_stage) :] if self.from_stage else ())

    @property
    def excluded(self) -> frozenset[str]:
        return frozenset(STAGE_NAMES[_position(self.until) + 1 :] if self.until else ())


def make_request(recipe: Recipe, *, source: str, project: str | None, from_stage: str = "", until: str = "") -> Request:
    """Local paths are made absolute, so that the same folder is the same command wherever it is given from."""
    located = str(Path(source).expanduser().resolve()) if is_local(source) else source
    return Request(recipe, located, project or project_of(located), from_stage, until)


def plan_run(request: Request, settings: Settings) -> list[dict[str, Any]]:
    """What a run would do, stage by stage; nothing is run and no server is started."""
    rows: list[dict[str, Any]] = []
    session = Session(
        settings=settings,
        store=_store(settings),
        tracker=_tracker(settings),
        journal=Journal(settings.runs / "plan" / "run.json"),
        link=StageLink(project=request.project, seed=request.recipe.seed),
        refresh=request.refresh,
        required=request.required,
        excluded=request.excluded,
        trusted_source=True,
        plan=rows,
    )
    with session_open(session):
        lifecycle.fn(request.recipe, request.source)
    return rows


def run_pipeline(request: Request, settings: Settings, *, observer: Observer | None = None) -> Journal:
    """Run, or continue, and leave a journal, an MLflow parent and a report behind in every case.

    Raises:
        EdgewrightError: what ended the run; the journal holds it as `error`.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the same command continues.
    """
    with home_lock(settings.home), terminate_as_interrupt(), prefect_server(settings) as server:
        journal = Journal.resume_or_begin(
            settings.runs,
            project=request.project,
            source=request.source,
            recipe=request.recipe.model_dump(mode="json"),
            plan=request.plan,
        )
        session = _session(request, settings, journal, observer or Silent())
        with _written_down(session):
            server.wait()
            _run_flow(session, request, api_url=server.api_url)
        return journal


def decide_run(journal: Journal, *, choice: str, person: str, why: str) -> None:
    """Keep a person's answer; `real_only` makes the same command go on, `end` closes the run.

    Raises:
        InputError: the run waits for nobody.
    """
    state = journal.state
    if state["status"] != "waiting":
        raise InputError("the run waits for no decision", got=f"status {state['status']}", where=journal.run_id)
    waited = time.time() - float(state["waiting_since"])
    allowed = float(state["recipe"]["gate_data"]["ask_timeout_s"])
    if choice == "real_only" and waited > allowed:
        journal.update(status="ended")
        raise InputError(
            "the time to decide is over, which means end", expected=f"<= {allowed:.0f} s", got=f"{waited:.0f} s"
        )
    record_decision(journal, choice=choice, person=person, why=why)
    journal.update(status="ended" if choice == "end" else "interrupted")


def reopen(journal: Journal, settings: Settings) -> Session:
    """A session on a past run, to read its artifacts again."""
    state = journal.state
    tracker = _tracker(settings)
    link = StageLink(project=state["project"], run_id=journal.run_id, mlflow_parent=state["mlflow_run_id"])
    return Session(settings=settings, store=_store(settings), tracker=tracker, journal=journal, link=link)


def request_of(journal: Journal) -> Request:
    """The request that a journal was begun with, to continue it."""
    state = journal.state
    recipe = validate(state["recipe"], where=str(journal.path))
    return Request(recipe, state["source"], state["project"], state.get("from_stage", ""), state.get("until", ""))


def run_experiment(
    recipe: Recipe,
    config: EfficiencyConfig,
    settings: Settings,
    *,
    source: str,
    project: str | None,
    results: Path,
    observer: Observer | None = None,
) -> Journal:
    """Run the label-efficiency experiment, or continue it; the journal names the page that it ends with.

    Raises:
        EdgewrightError: what ended it. KeyboardInterrupt: Ctrl-C; the same command continues after the last line.
    """
    request = make_request(recipe, source=source, project=project)
    plan = sha256_bytes(canonical_json(["label_efficiency", request.plan, config.model_dump(mode="json")]))
    with home_lock(settings.home), terminate_as_interrupt(), prefect_server(settings) as server:
        journal = Journal.resume_or_begin(
            settings.home / "experiments",
            project=request.project,
            source=request.source,
            recipe=recipe.model_dump(mode="json"),
            plan=plan,
        )
        session = _session(request, settings, journal, observer or Silent())
        status, problem = "failed", ""
        try:
            server.wait()
            _run_experiment_flow(session, recipe, config, request.source, str(results.resolve()), server.api_url)
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        except EdgewrightError as error:
            problem = str(error)
            raise
        finally:
            journal.update(status=status, error=problem)
            session.tracker.finish_parent(session.link.mlflow_parent, succeeded=status == "finished")
        return journal


def _run_experiment_flow(
    session: Session, recipe: Recipe, config: EfficiencyConfig, source: str, results: str, api_url: str
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.label_efficiency import label_efficiency

    with temporary_settings({PREFECT_API_URL: api_url}), session_open(session), delivered():
        label_efficiency(recipe, config, source, results)


def _run_flow(session: Session, request: Request, *, api_url: str) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api_url}), session_open(session), delivered():
        state = lifecycle(request.recipe, request.source, return_state=True)
        session.journal.update(prefect_flow_run_id=str(state.state_details.flow_run_id))
        session.tracker.tag(session.link.mlflow_parent, {"prefect.flow_run_id": str(state.state_details.flow_run_id)})
        state.result()


@contextmanager
def delivered() -> Iterator[None]:
    """Prefect sends logs and task states from background threads: let them finish before the server is ended."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    try:
        yield
    finally:
        for service in (EventsWorker, APILogWorker):
            service.drain_all(timeout=_DELIVERY_S)


@contextmanager
def _written_down(session: Session) -> Iterator[None]:
    """However the run ends: status, error, report and the MLflow parent are written."""
    try:
        yield
    except BaseException as raised:
        from mlflow.exceptions import MlflowException

        with suppress(OSError, EdgewrightError, MlflowException):  # on a full disk: the first error is the one to tell
            _write_down(session, raised)
        raise
    _write_down(session, None)


def _write_down(session: Session, raised: BaseException | None) -> None:
    status = _status(raised)
    session.journal.update(status=status, error=describe(raised).to_json() if raised else None)
    write_report(session)
    session.tracker.finish_parent(session.link.mlflow_parent, succeeded=status in ("finished", "ended"))


def _status(raised: BaseException | None) -> str:
    if raised is None:
        return "finished"
    kinds = ((GateEnded, "ended"), (WaitingForPerson, "waiting"), (KeyboardInterrupt, "interrupted"))
    return next((status for kind, status in kinds if isinstance(raised, kind)), "failed")


def _session(request: Request, settings: Settings, journal: Journal, observer: Observer) -> Session:
    tracker = _tracker(settings)
    journal.update(from_stage=request.from_stage, until=request.until)
    known = journal.state["mlflow_run_id"]
    parent = known if known and tracker.resume_parent(known) else ""
    if not parent:
        parameters = {
            f"{section}.{name}" if isinstance(values, dict) else section: value
            for section, values in request.recipe.model_dump(mode="json").items()
            for name, value in (values.items() if isinstance(values, dict) else [("", values)])
        }
        parent = tracker.start_parent(request.project, run_id=journal.run_id, params=parameters)
        journal.update(mlflow_run_id=parent)
    return Session(
        settings=settings,
        store=_store(settings),
        tracker=tracker,
        journal=journal,
        link=StageLink(project=request.project, run_id=journal.run_id, mlflow_parent=parent, seed=request.recipe.seed),
        observer=observer,
        refresh=request.refresh,
        required=request.required,
        excluded=request.excluded,
        trusted_source=True,
    )


def _store(settings: Settings) -> Store:
    return open_store(settings.store, scratch=settings.scratch / "s3")


def _tracker(settings: Settings) -> Tracker:
    return Tracker(settings.mlflow_tracking_uri, artifacts=settings.home / "mlflow" / "artifacts")


def _position(name: str) -> int:
    return STAGE_NAMES.index(name)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: the checkpoint stands, the journal says interrupted, the server is ended."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
