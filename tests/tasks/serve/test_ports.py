"""A port that another program has is refused, with its name, before anything is started."""

from __future__ import annotations

import os
import socket

import pytest

from edgewright.errors import InputError
from tasks.serve.ports import free_port, require_free_port


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_taken(address: str) -> None:
    with socket.create_server((address, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} is taken .got process {os.getpid()}, .*another --x-port"):
            require_free_port(port, option="--x-port")
    require_free_port(port, option="--x-port")


def test_a_port_that_was_just_left_is_free() -> None:
    """Its connections linger for a minute; servers take it all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    require_free_port(port, option="--x-port")
    require_free_port(free_port(), option="--x-port")


@pytest.mark.parametrize("port", [-1, 0, 65_536])
def test_no_port_at_all(port: int) -> None:
    with pytest.raises(InputError, match="1 to 65535"):
        require_free_port(port, option="--x-port")
