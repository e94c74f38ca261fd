"""Who may reach the servers of `edgewright up`: this machine alone, or others with a password.

Decides that an address that others can reach is served only where both servers ask for a password, and says each time
that plain HTTP carries it. Refuses such an address without. The passwords are the servers' own: Prefect's
PREFECT_SERVER_API_AUTH_STRING, MLflow's MLFLOW_AUTH_ADMIN_PASSWORD.
"""

from __future__ import annotations

import socket
from importlib.util import find_spec

from edgewright.addresses import is_loopback
from edgewright.errors import InputError
from edgewright.settings import MLFLOW_PASSWORD, PREFECT_PASSWORD, Passwords

LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - recognized, not bound


def require_guarded(host: str, passwords: Passwords) -> str:
    """What to say of a `host` that is served on; "" for this machine's own.

    Raises:
        InputError: others can reach it, and a server would let them in.
    """
    if passwords.mlflow and find_spec("flask_wtf") is None:
        raise InputError(
            "MLflow's authentication needs a package that is not installed",
            where=MLFLOW_PASSWORD,
            next_step="pip install 'edgewright[auth]'",
        )
    if is_loopback(f"http://{_bracketed(host)}"):
        return ""
    missing = [
        name for name, told in ((PREFECT_PASSWORD, passwords.prefect), (MLFLOW_PASSWORD, passwords.mlflow)) if not told
    ]
    if missing:
        raise InputError(
            "others could reach these servers, and would be let in",
            expected=f"{LOOPBACK}, or a password for both",
            got=f"--host {host} without {' and '.join(missing)}",
            next_step=f"export {PREFECT_PASSWORD}=USER:PASSWORD {MLFLOW_PASSWORD}=PASSWORD, for clients too",
        )
    return f"{host} is served over plain HTTP: whoever listens reads the passwords. Put a proxy with TLS before it"


def local_name(host: str) -> str:
    """The name by which this machine reaches a server that listens on `host`."""
    return LOOPBACK if host in EVERYWHERE else _bracketed(host)


def told_name(host: str) -> str:
    """The name by which others reach it."""
    return socket.getfqdn() if host in EVERYWHERE else _bracketed(host)


def allowed_hosts(host: str, port: int) -> str:
    """For MLflow, which answers 403 to a Host header that it does not know; with and without the port."""
    names = dict.fromkeys(("localhost", LOOPBACK, local_name(host), told_name(host), socket.gethostname()))
    return ",".join(text for name in names for text in (name, f"{name}:{port}"))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
