"""Ports of this machine: one that is free, and whether one that was asked for is.

Refuses a port that another program has, before anything is started: it would be taken for ours as soon as it answers.
"""

from __future__ import annotations

import errno
import socket

from edgewright.errors import InputError
from edgewright.processes import listening_on

_PORTS = range(1, 65_536)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free_port(port: int, *, option: str) -> None:
    """Raises InputError where a server could not listen on it."""
    if port not in _PORTS:
        raise InputError("not a port", expected=f"1 to {_PORTS[-1]}", got=port, where=option)
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port just left is free
            probe.bind(("127.0.0.1", port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise InputError(
            f"port {port} is taken" if taken else f"port {port} cannot be used",
            got=(listening_on(port) or "another program") if taken else error.strerror,
            where=f"127.0.0.1:{port}",
            next_step=f"end that program, or give another {option}",
        ) from error
