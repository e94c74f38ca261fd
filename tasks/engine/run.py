"""A run's life: the lock, the journal, the MLflow parent, the session, and what is written down when it ends.

Decides whether a request continues an earlier run, and that a run leaves a journal, an MLflow parent and a page behind
however it ends. One path for every flow, whether a command line opens the run around it or a worker starts the flow
alone (`@pipeline`). `configure_libraries` must have been called before Prefect and MLflow are imported.

    with open_run(request, settings, observer=display) as session, session_open(session):
        lifecycle(request.recipe, request.source)
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec

from prefect import Flow, flow
from prefect.exceptions import Pause, TerminationSignal
from pydantic import BaseModel

from edgewright.artifacts import Store, canonical_json, open_store, require_store, sha256_bytes
from edgewright.errors import GateEnded, InputError, WaitingForPerson, describe, meant
from edgewright.packages import require_own_packages
from edgewright.recipe import Recipe, validate
from edgewright.settings import Settings, read_settings
from tasks.engine.approval import await_decision, can_suspend, own_flow_run
from tasks.engine.callers import caller_for, current_caller
from tasks.engine.code_origin import source_tags
from tasks.engine.journal import Journal, home_lock, project_lock
from tasks.engine.page import write_report
from tasks.engine.prefect_log import name_flow_run
from tasks.engine.routers import router_of
from tasks.engine.services import MLFLOW, require_services
from tasks.engine.session import Observer, Session, Silent, StageLink, current_session, session_open
from tasks.engine.source import is_local, project_of, require_source
from tasks.engine.tracking import Tracker, params_of, run_title

P = ParamSpec("P")
LIFECYCLE = "lifecycle"


@dataclass(frozen=True)
class Request:
    """What is asked for. Equal requests are the same work: by them a killed run is recognized.

    Attributes:
        flow: which flow. stages: its stages in order, where parts of it may be asked for.
        told: what the flow is told besides recipe and source, as JSON.
        trusted: the source was named at this machine's command line, not in a form or an event.
    """

    recipe: Recipe
    source: str
    project: str
    flow: str = LIFECYCLE
    stages: tuple[str, ...] = ()
    from_stage: str = ""
    until: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    trusted: bool = True

    def __post_init__(self) -> None:
        for name, value in (("--from", self.from_stage), ("--until", self.until)):
            if value and value not in self.stages:
                known, near = ", ".join(self.stages), meant(value, self.stages)
                raise InputError(f"no such stage for {name}", expected=known, got=value, next_step=near)
        if self.from_stage and self.until and self.stages.index(self.from_stage) > self.stages.index(self.until):
            raise InputError("--from names a later stage than --until", got=f"{self.from_stage}, {self.until}")

    @property
    def plan(self) -> str:
        parts = [self.recipe.model_dump(mode="json"), self.source, self.project, self.from_stage, self.until]
        plan = sha256_bytes(canonical_json(parts))
        return plan if self.flow == LIFECYCLE else sha256_bytes(canonical_json([self.flow, plan, dict(self.told)]))

    @property
    def required(self) -> frozenset[str]:
        return frozenset(self.stages[: self.stages.index(self.from_stage)] if self.from_stage else ())

    @property
    def refresh(self) -> frozenset[str]:
        return frozenset(self.stages[self.stages.index(self.from_stage) :] if self.from_stage else ())

    @property
    def excluded(self) -> frozenset[str]:
        return frozenset(self.stages[self.stages.index(self.until) + 1 :] if self.until else ())


def make_request(recipe: Recipe, *, source: str, project: str | None = None, **asked: Any) -> Request:
    """Local paths are made absolute, so that the same folder is the same request wherever it is given from.

    Args:
        asked: the other attributes of `Request`.
    """
    located = str(Path(source).expanduser().resolve()) if is_local(source) else source
    return Request(recipe, located, project or project_of(located), **asked)


def require_ready(request: Request, settings: Settings) -> None:
    """What a run needs before a server, a journal or an experiment is made: its source, and what is named for it.

    Raises:
        EdgewrightError: in a sentence and within seconds; nothing has been written.
    """
    require_source(request.source, settings, trusted=request.trusted)
    require_services(settings)
    require_store(settings.store)


@contextmanager
def open_run(request: Request, settings: Settings, *, observer: Observer | None = None) -> Iterator[Session]:
    """Begin or continue a run; at the end, however it comes, write down how it went.

    Raises:
        HomeBusy: another run is live in this home.
        StoreUnavailable: MLflow does not take the run; the journal says so.
    """
    with _alone(request, settings):
        journal = Journal.resume_or_begin(
            settings.runs if request.flow == LIFECYCLE else settings.home / "experiments",
            project=request.project,
            source=request.source,
            recipe=request.recipe.model_dump(mode="json"),
            plan=request.plan,
            flow_run=own_flow_run(),
        )
        session = session_of(request, settings, journal).watched_by(observer or Silent())
        try:
            session = session.below(_parent(request, settings, journal))
            yield session
        except BaseException as raised:  # noqa: BLE001 - it is raised again
            try:
                _write_down(session, request, raised)
            finally:
                raise raised  # on a full disk writing fails too: the first error is the one to tell
        _write_down(session, request, None)


def _alone(request: Request, settings: Settings) -> AbstractContextManager[None]:
    """The home, where stages run in this process; the project, where they run elsewhere."""
    if settings.router == "inline":
        return home_lock(settings.home)
    return project_lock(settings.home, request.project, waits=not request.trusted)


def pipeline(*, name: str) -> Callable[[Callable[P, None]], Flow[P, None]]:
    """Make a function of `recipe`, `source` and more a flow, which takes a `project` too. Started without a run around
    it, by a worker or in the UI, it opens one on its machine's home, and the source must lie under EDGEWRIGHT_SOURCES.
    """

    def make(function: Callable[P, None]) -> Flow[P, None]:
        @wraps(function)
        def body(*args: P.args, **kwargs: P.kwargs) -> None:
            project = str(kwargs.pop("project", ""))
            session, given = current_session(), inspect.signature(function).bind(*args, **kwargs).arguments
            if session is not None:
                return _carried_out(session, given["recipe"], partial(function, *args, **kwargs))
            require_own_packages()
            asked, settings = _asked(name, given, project), read_settings()
            require_ready(asked, settings)
            with open_run(asked, settings) as session, session_open(session):
                return _carried_out(session, given["recipe"], partial(function, *args, **kwargs))

        # Prefect reads the form's types where `body` stands: they must be types, not names of the function's module.
        body.__annotations__ = typing.get_type_hints(function) | {"project": str}
        found = inspect.signature(function).parameters.values()
        typed = [one.replace(annotation=body.__annotations__[one.name]) for one in found]
        typed.append(inspect.Parameter("project", inspect.Parameter.KEYWORD_ONLY, default="", annotation=str))
        body.__signature__ = inspect.Signature(typed)  # type: ignore[attr-defined]
        return flow(name=name, persist_result=False, log_prints=False)(body)

    return make


def reopen(journal: Journal, settings: Settings) -> Session:
    """A session on a past run, to read its artifacts again. Raises StoreUnavailable where MLflow does not answer."""
    require_services(settings, [MLFLOW])
    state = journal.state
    link = StageLink(project=state["project"], run_id=journal.run_id, mlflow_parent=state["mlflow_run_id"])
    return Session(
        settings=settings, store=store_of(settings), tracker=tracker_of(settings), journal=journal, link=link
    )


def request_of(journal: Journal, *, stages: tuple[str, ...]) -> Request:
    """The request that a run of the life cycle was begun with, to continue it."""
    state = journal.state
    recipe = validate(state["recipe"], where=str(journal.path))
    return Request(
        recipe,
        state["source"],
        state["project"],
        stages=stages,
        from_stage=state.get("from_stage", ""),
        until=state.get("until", ""),
        trusted=state.get("trusted", True),  # before there were others
    )


def session_of(request: Request, settings: Settings, journal: Journal, *, mlflow_parent: str = "") -> Session:
    """What the request's stages run in."""
    seed, run_id = request.recipe.seed, journal.run_id
    return Session(
        settings=settings,
        store=store_of(settings),
        tracker=tracker_of(settings),
        journal=journal,
        link=StageLink(project=request.project, run_id=run_id, mlflow_parent=mlflow_parent, seed=seed),
        refresh=request.refresh,
        required=request.required,
        excluded=request.excluded,
        trusted_source=request.trusted,
        caller=caller_for(settings.router) if request.flow == LIFECYCLE else None,
        route=request.recipe.route,
    )


