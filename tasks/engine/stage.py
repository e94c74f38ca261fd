"""`@stage`: one typed function with three faces.

    .fn     the plain function: one config section, artifact references in, one artifact reference out
    .task   what control flows call: a Prefect task tagged `pool:<name>` for every pool the stage may run in;
            looks in the store, then runs `.fn` through the router
    .flow   a one-stage flow for a deployment (`tasks.label:label.flow`): looks in the store, then runs `.fn` here

Decides the cache key: stage, config and the files it names, input digests, seed, code and libraries. The store is the
only cache; Prefect's is off.
Refuses to begin on a disk that is nearly full.

    @stage(pools=("cpu",))
    def quantize(work: Work, config: QuantizeConfig, detector: ArtifactRef, dataset: ArtifactRef) -> ArtifactRef: …

    quantize(config, detector, dataset)             # in a flow; a type checker knows the arguments
"""

from __future__ import annotations

import inspect
import shutil
import socket
import time
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, cast

from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext, TaskRunContext
from prefect.states import Completed

from edgewright.artifacts import Artifact, ArtifactRef, Store, canonical_json, sha256_bytes
from edgewright.artifacts.store import store_errors
from edgewright.device.offer import TIERS
from edgewright.errors import EdgewrightError, InputError, StageFailed, describe
from edgewright.recipe.section import Section
from tasks.engine.accelerator import own_accelerators
from tasks.engine.alone import alone_in
from tasks.engine.callers import current_caller
from tasks.engine.code_origin import file_of
from tasks.engine.entries import entry_of, made_at
from tasks.engine.external import external_digests
from tasks.engine.fingerprint import Fingerprint, fingerprint, reached
from tasks.engine.prefect_log import BEGUN_BY_PREFECT, name_flow_run, run_log
from tasks.engine.ran import attempt_key, here
from tasks.engine.routers import router_of
from tasks.engine.session import Session, StageLink, current_session, session_open, stage_session
from tasks.engine.shown import show
from tasks.engine.told import Told, tell
from tasks.engine.tracking import run_title, titled
from tasks.engine.work import Work

P = ParamSpec("P")
POOLS = ("control", "cpu", "gpu", "fpga", "edge")

Identify = Callable[[Any, Session], str]
"""An input that is no artifact → the digest of what it stands for."""


