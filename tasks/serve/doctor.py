"""`edgewright doctor`: what a run would need, asked piece by piece, each failure with its cure.

Decides what is looked at: installed versions, free space, the servers, their clocks and their WebSocket, of a home with
a fleet its collector, work pools with limits and workers, and a word that each pool's worker writes into the store and
this machine reads there. Changes nothing but that. Refuses to guess: what could not be asked because something before
it failed is not said to be well.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import WorkPool
from prefect.deployments import run_deployment
from prefect.events.clients import PrefectEventsClient
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled
from websockets.exceptions import WebSocketException

from edgewright.addresses import Proxy, shown, why
from edgewright.artifacts import Content, Record, Store, require_store, sha256_bytes
from edgewright.errors import EdgewrightError, StageFailed
from edgewright.settings import Settings
from tasks.engine.pools import has_worker
from tasks.engine.probe import PROBE_FILE
from tasks.engine.ran import attempt_key
from tasks.engine.run import store_of
from tasks.engine.services import MLFLOW, Answer, ask, require_services
from tasks.engine.session import MIN_FREE_BYTES
from tasks.engine.stage import POOLS
from tasks.serve.collector import has_fleet, require_collector, where_of
from tasks.serve.prefect_server import standing_server
from tasks.serve.workers import CONTROL

MOST_SKEW_S = 30.0
"""Signatures live for days and tokens for minutes; schedules and heartbeats are compared in seconds."""
_WORD = "doctor"
_PROBE_WITHIN_S = 90.0
_ANSWER_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it is well, what was seen, and what to do where it is not."""

    name: str
    well: bool
    said: str
    cure: str = ""


def examine(settings: Settings, *, pools: Sequence[str] = POOLS) -> Iterator[Finding]:
    """Findings, as they are made. What needs a server that is not there is left out; that it is not there is said."""
    yield from _versions()
    yield _free("home", shutil.disk_usage(settings.home).free)
    store = store_of(settings)
    if (free := store.free_bytes()) is not None:
        yield _free(f"store {settings.store}", free)
    yield _looked_at("store", lambda: _round_trip(store))
    yield _looked_at("MLflow", lambda: _mlflow(settings))
    if has_fleet(settings):
        yield _looked_at("collector", lambda: _collector(settings))
    try:
        with standing_server(settings) as server:
            yield Finding("Prefect", True, shown(server.api_url))
            health = f"{server.api_url}/health"
            yield _clock("Prefect", health, proxy=settings.proxy_to(health))
            yield _looked_at("WebSocket", lambda: _websocket(server.api_url))
            with get_client(sync_client=True) as client:
                for pool in pools:
                    yield from _pool(client, pool, store)
    except EdgewrightError as error:
        yield Finding("Prefect", False, error.what, error.next_step or "")


def _looked_at(name: str, look: Callable[[], str]) -> Finding:
    """A look that says what it saw, or raises."""
    try:
        return Finding(name, True, look())
    except EdgewrightError as error:
        return Finding(name, False, str(error).partition(". Next:")[0], error.next_step or "")


def _versions() -> Iterator[Finding]:
    """Every distribution that this installation's own metadata ask for, extras that are here included."""
    wrong = []
    for text in requires("edgewright") or ():
        wanted = Requirement(text)
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            if wanted.marker is None:
                wrong.append(f"{wanted.name} is not installed")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} {found}, expected {wanted.specifier}")
    said = "; ".join(wrong) or f"edgewright {version('edgewright')}, every library in its range"
    yield Finding("versions", not wrong, said, "pip install -c constraints.txt 'edgewright[…]'" if wrong else "")


def _free(name: str, free: int) -> Finding:
    well = free >= MIN_FREE_BYTES
    cure = "" if well else "edgewright gc --keep N, or a larger disk"
    return Finding(f"space in {name}", well, f"{free / 1e9:.1f} GB free", cure)


def _round_trip(store: Store) -> str:
    """An artifact of a few bytes, the same each time, and a key to it: written and read."""
    began = time.monotonic()
    require_store(store.uri)
    with store.workspace() as out:
        (out / PROBE_FILE).write_text(_WORD)
        ref = store.publish(out, Content(kind="probe", stage="probe", config={"word": _WORD}), Record())
    store.remember(sha256_bytes(_WORD.encode()), ref)
    found = store.recall(sha256_bytes(_WORD.encode()))
    if found is None or store.open(found).path(PROBE_FILE).read_text() != _WORD:
        raise StageFailed("the store does not give back what was written", where=store.uri)
    return f"{store.uri} answers in {(time.monotonic() - began) * 1e3:.0f} ms"