def store_of(settings: Settings) -> Store:
    return open_store(settings.store, scratch=settings.scratch / "s3")


def tracker_of(settings: Settings) -> Tracker:
    return Tracker(settings.mlflow_tracking_uri, artifacts=settings.home / "mlflow" / "artifacts")


def _asked(name: str, given: Mapping[str, Any], project: str) -> Request:
    """What a form or an event asks for; without a project, the source's name."""
    told = {key: value.model_dump(mode="json") for key, value in given.items() if isinstance(value, BaseModel)}
    recipe: Recipe = given["recipe"]
    told.pop("recipe")
    return make_request(recipe, source=given["source"], project=project or None, flow=name, told=told, trusted=False)


def _parent(request: Request, settings: Settings, journal: Journal) -> str:
    """The MLflow run of this run: opened again where it is known."""
    tracker = tracker_of(settings)
    journal.update(from_stage=request.from_stage, until=request.until, trusted=request.trusted)
    known = journal.state["mlflow_run_id"]
    if known and tracker.resume_parent(known):
        return str(known)
    recipe = request.recipe
    parent = tracker.start_parent(
        request.project,
        run_id=journal.run_id,
        name=run_title(request.project, recipe.preset, journal.run_id),
        params=params_of(recipe.model_dump(mode="json"), prefix=""),
        tags={
            "edgewright.source": request.source,
            "mlflow.note.content": f"{request.flow} of {request.source}, recipe {recipe.preset}. It has not ended yet.",
            **source_tags(f"flows/{request.flow}.py"),
        },
    )
    journal.update(mlflow_run_id=parent)
    return parent