@dataclass(frozen=True)
class Stage(Generic[P]):
    """A stage and its faces; made by `@stage`."""

    fn: Callable[Concatenate[Work, P], ArtifactRef]
    pools: tuple[str, ...]
    cached: bool
    identify: Mapping[str, Identify]
    per_project: bool
    tells: Callable[[Artifact], Told] | None = None
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tier: str = ""

    def for_tier(self, tier: str) -> Stage[P]:
        """This stage as a run has it for the detector of a further tier; for `full` itself.

        Equal work keeps its key, whichever tier it is for; the run's record has it under another title.
        """
        return self if tier == TIERS[0] else replace(self, tier=tier)

    @property
    def name(self) -> str:
        return self.fn.__name__

    @property
    def title(self) -> str:
        """Its name within a run: `quantize`, and `quantize@basic` beside it."""
        return titled(self.name, self.tier)

    @property
    def pool(self) -> str:
        """The default pool: the first one."""
        return self.pools[0]

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The config section and the inputs, annotations resolved, without `work`."""
        hints = typing.get_type_hints(self.fn)
        found = inspect.signature(self.fn).parameters.values()
        return {p.name: p.replace(annotation=hints[p.name]) for p in found if p.name != "work"}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ArtifactRef:
        """What a flow writes. The session's caller decides what it means: `.task`, or a look-up for a plan.

        After `--until` nothing is done: None stands for the reference, and only stages that are left out are given it.
        """
        given = inspect.Signature(list(self.parameters.values())).bind(*args, **kwargs).arguments
        return cast(ArtifactRef, current_caller().call(self, given.pop("config"), given))

    @cached_property
    def task(self) -> Task[..., Any]:
        return Task(
            _signed(self._run_task, self.name, self.parameters, doc=self.fn.__doc__),
            name=self.name,
            task_run_name=self.title,
            tags={f"pool:{pool}" for pool in self.pools},
            cache_policy=NO_CACHE,
            persist_result=False,
            log_prints=False,
        )

    @cached_property
    def flow(self) -> Flow[..., Any]:
        if BEGUN_BY_PREFECT:
            reached(self.fn)  # what Prefect reads before it says that the flow run is running, it reads at once
        link = inspect.Parameter("link", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=StageLink | None)
        parameters = {
            name: p.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for name, p in self.parameters.items()
        }
        signed = _signed(self._run_flow, self.name, {**parameters, "link": link}, doc=self.fn.__doc__)
        return Flow(signed, name=self.name, persist_result=False, validate_parameters=True)

    def key(self, config: Section, inputs: Mapping[str, Any], *, session: Session) -> str:
        """The cache key of this work: equal work has an equal key, on every machine with the same libraries."""
        return sha256_bytes(
            canonical_json(
                {
                    "stage": self.name,
                    "config": config.model_dump(mode="json"),
                    "external": external_digests(config),
                    "inputs": self.digests(inputs, session=session),
                    "seed": session.link.seed,
                    "code": self.fingerprint(config).digest,
                    "project": session.link.project if self.per_project else "",
                }
            )
        )

    def fingerprint(self, config: Section) -> Fingerprint:
        """The code behind this stage, and the libraries that these values call in."""
        return fingerprint(self.fn, extras=config.libraries)

    def digests(self, inputs: Mapping[str, Any], *, session: Session) -> dict[str, str]:
        """Input name → digest."""
        return {
            name: value.sha256 if isinstance(value, ArtifactRef) else self.identify[name](value, session)
            for name, value in inputs.items()
        }

    def recall(self, key: str, *, session: Session) -> ArtifactRef | None:
        """What the store has for this work, unless the stage must be done anew."""
        return session.store.recall(key) if self.cached and self.name not in session.refresh else None

    def execute(self, config: Section, inputs: Mapping[str, Any], *, session: Session, key: str) -> ArtifactRef:
        """Run `.fn` in this process inside its MLflow child run, and remember the result.

        Equal work is done by one process of this home at a time: what another has made meanwhile is taken.
        """
        session.check_space()
        scratch = session.settings.scratch / "work" / key[:24]
        with alone_in(scratch, stage=self.name) as waited:
            known = self.recall(key, session=session) if waited else None
            if known is not None:
                self._note_cached(known, config, inputs, session=session, key=key)
                return known
            return self._carry_out(config, inputs, session=session, key=key, scratch=scratch)

    def _carry_out(
        self, config: Section, inputs: Mapping[str, Any], *, session: Session, key: str, scratch: Path
    ) -> ArtifactRef:
        run_log().info("%s: begins (%s)", self.title, self.pool)
        entry = entry_of(self, config, inputs, session=session, key=key, tags=_prefect_tags(session.link))
        with session.tracker.child(session.link.mlflow_parent, entry) as child:
            inputs_of, code = self.digests(inputs, session=session), self.fingerprint(config)
            work = Work(session, self.name, code, config, inputs_of, scratch, child, tier=self.tier)
            with store_errors(str(scratch)):
                ref: ArtifactRef = cast(Any, self.fn)(work, config, **inputs)
        if self.cached:
            session.store.remember(key, ref)
        shutil.rmtree(scratch, ignore_errors=True)
        return ref

    def _run_task(self, config: Section, **named: Any) -> Any:
        session, inputs = current_session(), _given(named)
        if session is None:
            raise InputError(f"{self.name}.task was called outside a pipeline run", next_step=f"call {self.name}.flow")
        session.observer.stage_started(self.title, self.pool)
        began = time.monotonic()
        with _errors_logged(self.title):
            key, ref = self._look_up(config, inputs, session=session)
            found, where = ref is not None, {**here(ran=False), "router": session.settings.router}
            if ref is None:
                session.require_not_needed(self.name)
                ran = router_of(session.settings.router).run(self, config, inputs, session=session, key=key)
                ref, where = ran.ref, dict(ran.where)
        seconds = round(time.monotonic() - began, 3)
        told = self.tells(session.store.open(ref)) if self.tells else None
        session.journal.note_stage(
            {
                "name": self.title,
                "pool": self.pool,
                "ran_on": where,
                "seconds": seconds,
                "cached": found,
                **({"told": told.value} if told else {}),
            },
            ref.to_json(),
        )
        self._note(ref, session)
        session.observer.stage_finished(self.title, seconds, cached=found)
        if told:
            tell(told, stage=self.name, tier=self.tier, session=session)
        show(ref, session, tier=self.tier)
        return Completed(name="Cached", message=ref.uri, data=ref) if found else ref

    def _note(self, ref: ArtifactRef, session: Session) -> None:
        """Into the run's record, wherever the stage ran."""
        facts = session.store.manifest(ref.sha256).record.facts if self.notes else {}
        session.journal.update(**{key: {name: facts[name] for name in names} for key, names in self.notes.items()})

    def _look_up(
        self, config: Section, inputs: Mapping[str, Any], *, session: Session
    ) -> tuple[str, ArtifactRef | None]:
        """The key, and what the store has for it, which is noted as taken from there."""
        key = self.key(config, inputs, session=session)
        ref = self.recall(key, session=session)
        if ref is not None:
            self._note_cached(ref, config, inputs, session=session, key=key)
        return key, ref

    def _note_cached(
        self, ref: ArtifactRef, config: Section, inputs: Mapping[str, Any], *, session: Session, key: str
    ) -> None:
        manifest = session.store.manifest(ref.sha256)
        run_log().info("%s: taken from the store, %s, %s", self.title, made_at(manifest), ref.uri)
        tags = {"artifact.uri": ref.uri, "artifact.digest": ref.sha256, **_prefect_tags(session.link)}
        entry = entry_of(self, config, inputs, session=session, key=key, tags=tags)
        metrics = manifest.record.metrics
        session.tracker.note_cached(session.link.mlflow_parent, entry, metrics=metrics, made=made_at(manifest))

    def _run_flow(self, config: Section, *, link: StageLink | None = None, **named: Any) -> dict[str, str]:
        if link and link.tier != self.tier:
            return replace(self, tier=link.tier)._run_flow(config, link=link, **named)
        inputs = _given(named)
        stores = [value.store_uri for value in inputs.values() if isinstance(value, ArtifactRef)]
        session = stage_session(
            link or StageLink(), stage=self.name, file=file_of(self.fn), store_uri=stores[0] if stores else ""
        )
        alone = link is None or not link.mlflow_parent
        project = session.link.project
        succeeded = False
        try:
            name_flow_run(run_title(project, self.title, session.link.run_id), tags=[f"project:{project}"])
            with session_open(session), _errors_logged(self.title):
                key, known = self._look_up(config, inputs, session=session)
                _require_meant(key, session.link.key, stage=self.name)
                with own_accelerators(getattr(config, "devices", 1), session.settings.home):
                    ref = known or self.execute(config, inputs, session=session, key=key)
                _remember_attempt(ref, session.store)
                if alone:
                    self._note(ref, session)
                    show(ref, session, tier=self.tier)
            session.journal.update(status="finished")
            succeeded = True
        except BaseException as raised:
            session.journal.update(status="failed", error=describe(raised).to_json())
            raise
        finally:
            if alone:
                session.tracker.finish_parent(session.link.mlflow_parent, succeeded=succeeded)
        return ref.to_json()


