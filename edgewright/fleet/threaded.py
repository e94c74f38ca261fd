"""A uvicorn server in a thread of this process, until its block ends.

Decides that its sockets wait for no acknowledgment. Refuses a port that cannot be had.

    with bound("127.0.0.1", 0) as found, serving(config, found):
        ...
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from edgewright.errors import StoreUnavailable
from edgewright.release.server import port_refused

_BEGUN_WITHIN_S = 10.0


@contextmanager
def serving(config: uvicorn.Config, found: socket.socket) -> Iterator[None]:
    """Raises StoreUnavailable where it does not begin."""
    server = uvicorn.Server(config)
    thread = threading.Thread(target=_serve, args=(server, found), daemon=True)
    thread.start()
    try:
        _await_begun(server, thread)
        yield
    finally:
        server.should_exit = True
        thread.join()


def _serve(server: uvicorn.Server, bound: socket.socket) -> None:
    asyncio.run(server.serve(sockets=[bound]))


def _await_begun(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _BEGUN_WITHIN_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise StoreUnavailable("the collector does not begin")
        time.sleep(0.01)


def bound(host: str, port: int) -> socket.socket:
    """Listening; port 0 takes a free one. Raises StoreUnavailable: it cannot be had."""
    family: Any = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, port), family=family, backlog=2048)
        # Handed on to each connection. asyncio sets it on sockets alone that say IPPROTO_TCP, which these do not, and
        # what follows TLS's tickets would wait 40 ms for an acknowledgment.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
    except OSError as error:
        raise port_refused(error, host=host, port=port) from error
