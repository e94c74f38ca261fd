"""The home's own Prefect server: one a home, on 127.0.0.1 and over the home's sqlite file unless told otherwise.

Decides which server a run talks to: the one PREFECT_API_URL names, else the live one of this home, else one started
here. A server that outlived its owner is ended by its recorded pid, after its command line and home were verified.
Prefect's profiles and files of settings name no server for a run.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

from edgewright.addresses import Proxy, shown, spare_loopback
from edgewright.errors import InputError, StoreUnavailable
from edgewright.files import write_atomically
from edgewright.processes import ProcessIdentity, end_process, identity_of, is_alive, runs
from edgewright.settings import Settings
from tasks.engine.services import PREFECT, ask, require_services
from tasks.serve.guarded import LOOPBACK, local_name, told_name
from tasks.serve.kept import Kept
from tasks.serve.ports import free_port

_RECORD_FILE = "server.json"
_WELL = (b"true", b"OK")
_FACTORY = "tasks.serve.app:create_app"
START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 10.0
_DELIVERY_S = 10.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ServerRecord:
    """What `prefect/server.json` says of a server that was started in this home.

    Attributes:
        began_s, owner_began_s: None in a record of a version that did not write them down.
    """

    pid: int
    port: int
    owner_pid: int
    began_s: float | None = None
    owner_began_s: float | None = None
    host: str = LOOPBACK

    @property
    def process(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, self.began_s)

    @property
    def owner(self) -> ProcessIdentity:
        return ProcessIdentity(self.owner_pid, self.owner_began_s)

    @property
    def url(self) -> str:
        return f"http://{local_name(self.host)}:{self.port}"


@dataclass(frozen=True)
class Standing:
    """A server with schedules and triggers, which others may reach.

    Attributes:
        database: SQLAlchemy's address, or "" for the home's sqlite file.
    """

    host: str = LOOPBACK
    database: str = field(default="", repr=False)


class PrefectServer:
    """A started or found server. `wait` until it answers; `look_after` begins it again if it was started here, `stop`
    ends it."""

    def __init__(self, settings: Settings, *, port: int = 0, standing: Standing | None = None) -> None:
        self._settings = settings
        self._record_path = settings.home / "prefect" / _RECORD_FILE
        self._kept: Kept | None = None
        if settings.prefect_api_url:
            self.api_url = settings.prefect_api_url
            return
        found = live_server(settings.home)
        if found is not None:
            self.api_url = f"{found.url}/api"
            return
        log, port = _log_of(settings.home), port or free_port()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        self._kept = Kept("the Prefect server", lambda: self._begin(port, standing), log=log)
        self.api_url = f"http://{local_name(standing.host if standing else LOOPBACK)}:{port}/api"

    def wait(self) -> None:
        """Raises StoreUnavailable where the server does not answer in time."""
        if self._settings.prefect_api_url:
            require_services(self._settings, [PREFECT])
            return
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.api_url):
            died = self._kept is not None and not self._kept.lives
            if died or time.monotonic() > deadline:
                raise StoreUnavailable(
                    "the Prefect server did not start" if died else "the Prefect server does not answer",
                    where=shown(self.api_url),
                    next_step=f"see {_log_of(self._settings.home)}",
                )
            time.sleep(0.1)

    def look_after(self, say: Callable[[str], None]) -> None:
        """Raises StageFailed where it ends again and again."""
        if self._kept is not None:
            self._kept.look_after(say)

    def stop(self) -> None:
        if self._kept is not None:
            self._kept.end(within_s=_STOP_TIMEOUT_S)
            found = _recorded(self._settings.home)
            if found is not None and found.pid == self._kept.process.pid:
                self._record_path.unlink(missing_ok=True)

    def _begin(self, port: int, standing: Standing | None) -> subprocess.Popen[bytes]:
        """Start it, and write down which process it is: who looks for the home's server finds it by that."""
        process = _start(self._settings.home, port=port, standing=standing)
        server, owner = identity_of(process.pid), identity_of(os.getpid())
        record = ServerRecord(
            process.pid,
            port,
            owner_pid=os.getpid(),
            began_s=server.began_s if server else None,
            owner_began_s=owner.began_s if owner else None,
            host=standing.host if standing else LOOPBACK,
        )
        write_atomically(self._record_path, json.dumps(vars(record)).encode())
        return process


