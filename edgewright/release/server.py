"""The release server: a signed repository, read-only, and a box for the devices' reports. Standard library alone.

    GET  /metadata/<file>, /targets/<channel>/<file>     the repository
    POST /reports/<device>                               one JSON object, at most MAX_REPORT_BYTES
    GET  /reports/<device>                               the last one

Decides nothing on trust: that is TUF's, on the device. Binds to loopback and refuses any other address (no
authentication yet), every path but these, links, and names with `..`.

>>> with serve_repository(repository, reports=reports) as server:
...     print(server.url)
http://127.0.0.1:...
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from edgewright.errors import InputError
from edgewright.files import READABLE, write_atomically

MAX_REPORT_BYTES = 64_000
DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FILE = re.compile(r"/((?:metadata|targets)(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+)")
_REPORT = re.compile(r"/reports/([^/]+)")


@dataclass
class RepositoryServer:
    """A running server.

    Attributes:
        received: reports since it started, oldest first, by device.
    """

    url: str
    received: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@contextmanager
def serve_repository(
    repository: Path, *, reports: Path, host: str = "127.0.0.1", port: int = 0
) -> Iterator[RepositoryServer]:
    """Serve in a thread until the block ends; port 0 takes a free one. Raises InputError off loopback."""
    if not ip_address(host).is_loopback:
        raise InputError("the release server has no authentication", expected="a loopback address", got=host)
    reports.mkdir(parents=True, exist_ok=True)
    with _Server(host, port, repository=repository, reports=reports) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.handle
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # an idle kept-alive connection must not hold the end up

    def __init__(self, host: str, port: int, *, repository: Path, reports: Path) -> None:
        super().__init__((host, port), _Handler)
        self.repository, self.reports = repository.resolve(), reports
        self.handle = RepositoryServer(f"http://{host}:{self.server_address[1]}")
        self.writing = threading.Lock()

    def accept_report(self, device: str, report: dict[str, Any]) -> None:
        with self.writing:
            write_atomically(
                self.reports / f"{device}.json", json.dumps(report, indent=1, sort_keys=True).encode(), mode=READABLE
            )
            self.handle.received.setdefault(device, []).append(report)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # with it, head and body sent apart wait 40 ms for an acknowledgment
    wbufsize = -1
    timeout = 30
    server: _Server

    def do_GET(self) -> None:
        path = self._file()
        if path is None or not path.is_file():
            self._answer(HTTPStatus.NOT_FOUND)
            return
        with path.open("rb") as stream:
            self._head(HTTPStatus.OK, length=path.stat().st_size)
            shutil.copyfileobj(stream, self.wfile)

    def do_POST(self) -> None:
        device = self._device()
        length = self.headers.get("Content-Length", "")
        if device is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not length.isdigit():
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif int(length) > MAX_REPORT_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            report = _parse(self.rfile.read(int(length)))
            if report is not None:
                self.server.accept_report(device, report)
            self._answer(HTTPStatus.BAD_REQUEST if report is None else HTTPStatus.NO_CONTENT)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Rooms print nothing; what devices do is in their reports."""

    def _file(self) -> Path | None:
        """The file that a path names; None where it names none of ours."""
        device = self._device()
        if device is not None:
            return self.server.reports / f"{device}.json"
        match = _FILE.fullmatch(self.path)
        if match is None or ".." in self.path:
            return None
        path = self.server.repository / match[1]
        # A link would let whoever writes the repository read the machine.
        return path if path.resolve() == path else None

    def _device(self) -> str | None:
        match = _REPORT.fullmatch(self.path)
        return match[1] if match and DEVICE_ID.fullmatch(match[1]) else None

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer without having read the body, which ends the connection."""
        self.close_connection = True
        self._answer(status)

    def _answer(self, status: HTTPStatus) -> None:
        self._head(status, length=0)

    def _head(self, status: HTTPStatus, *, length: int) -> None:
        self.send_response(status)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(length))
        self.end_headers()


def _parse(payload: bytes) -> dict[str, Any] | None:
    try:
        report = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None
