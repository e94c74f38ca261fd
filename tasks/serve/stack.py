"""`edgewright up`: Prefect, MLflow, releases, collector and a worker for each pool, on this machine, until it is ended.

Decides the order: servers, until they answer; work pools with their limits; deployments; workers, until they are
online; and only then is the home said to be up. The fleet's collector is among them where it is asked for, or where the
home has a fleet. What ends by itself is begun again. What the environment names elsewhere is used and not started.
Where tables or files do not lie in the home, workers and commands speak to MLflow's server, so that it alone holds the
keys to them. Refuses to bring a home up twice, a port that is taken, and to go on where a server ends again and again.

    bring_up(settings, Stack(), say=print)                  # returns at Ctrl-C
    state_of(settings)                                      # what of it is well, from another process
    take_down(settings)
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgewright.addresses import shown
from edgewright.artifacts import sha256_bytes
from edgewright.errors import EdgewrightError, HomeBusy, InputError, StageFailed, StoreUnavailable
from edgewright.files import try_locked, write_atomically
from edgewright.processes import ProcessIdentity, end_process, identity_of, is_alive
from edgewright.settings import UP_FILE, Settings
from tasks.engine.accelerator import accelerators
from tasks.engine.enforce import close_unanswered
from tasks.engine.links import mlflow_experiments
from tasks.engine.services import require_services
from tasks.engine.stage import POOLS
from tasks.serve.backends import Databases, artifacts_root, prepared
from tasks.serve.collector import require_collector, where_of
from tasks.serve.deploying import deploy, make_pools, set_places
from tasks.serve.guarded import LOOPBACK, require_guarded
from tasks.serve.mlflow_server import Keeping, MLflowServer, is_elsewhere, log_of, mlflow_server, upgrade
from tasks.serve.notify import tell, tell_nobody
from tasks.serve.prefect_server import PrefectServer, Standing, answers, live_server, prefect_server, through
from tasks.serve.reaper import reaping
from tasks.serve.releases import served_beside
from tasks.serve.ui import require_ports
from tasks.serve.watching import Watched, watched_beside
from tasks.serve.workers import CONTROL, Reached, Workers, adopt_orphans, workers_of

_LOCK_FILE = "up.lock"
_LOOK_EVERY_S, _QUESTIONS_EVERY_S = 0.5, 60.0
_READY_WITHIN_S = 120.0
_DOWN_WITHIN_S = 120.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Stack:
    """What is asked for.

    Attributes: collector: wanted; in a home that has a fleet it is served unasked. pages_port: of the fleet's pages.
    """

    prefect_port: int = 4200
    mlflow_port: int = 5000
    pools: tuple[str, ...] = POOLS
    host: str = LOOPBACK
    collector: bool = False
    pages_port: int = 8473

    def __post_init__(self) -> None:
        for pool in self.pools:
            if pool not in POOLS:
                raise InputError("no such pool", expected=", ".join(POOLS), got=pool, where="--pool")


@dataclass(frozen=True)
class Up:
    """What `up.json` says of a home that is up.

    Attributes: collector: where devices find it, fleet_url: the fleet's pages; "" where it is not among what is up.
    """

    pid: int
    began_s: float | None
    prefect_url: str
    mlflow_url: str
    pools: tuple[str, ...]
    tracking_uri: str
    collector: str = ""
    fleet_url: str = ""

    @property
    def process(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, self.began_s)


@dataclass(frozen=True)
class Part:
    """One line of `status`."""

    name: str
    well: bool
    said: str


def bring_up(settings: Settings, stack: Stack, *, say: Say) -> None:
    """Start everything, and stay until Ctrl-C or SIGTERM.

    Raises:
        HomeBusy: the home is up. InputError: a port is taken.
        StoreUnavailable: a server does not answer in time.
        StageFailed: one ends again and again, or deploying failed.
    """
    require_services(settings)
    with try_locked(settings.home / _LOCK_FILE) as free:
        if not free:
            raise HomeBusy("this home is up already", where=settings.home, next_step="edgewright status, or down")
        if live_server(settings.home) is not None:
            raise HomeBusy(
                "a run or `edgewright ui` has a Prefect server of its own here, which ends with it",
                where=settings.home,
                next_step="wait for its end, or use another EDGEWRIGHT_HOME",
            )
        if warning := require_guarded(stack.host, settings.passwords):
            say(warning)
        require_ports(settings, mlflow_port=stack.mlflow_port, prefect_port=stack.prefect_port)
        databases = prepared(settings)
        standing = Standing(stack.host, databases.prefect if databases else "")
        keeping = _keeping(settings, databases)
        with (
            watched_beside(settings, wanted=stack.collector, pages_port=stack.pages_port, say=say) as fleet,
            prefect_server(settings, port=stack.prefect_port, standing=standing) as prefect,
            mlflow_server(settings, port=stack.mlflow_port, host=stack.host, keeping=keeping) as mlflow,
            served_beside(settings, say=say),
        ):
            say("starting the servers")
            prefect.wait()
            _await(lambda: mlflow.answers, what="MLflow", log=log_of(settings))
            with through(prefect), reaping(prefect.api_url):
                say("deploying")
                _bring_there(settings, stack, prefect)
                adopt_orphans()
                tracking = mlflow.url if _is_proxied(settings, databases) else settings.mlflow_tracking_uri
                reached = Reached(prefect.api_url, tracking)
                with workers_of(settings, stack.pools, reached=reached, say=say) as workers:
                    _await(lambda: online(stack.pools) == set(stack.pools), what="a worker", log=workers.log("…"))
                    up = _up(stack, prefect.api_url, mlflow.url, fleet, tracking=tracking)
                    with _recorded(settings, up):
                        for line in ready_lines(up, settings):
                            say(line)
                        try:
                            _look_after(prefect, mlflow, workers, settings=settings, say=say)
                        except KeyboardInterrupt:
                            say("ending")


def _bring_there(settings: Settings, stack: Stack, prefect: PrefectServer) -> None:
    """Pools, deployments and the webhook. On a server that is not the home's own, what others may have set stays."""
    places = {pool: places_in(pool) for pool in POOLS}  # without a worker here too: deployments name them
    make_pools(places)
    deploy(PREFECT_API_URL=prefect.api_url)
    if settings.webhook:
        tell(settings.webhook)
    if not settings.prefect_api_url:
        set_places({pool: places[pool] for pool in stack.pools})
        if not settings.webhook:
            tell_nobody()


