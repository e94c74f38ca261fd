"""`edgewright ui`: MLflow and the Prefect server, on this home, on 127.0.0.1."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from edgewright.errors import StageFailed
from edgewright.settings import Settings
from tasks.server import prefect_server

_LOOK_EVERY_S = 0.5


def serve_interfaces(settings: Settings, *, mlflow_port: int, prefect_port: int, say: Callable[[str], None]) -> None:
    """Serve both until Ctrl-C. Raises StageFailed where one of them ends by itself."""
    log = settings.home / "mlflow" / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(mlflow_port)]
    store = ["--backend-store-uri", settings.mlflow_tracking_uri, "--workers", "1"]
    artifacts = ["--artifacts-destination", str(settings.home / "mlflow" / "artifacts")]
    with (
        prefect_server(settings, port=prefect_port, services=True) as prefect,
        log.open("wb") as stream,
        subprocess.Popen([*command, *store, *artifacts], stdout=stream, stderr=stream, process_group=0) as mlflow,
    ):
        try:
            prefect.wait()
            say(f"Prefect  {prefect.api_url.removesuffix('/api')}")
            say(f"MLflow   http://127.0.0.1:{mlflow_port}")
            say("Ctrl-C ends both")
            while mlflow.poll() is None:
                time.sleep(_LOOK_EVERY_S)
            raise StageFailed("MLflow ended by itself", next_step=f"see {log}")
        except KeyboardInterrupt:
            say("ending")
        finally:
            mlflow.terminate()
