"""The home's own MLflow server, on this machine, over the home's database or one that is named.

Decides its command, that tables of an older MLflow are upgraded before it begins, and that it asks for a password where
one is set. Its addresses and secrets travel in its environment: a command line is for everybody to read. Refuses
nothing: ports are looked at by who starts it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from edgewright.errors import StageFailed
from edgewright.files import write_atomically
from edgewright.processes import end_children
from edgewright.settings import Settings
from tasks.serve.guarded import LOOPBACK, allowed_hosts, local_name
from tasks.serve.prefect_server import answers, die_with_parent

_STOP_TIMEOUT_S = 10.0
_UPGRADE_WITHIN_S = 300.0
_GUARDED = """\
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{folder}/auth.db
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@dataclass(frozen=True)
class MLflowServer:
    """The home's own, started here; or the one that the environment names, which has answered already."""

    url: str
    process: subprocess.Popen[bytes] | None

    @property
    def lives(self) -> bool:
        return self.process is None or self.process.poll() is None

    @property
    def answers(self) -> bool:
        return self.process is None or answers(self.url)


@dataclass(frozen=True)
class Keeping:
    """Where it keeps what it is told.

    Attributes:
        tables: SQLAlchemy's address of the database.
        files: a folder or `s3://bucket/prefix`.
    """

    tables: str
    files: str


def is_elsewhere(settings: Settings) -> bool:
    return settings.mlflow_tracking_uri.startswith(("http://", "https://"))


def log_of(settings: Settings) -> Path:
    return settings.home / "mlflow" / "server.log"


@contextmanager
def mlflow_server(
    settings: Settings, *, port: int, host: str = LOOPBACK, keeping: Keeping | None = None
) -> Iterator[MLflowServer]:
    """In this block; nothing is started where the environment names another."""
    if is_elsewhere(settings):
        yield MLflowServer(settings.mlflow_tracking_uri, None)
        return
    folder = log_of(settings).parent
    folder.mkdir(parents=True, exist_ok=True)
    kept = keeping or Keeping(settings.mlflow_tracking_uri, str(folder / "artifacts"))
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    guarded = ["--app-name", "basic-auth"] if settings.passwords.mlflow else []
    with log_of(settings).open("wb") as stream:
        process = subprocess.Popen(
            [*command, *guarded],
            env=_environment(settings, kept, host=host, port=port),
            stdout=stream,
            stderr=stream,
            preexec_fn=die_with_parent,
            process_group=0,
        )
    try:
        yield MLflowServer(f"http://{local_name(host)}:{port}", process)
    finally:
        end_children([process], within_s=_STOP_TIMEOUT_S)


def upgrade(tables: str, *, noted: Path) -> None:
    """Bring tables of an older MLflow up to this one's; a note in the file `noted` says for which it was done.

    Raises:
        StageFailed: MLflow's own upgrade failed.
    """
    mine = version("mlflow")
    if noted.exists() and noted.read_text() == mine:
        return
    done = subprocess.run(
        [sys.executable, "-c", "import os; from mlflow.cli import cli; cli(['db', 'upgrade', os.environ['TABLES']])"],
        env={**os.environ, "TABLES": tables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_UPGRADE_WITHIN_S,
        check=False,
    )
    if done.returncode:
        raise StageFailed("MLflow's tables could not be upgraded", got=done.stderr.strip()[-300:], where=noted.parent)
    write_atomically(noted, mine.encode())


def _environment(settings: Settings, kept: Keeping, *, host: str, port: int) -> dict[str, str]:
    """What it is told, and what the user's own variables may say otherwise."""
    passwords, folder = settings.passwords, log_of(settings).parent
    defaults = {
        **({} if host == LOOPBACK else {"MLFLOW_SERVER_ALLOWED_HOSTS": allowed_hosts(host, port)}),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(),
    }
    told = {
        "MLFLOW_TRACKING_URI": kept.tables,
        "MLFLOW_BACKEND_STORE_URI": kept.tables,
        "MLFLOW_ARTIFACTS_DESTINATION": kept.files,
    }
    if passwords.mlflow:
        write_atomically(folder / "auth.ini", _GUARDED.format(folder=folder).encode())
        told |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_USERNAME": passwords.mlflow_user,
        }
    return {**defaults, **os.environ, **told}
