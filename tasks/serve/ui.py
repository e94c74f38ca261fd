"""`edgewright ui`: MLflow and the Prefect server, on this home, on 127.0.0.1.

Decides that what the environment names elsewhere is shown and not served. Refuses to begin where a port is taken: what
would answer there is another program.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edgewright.addresses import shown
from edgewright.errors import InputError, StageFailed
from edgewright.settings import Settings
from tasks.engine.links import mlflow_experiments
from tasks.engine.services import require_services, told_of_profile
from tasks.serve.mlflow_server import is_elsewhere, log_of, mlflow_server
from tasks.serve.ports import require_free_port
from tasks.serve.prefect_server import Standing, live_server, prefect_server

_LOOK_EVERY_S = 0.5


def serve_interfaces(settings: Settings, *, mlflow_port: int, prefect_port: int, say: Callable[[str], None]) -> None:
    """Serve both until Ctrl-C or SIGTERM; say where, once both answer.

    Raises:
        InputError: a port is taken. StageFailed: MLflow ends by itself.
        StoreUnavailable: Prefect does not start, or what the environment names does not answer.
    """
    require_services(settings)
    require_ports(settings, mlflow_port=mlflow_port, prefect_port=prefect_port)
    if said := told_of_profile(settings):
        say(said)
    with (
        prefect_server(settings, port=prefect_port, standing=Standing()) as prefect,
        mlflow_server(settings, port=mlflow_port) as mlflow,
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
            raise StageFailed("MLflow ended by itself", next_step=f"see {log_of(settings)}")
        except KeyboardInterrupt:
            say("ending")


def require_ports(settings: Settings, *, mlflow_port: int, prefect_port: int) -> None:
    """Those that servers will be started on. Raises InputError."""
    wanted = {} if is_elsewhere(settings) else {"--mlflow-port": mlflow_port}
    if not settings.prefect_api_url and live_server(settings.home) is None:
        wanted["--prefect-port"] = prefect_port
    if len(set(wanted.values())) < len(wanted):
        raise InputError("MLflow and Prefect need a port each", got=" and ".join(map(str, wanted.values())))
    for option, port in wanted.items():
        require_free_port(port, option=option)
