"""What a stage may rely on while it runs: the store, the tracker, the journal, and who watches.

Decides where a pipeline run begins and ends in this process. A session is opened by the CLI, or by a flow that a
worker runs; stages find it through a context variable, never through an argument, so that only references travel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from edgewright.artifacts import ArtifactRef, Store, open_store
from edgewright.errors import ArtifactMissing, StoreUnavailable
from edgewright.packages import require_own_packages
from edgewright.recipe.route import RouteConfig
from edgewright.settings import Settings, read_settings
from tasks.engine.code_origin import source_tags
from tasks.engine.journal import Journal
from tasks.engine.tracking import Tracker, run_title

if TYPE_CHECKING:
    from prefect import Task

    from edgewright.recipe.section import Section


MIN_FREE_BYTES = 300_000_000
"""A stage is not begun with less: the largest toy artifact is 60 MB, a checkpointed training holds three of them."""


class StageLink(BaseModel):
    """What ties a stage to its pipeline run; JSON, so that it can cross machines."""

    model_config = ConfigDict(frozen=True)

    project: str = "default"
    run_id: str = ""
    mlflow_parent: str = ""
    seed: int = 0
    key: str = ""
    """The work that is meant, where a run dispatched it: a worker with other code has another."""
    refresh: bool = False
    task_run: str = ""
    """The Prefect task that dispatched it."""
    tier: str = ""
    """Of devices, whose detector it makes; "" for `full`, and for what all tiers share."""


class Observer(Protocol):
    """Who watches a run: the terminal's progress display, or nobody."""

    def stage_started(self, name: str, pool: str) -> None: ...
    def stage_progress(self, name: str, done: int, total: int, what: str) -> None: ...
    def stage_finished(self, name: str, seconds: float, *, cached: bool) -> None: ...
    def stage_told(self, name: str, lines: Sequence[str]) -> None: ...
    def ask(self, question: str, *, timeout_s: float) -> tuple[str, str] | None:
        """(`real_only` or `end`, why), or None where nobody can be asked. Waits no longer than `timeout_s`."""


class Silent:
    """Nobody watches."""

    def stage_started(self, name: str, pool: str) -> None:
        pass

    def stage_progress(self, name: str, done: int, total: int, what: str) -> None:
        pass

    def stage_finished(self, name: str, seconds: float, *, cached: bool) -> None:
        pass

    def stage_told(self, name: str, lines: Sequence[str]) -> None:
        pass

    def ask(self, question: str, *, timeout_s: float) -> tuple[str, str] | None:  # noqa: ARG002
        return None


