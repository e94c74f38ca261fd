"""`edgewright ui`: MLflow and the Prefect server, on this home, on 127.0.0.1.

Decides that what the environment names elsewhere is shown and not served. Refuses to begin where a port is taken: what
would answer there is another program.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgewright.addresses import shown
from edgewright.errors import InputError, StageFailed
from edgewright.processes import end_children
from edgewright.settings import Settings
from tasks.engine.links import mlflow_experiments
from tasks.engine.services import require_services, told_of_profile
from tasks.serve.ports import require_free_port
from tasks.serve.prefect_server import answers, die_with_parent, live_server, prefect_server

_LOOK_EVERY_S = 0.5
_STOP_TIMEOUT_S = 10.0


def serve_interfaces(settings: Settings, *, mlflow_port: int, prefect_port: int, say: Callable[[str], None]) -> None:
    """Serve both until Ctrl-C or SIGTERM; say where, once both answer.

    Raises:
        InputError: a port is taken. StageFailed: MLflow ends by itself.
        StoreUnavailable: Prefect does not start, or what the environment names does not answer.
    """
    require_services(settings)
    _require_ports(settings, mlflow_port=mlflow_port, prefect_port=prefect_port)
    if said := told_of_profile(settings):
        say(said)
    with (
        prefect_server(settings, port=prefect_port, services=True) as prefect,
        _mlflow(settings, mlflow_port) as mlflow,
    ):
        try:
            say("starting")
            prefect.wait()
            said_where = False
            while mlflow.lives:
                if not said_where and mlflow.answers:
                    said_where = True
                    say(f"Prefect  {shown(prefect.api_url).removesuffix('/api')}")
                    say(f"MLflow   {mlflow_experiments(shown(mlflow.url))}")
                    say("Ctrl-C ends both")
                time.sleep(_LOOK_EVERY_S)
            raise StageFailed("MLflow ended by itself", next_step=f"see {_log(settings)}")
        except KeyboardInterrupt:
            say("ending")


@dataclass(frozen=True)
class _MLflow:
    """The home's own, started here; or the one that the environment names, which has answered already."""

    url: str
    process: subprocess.Popen[bytes] | None

    @property
    def lives(self) -> bool:
        return self.process is None or self.process.poll() is None

    @property
    def answers(self) -> bool:
        return self.process is None or answers(self.url)


@contextmanager
def _mlflow(settings: Settings, port: int) -> Iterator[_MLflow]:
    if _elsewhere(settings):
        yield _MLflow(settings.mlflow_tracking_uri, None)
        return
    _log(settings).parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    store = ["--backend-store-uri", settings.mlflow_tracking_uri, "--workers", "1"]
    artifacts = ["--artifacts-destination", str(settings.home / "mlflow" / "artifacts")]
    with _log(settings).open("wb") as stream:
        process = subprocess.Popen(
            [*command, *store, *artifacts],
            stdout=stream,
            stderr=stream,
            preexec_fn=die_with_parent,
            process_group=0,
        )
    try:
        yield _MLflow(f"http://127.0.0.1:{port}", process)
    finally:
        end_children([process], within_s=_STOP_TIMEOUT_S)


def _require_ports(settings: Settings, *, mlflow_port: int, prefect_port: int) -> None:
    """Those that servers will be started on. Raises InputError."""
    wanted = {} if _elsewhere(settings) else {"--mlflow-port": mlflow_port}
    if not settings.prefect_api_url and live_server(settings.home) is None:
        wanted["--prefect-port"] = prefect_port
    if len(set(wanted.values())) < len(wanted):
        raise InputError("MLflow and Prefect need a port each", got=" and ".join(map(str, wanted.values())))
    for option, port in wanted.items():
        require_free_port(port, option=option)


def _elsewhere(settings: Settings) -> bool:
    return settings.mlflow_tracking_uri.startswith(("http://", "https://"))


def _log(settings: Settings) -> Path:
    return settings.home / "mlflow" / "server.log"