def _carried_out(session: Session, recipe: Recipe, function: Callable[[], None]) -> None:
    """The flow's own function, and the end of everything that it called."""
    _note_flow_run(session, recipe)
    allowed_s = recipe.gate_data.ask_timeout_s
    if can_suspend() and session.journal.asks:  # begun again, with an answer
        await_decision(session.journal, timeout_s=allowed_s)
    router = router_of(session.settings.router)
    router.begin()
    try:
        function()
        current_caller().settle()
    except (KeyboardInterrupt, TerminationSignal):  # in a flow Prefect makes the latter of SIGTERM
        router.stop()
        raise
    except WaitingForPerson:
        if can_suspend():
            await_decision(session.journal, timeout_s=allowed_s)
        raise


def _note_flow_run(session: Session, recipe: Recipe) -> None:
    project = session.link.project
    title = run_title(project, recipe.preset, session.journal.run_id)
    flow_run_id = name_flow_run(title, tags=(f"project:{project}", f"recipe:{recipe.preset}"))
    if flow_run_id is not None:
        session.journal.update(prefect_flow_run_id=str(flow_run_id))
        session.tracker.tag(session.link.mlflow_parent, {"prefect.flow_run_id": flow_run_id})


def _write_down(session: Session, request: Request, raised: BaseException | None) -> None:
    status = _status(raised)
    parent = session.link.mlflow_parent  # "" where MLflow did not take the run: it has nothing to show
    try:
        session.journal.update(status=status, error=describe(raised).to_json() if raised else None)
        if parent and request.flow == LIFECYCLE:  # an experiment writes a page of its own, before it ends
            write_report(session)
    finally:
        if parent:
            session.tracker.finish_parent(parent, succeeded=status in ("finished", "ended"))


def _status(raised: BaseException | None) -> str:
    if raised is None:
        return "finished"
    kinds = (
        (GateEnded, "ended"),
        (WaitingForPerson, "waiting"),
        (Pause, "waiting"),
        (KeyboardInterrupt, "interrupted"),
        (TerminationSignal, "interrupted"),
    )
    return next((status for kind, status in kinds if isinstance(raised, kind)), "failed")
