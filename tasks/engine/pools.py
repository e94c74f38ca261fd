"""The router `pools`: a stage runs on a worker of its pool, as a flow run of the deployment `<stage>/<pool>`.

Decides that equal work of one run is dispatched once: a parent that was killed and asks again finds its child by the
idempotency key and waits for it. What the child made is read from the store, never from Prefect, and its error is
raised here with its own words. A child that died before it began has done nothing and is dispatched again; one that
died when it had made everything has made it. A pool in which no worker is online within `route.start_timeout_s` is an
error, or the work goes to the pool that `route.fallback` names, where the stage may run there; which one it was stands
in `ran_on`. Refuses to guess: a server that does not answer for `OUTAGE_S` ends the wait, and the child lives on.

    router_of("pools").run(label, config, inputs, session=session, key=key)      # in the stage's Prefect task
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, State, WorkerStatus
from prefect.context import TaskRunContext
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelling

from edgewright.artifacts import ArtifactRef, canonical_json, sha256_bytes
from edgewright.errors import InputError, StageFailed, StoreUnavailable, as_it_was
from tasks.engine.prefect_log import run_log
from tasks.engine.ran import Ran, attempt_key

if TYPE_CHECKING:
    from edgewright.recipe.route import RouteConfig
    from edgewright.recipe.section import Section
    from tasks.engine.session import Runnable, Session

POLL_S = 0.5
OUTAGE_S = 300.0
"""So long a server may be silent while a child runs: a restart takes a minute."""
_MOST_ATTEMPTS = 100
_MOST_BEGINNINGS = 3
"""So often a child may die before it begins, of a server that was just ended, or with its worker."""
_PREFIX = "Flow run encountered an exception: "
T = TypeVar("T")


class NoWorker(StageFailed):
    """No worker took the work in time."""


@dataclass(frozen=True)
class _Order:
    """One stage's work, as a deployment is asked for it."""

    stage: str
    title: str
    pool: str
    parameters: Mapping[str, Any]
    identity: str

    @property
    def deployment(self) -> str:
        return f"{self.stage}/{self.pool}"

    def attempt(self, number: int) -> str:
        """The idempotency key of the numbered attempt, counted from 0."""
        return f"{self.identity}:{self.pool}:{number}"