def stage(
    *,
    pools: tuple[str, ...],
    cached: bool = True,
    identify: Mapping[str, Identify] | None = None,
    per_project: bool = False,
    tells: Callable[[Artifact], Told] | None = None,
    notes: Mapping[str, tuple[str, ...]] | None = None,
) -> Callable[[Callable[Concatenate[Work, P], ArtifactRef]], Stage[P]]:
    """Make a function a stage.

    Args:
        pools: where it may run; the first is the default.
        cached: False for stages that compare desired with actual state (`release`, `flash`).
        identify: for inputs that are no artifacts, how their digest is found.
        per_project: whether the result depends on the project's history (`ingest`: its split ledger).
        tells: what a person is told of the result, whether it was computed or found.
        notes: key of the run's record → which of the result's facts stand under it.
    """
    unknown = [pool for pool in pools if pool not in POOLS]
    if unknown or not pools:
        raise EdgewrightError("unknown pool", expected=", ".join(POOLS), got=pools)

    def make(fn: Callable[Concatenate[Work, P], ArtifactRef]) -> Stage[P]:
        return Stage(fn, pools, cached, dict(identify or {}), per_project, tells, dict(notes or {}))

    return make


def _signed(
    body: Callable[..., Any], name: str, parameters: Mapping[str, inspect.Parameter], *, doc: str | None
) -> Callable[..., Any]:
    """A function of the given signature around `body`: Prefect reads parameters and the form from it."""

    def face(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return body(**bound.arguments)

    signature = inspect.Signature(list(parameters.values()))
    face.__name__ = face.__qualname__ = name
    face.__doc__ = doc
    face.__module__ = __name__
    face.__signature__ = signature  # type: ignore[attr-defined]
    face.__annotations__ = {p.name: p.annotation for p in parameters.values()}
    return face


def _given(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that nobody has given: an input that may be left out has no digest."""
    return {name: value for name, value in inputs.items() if value is not None}


def _require_meant(key: str, meant: str, *, stage: str) -> None:
    """Raises StageFailed on a worker to which the same work is other work."""
    if meant and key != meant:
        raise StageFailed(
            f"this worker would make another {stage} than the run asks for",
            expected=f"key {meant[:12]}",
            got=f"key {key[:12]}",
            where=socket.gethostname(),
            next_step="install the same edgewright and the same libraries on every worker",
        )


def _remember_attempt(ref: ArtifactRef, store: Store) -> None:
    """So that whoever dispatched this flow run finds what it made."""
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        store.remember(attempt_key(context.flow_run.id), ref)


def _prefect_tags(link: StageLink) -> dict[str, str]:
    """The flow run on whose page the stage's log stands, and the task of the run that it is a part of."""
    task, flow = TaskRunContext.get(), FlowRunContext.get()
    if task is not None and task.task_run.flow_run_id is not None:
        return {"prefect.flow_run_id": str(task.task_run.flow_run_id), "prefect.task_run_id": str(task.task_run.id)}
    if flow is not None and flow.flow_run is not None and link.task_run:
        return {"prefect.flow_run_id": str(flow.flow_run.id), "prefect.task_run_id": link.task_run}
    return {}


@contextmanager
def _errors_logged(stage: str) -> Iterator[None]:
    """What ends a stage is on its page in Prefect too, with the next step."""
    try:
        yield
    except BaseException as raised:
        run_log().error("%s: %s", stage, describe(raised))
        raise