class Runnable(Protocol):
    """What a caller or a router may ask of a stage."""

    @property
    def name(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def pool(self) -> str: ...
    @property
    def pools(self) -> tuple[str, ...]: ...
    @property
    def task(self) -> Task[..., Any]: ...
    def key(self, config: Section, inputs: Mapping[str, Any], *, session: Session) -> str: ...
    def recall(self, key: str, *, session: Session) -> ArtifactRef | None: ...
    def execute(self, config: Section, inputs: Mapping[str, Any], *, session: Session, key: str) -> ArtifactRef: ...


class Step(Protocol):
    """What a caller may ask of a step that only decides."""

    @property
    def task(self) -> Task[..., Any]: ...


class Reader(Protocol):
    """What a caller may ask of a step that only reads."""

    @property
    def fn(self) -> Callable[..., Any]: ...
    @property
    def task(self) -> Task[..., Any]: ...


class Caller(Protocol):
    """What a flow's calls become. None stands for a reference that is not there: after `--until`, or not known yet."""

    def call(self, stage: Runnable, config: Section, inputs: Mapping[str, Any]) -> ArtifactRef | None: ...
    def look_up(self, step: Reader, inputs: Sequence[ArtifactRef | None]) -> Any: ...
    def enforce(self, step: Step, inputs: Sequence[ArtifactRef | None]) -> ArtifactRef | None: ...
    def settle(self) -> None:
        """Wait for what was called and is not done. Raises what failed first."""


@dataclass(frozen=True)
class Session:
    """One pipeline run in this process.

    Attributes:
        refresh: stages that are computed even where the store knows the answer (`--from`).
        required: stages that must be in the store (those before `--from`).
        excluded: stages that are left out (those after `--until`).
        trusted_source: the source was named at this machine's command line, not in a form or an event.
        caller: what a flow's calls become; None: Prefect tasks, one after another.
        route: of stages that are dispatched to workers.
    """

    settings: Settings
    store: Store
    tracker: Tracker
    journal: Journal
    link: StageLink
    observer: Observer = field(default_factory=Silent)
    refresh: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    trusted_source: bool = False
    caller: Caller | None = None
    route: RouteConfig = field(default_factory=RouteConfig)

    def watched_by(self, observer: Observer) -> Session:
        return replace(self, observer=observer)

    def below(self, mlflow_parent: str) -> Session:
        """The same below an MLflow run that is open now."""
        return replace(self, link=self.link.model_copy(update={"mlflow_parent": mlflow_parent}))

    def require_not_needed(self, stage: str) -> None:
        """Raises ArtifactMissing where `--from` begins after a stage whose result is not known."""
        if stage in self.required:
            raise ArtifactMissing(
                f"--from needs the result of {stage}, which is not in the store",
                where=self.store.uri,
                next_step=f"run once without --from, or with --from {stage}",
            )

    def check_space(self) -> None:
        """Raises StoreUnavailable before a stage begins that could not finish."""
        free = self.store.free_bytes()
        if free is not None and free < MIN_FREE_BYTES:
            raise StoreUnavailable(
                "not enough free space to begin a stage",
                expected=f">= {MIN_FREE_BYTES / 1e6:.0f} MB",
                got=f"{free / 1e6:.0f} MB",
                where=self.store.uri,
                next_step="`edgewright gc --keep N` frees what no kept run needs",
            )


_CURRENT: ContextVar[Session | None] = ContextVar("edgewright_session", default=None)


@contextmanager
def session_open(session: Session) -> Iterator[Session]:
    """Make a session the current one."""
    token = _CURRENT.set(session)
    try:
        yield session
    finally:
        _CURRENT.reset(token)


def current_session() -> Session | None:
    return _CURRENT.get()


def stage_session(link: StageLink, *, stage: str, file: str, store_uri: str = "") -> Session:
    """A session for one stage that runs on its own: in a worker, or triggered alone in the UI.

    Without a parent in the link it opens an MLflow parent run of its own.

    Args:
        stage: its name. file: where its code stands, from the top of the checkout.
    """
    require_own_packages()
    settings = read_settings()
    tracker = Tracker(settings.mlflow_tracking_uri, artifacts=settings.home / "mlflow" / "artifacts")
    folder = settings.home / "stages" if link.mlflow_parent else settings.runs  # a part of a run is no run
    journal = Journal.begin(folder, project=link.project, source="", recipe={}, plan="")
    parent = link.mlflow_parent or tracker.start_parent(
        link.project,
        run_id=journal.run_id,
        name=run_title(link.project, stage, journal.run_id),
        tags={**source_tags(file), "mlflow.note.content": f"The stage {stage}, run alone."},
    )
    journal.update(mlflow_run_id=parent)
    return Session(
        settings=settings,
        store=open_store(store_uri or settings.store, scratch=settings.scratch / "s3"),
        tracker=tracker,
        journal=journal,
        link=link.model_copy(update={"mlflow_parent": parent, "run_id": link.run_id or journal.run_id}),
        refresh=frozenset({stage} if link.refresh else ()),
    )


def may_read(path: Path, settings: Settings, *, trusted: bool) -> bool:
    """Whether a local source may be read: always from the command line, else only under EDGEWRIGHT_SOURCES."""
    resolved = path.resolve()
    return trusted or any(resolved.is_relative_to(root) for root in settings.sources)