class PoolsRouter:
    """Dispatches, and waits. One for a process; `stop` ends every wait of it and cancels what is waited for."""

    name = "pools"

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def begin(self) -> None:
        self._stopping.clear()

    def stop(self) -> None:
        self._stopping.set()

    def run(self, stage: Runnable, config: Section, inputs: dict[str, Any], *, session: Session, key: str) -> Ran:
        """Raises what the child raised; NoWorker, StageFailed, InputError, StoreUnavailable."""
        if self._stopping.is_set():
            raise StageFailed("the run was interrupted before this stage began", where=stage.title)
        told = {"key": key, "refresh": stage.name in session.refresh, "task_run": _task_run(), "tier": stage.tier}
        link = session.link.model_copy(update=told)
        parameters = {"config": config, **inputs, "link": link}
        identity = sha256_bytes(canonical_json([session.link.run_id, stage.name, key]))[:24]
        asked = {name: plain(value) for name, value in parameters.items()}
        orders = [_Order(stage.name, stage.title, pool, asked, identity) for pool in pools_for(stage, session.route)]
        if len(orders) > 1:  # a parent that was killed may have fallen back already
            orders.sort(key=lambda order: not self._is_at_work(order))
        for number, order in enumerate(orders):
            try:
                # Prefect's client asks again for minutes, deaf to an interruption: here `_patiently` does.
                with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                    return self._run_in(order, session)
            except NoWorker as error:
                if number + 1 == len(orders):
                    raise
                run_log().warning("%s; falling back to pool %s", error.what, orders[number + 1].pool)
        raise AssertionError("a stage has a pool")

    def _run_in(self, order: _Order, session: Session) -> Ran:
        for beginning in range(_MOST_BEGINNINGS):
            child = self._dispatched(order, session)
            run_log().info("%s: flow run %s in pool %s", order.title, child.name, order.pool)
            session.observer.stage_progress(order.title, 0, 0, f"pool {order.pool}, flow run {child.name}")
            child = self._ended(child.id, order, start_within_s=session.route.start_timeout_s)
            if not (never_began(child) and beginning + 1 < _MOST_BEGINNINGS):
                break
            run_log().warning("%s: flow run %s died before it began; once more", order.title, child.name)
        state = cast("State[Any]", child.state)
        ref = session.store.recall(attempt_key(child.id)) if may_have_made(state) else None
        if ref is None:
            raise failure(state, order.title, order.pool, name=child.name)
        made = session.store.manifest(ref.sha256).record
        where = {"router": self.name, "host": made.host, "device": made.device, "pool": order.pool}
        return Ran(ref, {**where, "flow_run": str(child.id)})

    def _is_at_work(self, order: _Order) -> bool:
        """Whether a child of this work has begun in this pool, and has not ended."""
        keys = FlowRunFilterIdempotencyKey(any_=[order.attempt(number) for number in range(_MOST_BEGINNINGS)])
        with get_client(sync_client=True) as client:
            found = self._patiently(lambda: client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=keys)))
        return any(run.state is not None and run.state.is_running() for run in found)

    def _dispatched(self, order: _Order, session: Session) -> FlowRun:
        """The live child of this work, or the one that has made it, or a new one."""
        for number in range(_MOST_ATTEMPTS):
            child = self._asked(order, number)
            state = child.state
            if state is None or not state.is_final():
                return child
            if may_have_made(state) and session.store.recall(attempt_key(child.id)) is not None:
                return child
        raise StageFailed("this work has failed too often in this run", got=_MOST_ATTEMPTS, where=order.deployment)

    def _asked(self, order: _Order, number: int) -> FlowRun:
        try:
            asked = self._patiently(
                lambda: run_deployment(
                    order.deployment,
                    parameters=dict(order.parameters),
                    timeout=0,
                    idempotency_key=order.attempt(number),
                    tags=[f"pool:{order.pool}"],
                )
            )
            return cast(FlowRun, asked)
        except ObjectNotFound as error:
            raise InputError(
                "the Prefect server knows no such deployment",
                expected=order.deployment,
                where="EDGEWRIGHT_ROUTER=pools",
                next_step="`edgewright up` deploys all of them, or set EDGEWRIGHT_ROUTER=inline",
            ) from error

    def _ended(self, child: UUID, order: _Order, *, start_within_s: float) -> FlowRun:
        """The child in its last state. It waits for a worker that is online, however long; not for one that is not
        there. While the server is silent no worker can be heard of: that time does not count."""
        alone_s = 0.0
        with get_client(sync_client=True) as client, self._cancelling(client, child):
            while True:
                found = self._patiently(lambda: client.read_flow_run(child))
                state = found.state
                if state is not None and state.is_final():
                    return found
                begun = state is not None and not (state.is_scheduled() or state.is_pending())
                if begun or self._patiently(lambda: has_worker(client, order.pool)):
                    alone_s = 0.0
                elif (alone_s := alone_s + POLL_S) > start_within_s:
                    self._patiently(lambda: _cancel(client, child))
                    raise NoWorker(
                        f"no worker is online in pool {order.pool}",
                        expected=f"one within {start_within_s:.0f} s",
                        where=order.deployment,
                        next_step=f"prefect worker start --pool {order.pool}, or set route.fallback",
                    )
                if self._stopping.wait(POLL_S):
                    raise StageFailed("the run was interrupted while it waited", where=order.deployment)

    @contextmanager
    def _cancelling(self, client: SyncPrefectClient, child: UUID) -> Iterator[None]:
        """An interrupted run leaves no child behind."""
        try:
            yield
        finally:
            if self._stopping.is_set():
                _cancel(client, child)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask again while the server does not answer. Raises StoreUnavailable after OUTAGE_S."""
        until = time.monotonic() + OUTAGE_S
        while True:
            try:
                return ask()
            except (httpx.TransportError, httpx.HTTPStatusError, OSError) as error:
                if _is_refusal(error) or self._stopping.is_set():
                    raise
                if time.monotonic() > until:
                    raise StoreUnavailable(
                        "the Prefect server does not answer any more",
                        expected=f"an answer within {OUTAGE_S:.0f} s",
                        got=type(error).__name__,
                        next_step="the same command goes on where this one ended, with the same child",
                    ) from error
                self._stopping.wait(POLL_S)


def pools_for(stage: Runnable, route: RouteConfig) -> list[str]:
    """Where a stage may be sent, in order: its own pool, and the one to fall back to where it is one of its pools."""
    return [stage.pool, *(pool for pool in stage.pools[1:] if pool == route.fallback)]


def plain(value: Any) -> Any:
    """A stage's argument as the JSON that its deployment reads it from."""
    if isinstance(value, ArtifactRef):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def has_worker(client: SyncPrefectClient, pool: str) -> bool:
    return any(worker.status is WorkerStatus.ONLINE for worker in client.read_workers_for_work_pool(pool))


def failure(state: State[Any], stage: str, pool: str, *, name: str) -> Exception:
    """What ended a child, as it would have been raised here; never None, also for a child that made nothing."""
    message = state.message or ""
    if state.is_failed() and message.startswith(_PREFIX):
        kind, _, text = message.removeprefix(_PREFIX).partition(": ")
        return as_it_was(kind, text)
    what = "was cancelled" if state.is_cancelled() else "ended without a result"
    return StageFailed(
        f"{stage} {what}",
        got=f"{state.name}: {message}" if message else state.name,
        where=f"pool {pool}, flow run {name}",
        next_step="the same command dispatches it again; its log is on the flow run's page in Prefect",
    )


def never_began(child: FlowRun) -> bool:
    """Whether it died before it was running, when Prefect takes its end for its beginning: nothing has run."""
    return child.state is not None and child.state.is_crashed() and child.start_time in (None, child.end_time)


def may_have_made(state: State[Any]) -> bool:
    """One that crashed may have made everything, and could not say so: the store knows."""
    return state.is_completed() or state.is_crashed()


def _task_run() -> str:
    context = TaskRunContext.get()
    return str(context.task_run.id) if context else ""


def _cancel(client: SyncPrefectClient, child: UUID) -> None:
    client.set_flow_run_state(child, Cancelling(message="its run was ended"))


def _is_refusal(error: Exception) -> bool:
    """An answer that asking again does not change."""
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code < httpx.codes.INTERNAL_SERVER_ERROR