def _look_after(
    prefect: PrefectServer, mlflow: MLflowServer, workers: Workers, *, settings: Settings, say: Say
) -> None:
    """Until it is interrupted, or one of them ends again and again."""
    asked_at = time.monotonic()
    while True:
        prefect.look_after(say)
        mlflow.look_after(say)
        workers.look_after()
        if time.monotonic() - asked_at > _QUESTIONS_EVERY_S:  # every run's record is read for it
            asked_at = time.monotonic()
            for run_id in close_unanswered(settings.runs, now_s=time.time()):
                say(f"nobody answered run {run_id} in time: it has ended")
        time.sleep(_LOOK_EVERY_S)


def places_in(pool: str) -> int | None:
    """How many flow runs a pool of this machine takes at once; None: any number."""
    if pool == "gpu":
        return max(1, len(accelerators()))
    return {CONTROL: None, "cpu": max(1, (os.cpu_count() or 1) // 2)}.get(pool, 1)


def online(pools: Sequence[str]) -> set[str]:
    """The pools in which a worker has been heard of lately."""
    from prefect.client.orchestration import get_client

    from tasks.engine.pools import has_worker

    with get_client(sync_client=True) as client:
        return {pool for pool in pools if has_worker(client, pool)}


def ready_lines(up: Up, settings: Settings) -> list[str]:
    """Where everything is, and how a command line uses it."""
    return [
        f"Prefect  {up.prefect_url}",
        f"MLflow   {mlflow_experiments(up.mlflow_url)}",
        *([f"Fleet    {up.fleet_url}, devices find the collector at {up.collector}"] if up.collector else []),
        f"runs of this home go to the workers with: export EDGEWRIGHT_HOME={settings.home} EDGEWRIGHT_ROUTER=pools",
        "Ctrl-C ends all of it",
    ]


def record_of(settings: Settings) -> Up | None:
    """What is up in this home; None where nothing lives."""
    try:
        known = json.loads((settings.home / UP_FILE).read_bytes())
        found = Up(**{**known, "pools": tuple(known["pools"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if is_alive(found.process) else None


def state_of(settings: Settings) -> list[Part]:
    """Every part of what is up; empty where the home is down."""
    found = record_of(settings)
    if found is None:
        return []
    api = f"{found.prefect_url}/api"
    well = answers(api, proxy=settings.proxy_to(api))
    parts = [Part("Prefect", well, found.prefect_url)]
    parts.append(Part("MLflow", answers(found.mlflow_url, proxy=settings.proxy_to(found.mlflow_url)), found.mlflow_url))
    if found.collector:
        parts.append(_collector(settings, found))
    heard = _asked(api, found.pools) if well else set()
    return parts + [
        Part(f"pool {pool}", pool in heard, "online" if pool in heard else "no worker") for pool in found.pools
    ]


def _collector(settings: Settings, found: Up) -> Part:
    try:
        where = where_of(settings)
        require_collector(settings, replace(where, name=where.here))
    except EdgewrightError as error:
        return Part("collector", False, str(error))
    return Part("collector", True, f"{found.collector}, its pages {found.fleet_url}")


def take_down(settings: Settings) -> bool:
    """End what is up in this home; False where nothing was. Raises StageFailed where it does not end."""
    found = record_of(settings)
    if found is None:
        return False
    end_process(found.process, within_s=_DOWN_WITHIN_S)
    if is_alive(found.process):
        raise StageFailed("it did not end", where=f"process {found.pid}")
    return True


def _asked(api: str, pools: Sequence[str]) -> set[str]:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api}):
        return online(pools)


def _keeping(settings: Settings, databases: Databases | None) -> Keeping | None:
    """Where MLflow keeps things, its tables upgraded; None where MLflow is elsewhere."""
    if is_elsewhere(settings):
        return None
    tables = databases.mlflow if databases else settings.mlflow_tracking_uri
    upgrade(tables, noted=log_of(settings).parent / f"upgraded-{sha256_bytes(tables.encode())[:8]}")
    return Keeping(tables, artifacts_root(settings))


def _is_proxied(settings: Settings, databases: Databases | None) -> bool:
    """Whether MLflow's tables or files lie elsewhere than in the home."""
    return databases is not None or settings.store.startswith("s3://")


def _up(stack: Stack, api_url: str, mlflow_url: str, fleet: Watched | None, *, tracking: str) -> Up:
    """What this process is to be known by."""
    me = identity_of(os.getpid())
    return Up(
        pid=os.getpid(),
        began_s=me.began_s if me else None,
        prefect_url=shown(api_url).removesuffix("/api"),
        mlflow_url=shown(mlflow_url),
        pools=stack.pools,
        tracking_uri=tracking,
        collector=fleet.where.url if fleet else "",
        fleet_url=fleet.pages if fleet else "",
    )


@contextmanager
def _recorded(settings: Settings, up: Up) -> Iterator[None]:
    path = settings.home / UP_FILE
    write_atomically(path, json.dumps(asdict(up)).encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _await(ready: Callable[[], bool], *, what: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while not ready():
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"{what} is not there in time", next_step=f"see {log}")
        time.sleep(_LOOK_EVERY_S)
