from __future__ import annotations

import signal
import socket
import threading
import time

import pytest

from edgewright.device.process import within
from edgewright.errors import DeviceUnreachable


def test_what_waits_for_a_server_ends() -> None:
    """A socket without a limit of its own, as one that gets a byte now and then."""
    before = signal.getsignal(signal.SIGALRM)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as line,
        pytest.raises(DeviceUnreachable, match=r"the update took too long \(expected at most 0.2 s\)"),
        within(0.2, "the update"),
    ):
        line.recv(1)
    assert signal.getsignal(signal.SIGALRM) is before


def test_what_is_done_in_time_is_not_disturbed_later() -> None:
    with within(0.05, "the update"):
        pass
    time.sleep(0.1)


def test_beside_the_main_thread_it_does_nothing() -> None:
    done = threading.Event()

    def work() -> None:
        with within(0.01, "the update"):
            time.sleep(0.05)
            done.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert done.is_set()