@contextmanager
def prefect_server(settings: Settings, *, port: int = 0, standing: Standing | None = None) -> Iterator[PrefectServer]:
    """Begin to start the home's server (or find it), and end it afterwards if it was started here.

    Args:
        standing: of one that stays; None for one that lives as long as a run.
    """
    server = PrefectServer(settings, port=port, standing=standing)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def standing_server(settings: Settings) -> Iterator[PrefectServer]:
    """The server that the environment names, or the live one of this home; none is started, and flows talk to it here.

    Raises:
        InputError: there is none.
    """
    if not settings.prefect_api_url and live_server(settings.home) is None:
        raise InputError(
            "this needs a Prefect server that stays",
            got="none in this home",
            where=settings.home,
            next_step="edgewright up, or export PREFECT_API_URL=… of another",
        )
    server = PrefectServer(settings)
    server.wait()
    with through(server):
        yield server


@contextmanager
def through(server: PrefectServer) -> Iterator[None]:
    """Flows in this block talk to the server, which has all they said before the block is left.

    Prefect sends logs and task states from background threads; they must finish before the server is ended. They are
    waited for in a thread of our own: where an event loop runs, as in a notebook, Prefect would hand back a promise.
    """
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    try:
        with temporary_settings({PREFECT_API_URL: server.api_url}):
            yield
    finally:
        with ThreadPoolExecutor(1) as apart:
            for service in (EventsWorker, APILogWorker):
                apart.submit(service.drain_all, timeout=_DELIVERY_S).result()


def live_server(home: Path) -> ServerRecord | None:
    """The home's live server with a live owner; one whose owner is dead is ended first."""
    record = _recorded(home)
    if record is None or not is_server_of(record, home):
        return None
    if is_alive(record.owner):
        return record
    end_process(record.process, within_s=_STOP_TIMEOUT_S)
    return None


def _recorded(home: Path) -> ServerRecord | None:
    try:
        return ServerRecord(**json.loads((home / "prefect" / _RECORD_FILE).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _log_of(home: Path) -> Path:
    return home / "prefect" / "server.log"


def _start(home: Path, *, port: int, standing: Standing | None) -> subprocess.Popen[bytes]:
    host = standing.host if standing else LOOPBACK
    command = [sys.executable, "-m", "uvicorn", "--factory", _FACTORY, "--host", host, "--port", str(port)]
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"http://{local_name(host)}:{port}/api",  # its own, whatever a profile or a file here names
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",  # a service that fails says so in the log, and nowhere else
        "PREFECT_UI_API_URL": os.environ.get("PREFECT_UI_API_URL") or f"http://{told_name(host)}:{port}/api",
    }
    if standing is None:  # what Prefect itself starts for a flow without a server: no scheduler, no triggers
        environment |= {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    elif standing.database:
        environment["PREFECT_API_DATABASE_CONNECTION_URL"] = standing.database
    spare_loopback(environment)
    with _log_of(home).open("ab") as stream:
        return subprocess.Popen(
            [*command, "--log-level", "error", "--lifespan", "on"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            preexec_fn=die_with_parent,
            process_group=0,  # Ctrl-C in the terminal is the run's to handle; the run then ends its server
        )


def die_with_parent(by: signal.Signals = signal.SIGTERM) -> None:
    """For `preexec_fn`: Linux ends the server when the run dies, by kill -9 too: prctl(2), PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)


def is_server_of(record: ServerRecord, home: Path) -> bool:
    """Whether the pid still is a Prefect server of this home, and the one that was written down."""
    return runs(record.process, _FACTORY, environment={"PREFECT_HOME": str(home / "prefect")})


def answers(url: str, *, proxy: Proxy | None = None) -> bool:
    """Whether Prefect or MLflow says at `url`/health that it is well; a server of this machine is asked directly."""
    try:
        answer = ask(f"{url}/health", within_s=2, proxy=proxy)
    except (OSError, HTTPException):
        return False
    return answer.status == HTTPStatus.OK and answer.body.strip() in _WELL
