"""The home's own MLflow server, on this machine, over the home's database or one that is named.

Decides its command, by which it is begun again too, that tables of an older MLflow are upgraded before it begins, and
that it asks for a password where one is set. Its addresses and secrets travel in its environment: a command line is for
everybody to read. Refuses nothing: ports are looked at by who starts it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from edgewright.errors import StageFailed
from edgewright.files import write_atomically
from edgewright.settings import Passwords, Settings
from tasks.serve.guarded import LOOPBACK, allowed_hosts, local_name
from tasks.serve.kept import Kept
from tasks.serve.prefect_server import answers, die_with_parent

_STOP_TIMEOUT_S = 10.0
_UPGRADE_WITHIN_S = 300.0
_SQLITE = "sqlite:///"
_TAKE_PASSWORD = """\
from os import environ
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
store = SqlAlchemyStore()
store.init_db(environ["USERS"])
if store.has_user(environ["NAME"]):
    store.update_user(environ["NAME"], password=environ["PASSWORD"])
"""
"""In a process of its own: MLflow builds its whole server when this is imported."""
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
    log = log_of(settings)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    keeping = keeping or Keeping(settings.mlflow_tracking_uri, str(log.parent / "artifacts"))
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    guarded = ["--app-name", "basic-auth"] if settings.passwords.mlflow else []
    environment = _environment(settings, keeping, host=host, port=port)
    kept = Kept("MLflow", lambda: _start([*command, *guarded], environment, log=log), log=log)
    try:
        yield MLflowServer(f"http://{local_name(host)}:{port}", kept)
    finally:
        kept.end(within_s=_STOP_TIMEOUT_S)


def _start(command: list[str], environment: dict[str, str], *, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(
            command,
            env=environment,
            stdout=stream,
            stderr=stream,
            preexec_fn=die_with_parent,
            process_group=0,
        )


def upgrade(tables: str, *, noted: Path) -> None:
    """Bring tables of an older MLflow up to this one's; a note in the file `noted` says for which it was done.

    Raises:
        StageFailed: MLflow's own upgrade failed.
    """
    mine = version("mlflow")
    if noted.exists() and noted.read_text() == mine:
        return
    if tables.startswith(_SQLITE) and not Path(tables.removeprefix(_SQLITE)).exists():
        write_atomically(noted, mine.encode())  # whoever comes first makes them as they are now
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


def take_password(folder: Path, passwords: Passwords) -> None:
    """MLflow takes its administrator's password when it makes them, and never again: here it is told the one of today.

    Args:
        folder: where its `auth.ini` and, once it has been up, its `auth.db` are.

    Raises:
        StageFailed: it does not take it.
    """
    if not (folder / "auth.db").exists():
        return
    told = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "USERS": f"{_SQLITE}{folder}/auth.db",
        "NAME": passwords.mlflow_user,
        "PASSWORD": passwords.mlflow,
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _TAKE_PASSWORD],
        env={**os.environ, **told, "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex()},
        capture_output=True,
        text=True,
        timeout=_UPGRADE_WITHIN_S,
        check=False,
    )
    if done.returncode:
        raise StageFailed("MLflow does not take the password", got=done.stderr.strip()[-300:], where=folder / "auth.db")


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
        take_password(folder, passwords)
        told |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_USERNAME": passwords.mlflow_user,
        }
    return {**defaults, **os.environ, **told}