def _mlflow(settings: Settings) -> str:
    """Its own look at the Host header included: behind a proxy it answers 403 to a name that it does not know."""
    url = settings.mlflow_tracking_uri
    require_services(settings, [MLFLOW])
    if not url.startswith(("http://", "https://")):
        return shown(url)
    answer = _ask(
        f"{url.rstrip('/')}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default",
        proxy=settings.proxy_to(url),
    )
    if answer.status == HTTPStatus.FORBIDDEN and b"host" in answer.body.lower():
        cure = "start it with --allowed-hosts NAME,NAME:PORT"
        raise StageFailed("MLflow does not know itself by this name", where=shown(url), next_step=cure)
    if answer.status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED):
        _log_in(url)
    return shown(url)


def _collector(settings: Settings) -> str:
    """As devices find it; in a home without a fleet nobody looks for one."""
    where = where_of(settings)
    require_collector(settings, where)
    return where.url


def _log_in(url: str) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        MlflowClient(url).search_experiments(max_results=1)
    except MlflowException as error:
        cure = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        raise StageFailed(
            "MLflow does not let us in", got=error.message[:120], where=shown(url), next_step=cure
        ) from error


def _clock(name: str, url: str, *, proxy: Proxy | None = None) -> Finding:
    """This machine's clock beside the server's."""
    try:
        told = _ask(url, proxy=proxy).date
    except EdgewrightError as error:
        return Finding(f"clock of {name}", False, error.what, "see that the server is well")
    if not told:
        return Finding(f"clock of {name}", True, "the server does not tell its time")
    skew = abs((datetime.now(UTC) - parsedate_to_datetime(told)).total_seconds())
    well = skew <= MOST_SKEW_S
    return Finding(f"clock of {name}", well, f"{skew:.0f} s apart", "" if well else "set both clocks by NTP")


def _ask(url: str, *, proxy: Proxy | None) -> Answer:
    query = f"?{url.partition('?')[2]}" if "?" in url else ""
    try:
        return ask(shown(url) + query, within_s=_ANSWER_WITHIN_S, proxy=proxy)
    except (OSError, HTTPException) as error:
        raise StageFailed("no answer", got=why(error), where=shown(url)) from error


def _websocket(api_url: str) -> str:
    """Task runs travel as events over it: where a proxy does not let it pass they vanish from the pages."""
    try:
        asyncio.run(_say_nothing())
    except (OSError, WebSocketException, TimeoutError) as error:
        raise StageFailed(
            "events do not pass",
            got=why(error) if isinstance(error, OSError) else str(error),
            where=shown(api_url),
            next_step="let WebSockets pass the proxy: Connection and Upgrade headers on /api/events",
        ) from error
    return "events pass"


async def _say_nothing() -> None:
    """Prefect's own connection for events, made and closed."""
    async with asyncio.timeout(_ANSWER_WITHIN_S), PrefectEventsClient(reconnection_attempts=0):
        pass


def _pool(client: SyncPrefectClient, pool: str, store: Store) -> Iterator[Finding]:
    name = f"pool {pool}"
    try:
        found: WorkPool = client.read_work_pool(pool)
    except ObjectNotFound:
        yield Finding(name, False, "there is none", "edgewright up makes it, or prefect work-pool create")
        return
    if found.concurrency_limit is None and pool != CONTROL:
        cure = f"prefect work-pool set-concurrency-limit {pool} DEVICES"
        yield Finding(name, False, "no limit: more stages would run at once than there are devices", cure)
    if not has_worker(client, pool):
        yield Finding(name, False, "no worker is online", f"prefect worker start --pool {pool}")
        return
    yield _looked_at(name, lambda: _probed(client, pool, store))


def _probed(client: SyncPrefectClient, pool: str, store: Store) -> str:
    """A word sent to the pool and read from the store."""
    word, began = secrets.token_hex(8), time.monotonic()
    try:
        run = run_deployment(f"probe/{pool}", parameters={"word": word}, timeout=0, as_subflow=False)
    except ObjectNotFound as error:
        raise StageFailed("no probe is deployed there", next_step="edgewright up deploys it") from error
    while time.monotonic() - began < _PROBE_WITHIN_S:
        state = client.read_flow_run(run.id).state  # type: ignore[union-attr]
        if state is not None and state.is_final():
            break
        time.sleep(_LOOK_EVERY_S)
    if state is not None and state.is_scheduled():
        client.set_flow_run_state(run.id, Cancelled(message="nobody waits any more"))  # type: ignore[union-attr]
        return "a worker is online, and every place is taken: whether it reaches the store was not asked"
    ref = store.recall(attempt_key(run.id))  # type: ignore[union-attr]
    if ref is None or store.open(ref).path(PROBE_FILE).read_text() != word:
        raise StageFailed(
            "its worker does not write where this machine reads",
            got=f"{state.name}: {state.message or ''}" if state else "nothing",
            where=store.uri,
            next_step="give both the same EDGEWRIGHT_STORE, and the worker a way to it; its log says more",
        )
    made = store.manifest(ref.sha256).record
    return f"{made.host}, {made.device}, the word was back after {time.monotonic() - began:.1f} s"
