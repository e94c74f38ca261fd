"""Programs at the other end of a socket: one that never answers, one that says what it is told to, and nobody."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def silent() -> Iterator[int]:
    """The port of a program that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(20)
        yield int(listening.getsockname()[1])


@contextmanager
def speechless() -> Iterator[int]:
    """The port of a program that speaks something, and no HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            try:
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.sendall(b"SSH-2.0-a-shell\r\n")
                        connection.recv(4096)
            except OSError:
                return  # the test is over

        threading.Thread(target=greet, daemon=True).start()
        yield int(listening.getsockname()[1])


@dataclass
class Heard:
    """A server that answers all alike, and what it was asked: method and target, in order."""

    port: int
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def answering(
    status: int, body: bytes = b"", *, kind: str = "text/html", clock_s: float | None = None
) -> Iterator[Heard]:
    """As a web page, as a proxy, or as the service that was looked for; by its own clock, in seconds since 1970."""

    class Handler(BaseHTTPRequestHandler):
        def _say(self) -> None:
            heard.requests.append(f"{self.command} {self.path}")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):  # whatever is asked
                return self._say
            raise AttributeError(name)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(clock_s if timestamp is None else timestamp)  # type: ignore[arg-type]

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        heard = Heard(server.server_address[1])
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield heard
        finally:
            server.shutdown()
