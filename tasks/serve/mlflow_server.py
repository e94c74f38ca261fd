"""The home's own MLflow server, on this machine, over the home's database or one that is named.

Decides its command, and that it is begun again by the same one. Refuses nothing: ports are looked at by who starts it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgewright.settings import Settings
from tasks.serve.kept import Kept
from tasks.serve.prefect_server import answers, die_with_parent

_STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class MLflowServer:
    """The home's own, started here; or the one that the environment names, which has answered already."""

    url: str
    kept: Kept | None

    @property
    def lives(self) -> bool:
        return self.kept is None or self.kept.lives

    @property
    def answers(self) -> bool:
        return self.kept is None or answers(self.url)

    def look_after(self, say: Callable[[str], None]) -> None:
        """Raises StageFailed where it ends again and again."""
        if self.kept is not None:
            self.kept.look_after(say)


def is_elsewhere(settings: Settings) -> bool:
    return settings.mlflow_tracking_uri.startswith(("http://", "https://"))


def log_of(settings: Settings) -> Path:
    return settings.home / "mlflow" / "server.log"


@contextmanager
def mlflow_server(settings: Settings, *, port: int) -> Iterator[MLflowServer]:
    """In this block; nothing is started where the environment names another."""
    if is_elsewhere(settings):
        yield MLflowServer(settings.mlflow_tracking_uri, None)
        return
    log = log_of(settings)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    kept = Kept("MLflow", lambda: _start(settings, port=port, log=log), log=log)
    try:
        yield MLflowServer(f"http://127.0.0.1:{port}", kept)
    finally:
        kept.end(within_s=_STOP_TIMEOUT_S)


def _start(settings: Settings, *, port: int, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    store = ["--backend-store-uri", settings.mlflow_tracking_uri, "--workers", "1"]
    artifacts = ["--artifacts-destination", str(settings.home / "mlflow" / "artifacts")]
    with log.open("ab") as stream:
        return subprocess.Popen(
            [*command, *store, *artifacts],
            stdout=stream,
            stderr=stream,
            preexec_fn=die_with_parent,
            process_group=0,
        )
