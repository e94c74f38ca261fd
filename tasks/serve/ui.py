"""`edgewright ui`: MLflow and the Prefect server, on this home, on 127.0.0.1."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from edgewright.errors import StageFailed
from edgewright.settings import Settings
from tasks.engine.links import mlflow_experiments
from tasks.serve.prefect_server import answers, die_with_parent, prefect_server

_LOOK_EVERY_S = 0.5


def serve_interfaces(settings: Settings, *, mlflow_port: int, prefect_port: int, say: Callable[[str], None]) -> None:
    """Serve both until Ctrl-C or SIGTERM; say where, once both answer.

    Raises:
        StageFailed: MLflow ends by itself. StoreUnavailable: Prefect does not start.
    """
    mlflow_url = f"http://127.0.0.1:{mlflow_port}"
    log = settings.home / "mlflow" / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(mlflow_port)]
    store = ["--backend-store-uri", settings.mlflow_tracking_uri, "--workers", "1"]
    artifacts = ["--artifacts-destination", str(settings.home / "mlflow" / "artifacts")]
    with (
        prefect_server(settings, port=prefect_port, services=True) as prefect,
        log.open("wb") as stream,
        subprocess.Popen(
            [*command, *store, *artifacts],
            stdout=stream,
            stderr=stream,
            preexec_fn=die_with_parent,
            process_group=0,
        ) as mlflow,
    ):
        try:
            say("starting")
            prefect.wait()
            said = False
            while mlflow.poll() is None:
                if not said and answers(mlflow_url):
                    said = True
                    say(f"Prefect  {prefect.api_url.removesuffix('/api')}")
                    say(f"MLflow   {mlflow_experiments(mlflow_url)}")
                    say("Ctrl-C ends both")
                time.sleep(_LOOK_EVERY_S)
            raise StageFailed("MLflow ended by itself", next_step=f"see {log}")
        except KeyboardInterrupt:
            say("ending")
        finally:
            mlflow.terminate()
