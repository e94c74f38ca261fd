"""The release server: signed repositories, read-only, and a box for the devices' reports. Standard library alone.

    GET  /metadata/<file>, /targets/<channel>/<file>     the repository; a range of a file where one is asked for
    POST /reports/<device>                               one JSON object, at most MAX_REPORT_BYTES
    GET  /reports/<device>                               the last one

`serve_repository` serves one repository so, `serve_releases` each project's below `/<project>`. Decides nothing on
trust: that is TUF's, on the device. Binds to loopback and refuses any other address (no authentication yet), every path
but these, links, and names with `..`.

>>> with serve_repository(repository, reports=reports) as server:
...     print(server.url)
http://127.0.0.1:...
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any

from edgewright.errors import InputError, StoreUnavailable
from edgewright.files import READABLE, write_atomically

METADATA, REPORTS = "metadata", "reports"
MAX_REPORT_BYTES = 64_000
DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FILE = re.compile(r"/((?:metadata|targets)(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+)")
_REPORT = re.compile(r"/reports/([^/]+)")
_PROJECT = re.compile(r"/([A-Za-z0-9][A-Za-z0-9._-]*)(/.*)")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True)
class Place:
    """Where a path leads: a repository, the box of its reports, and the rest of the path within them."""

    repository: Path
    reports: Path
    rest: str


Places = Callable[[str], Place | None]


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
    """Serve in a thread until the block ends; port 0 takes a free one.

    Raises:
        InputError: off loopback.
        StoreUnavailable: another program has the port.
    """
    reports.mkdir(parents=True, exist_ok=True)
    with _serving(lambda path: Place(repository.resolve(), reports, path), host=host, port=port) as server:
        yield server


@contextmanager
def serve_releases(releases: Path, *, host: str, port: int) -> Iterator[RepositoryServer]:
    """The same for the repositories in a folder, those too that are made later; reports lie in each one's `reports`."""

    def place(path: str) -> Place | None:
        match = _PROJECT.fullmatch(path)
        if match is None:
            return None
        repository = releases.resolve() / match[1]
        whole = (repository / METADATA).is_dir() and repository.resolve() == repository
        return Place(repository, repository / REPORTS, match[2]) if whole else None

    with _serving(place, host=host, port=port) as server:
        yield server


@contextmanager
def _serving(places: Places, *, host: str, port: int) -> Iterator[RepositoryServer]:
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        next_step = "let a web server with TLS and authentication pass requests on to it"
        got = host or "nothing"
        what = "the release server has no authentication"
        raise InputError(what, expected="a loopback address such as 127.0.0.1", got=got, next_step=next_step)
    with _bound(places, host=host, port=port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.handle
        finally:
            server.shutdown()
            thread.join()


def _bound(places: Places, *, host: str, port: int) -> _Server:
    try:
        return _Server(host, port, places=places)
    except OSError as error:
        raise port_refused(error, host=host, port=port) from error


def port_refused(error: OSError, *, host: str, port: int) -> StoreUnavailable:
    """Why a server cannot listen there, in words."""
    taken = error.errno == errno.EADDRINUSE
    return StoreUnavailable(
        f"port {port} is taken by another program" if taken else f"port {port} cannot be had",
        got=None if taken else error.strerror,
        where=host,
        next_step="end it, or give another --port",
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # an idle kept-alive connection must not hold the end up

    def __init__(self, host: str, port: int, *, places: Places) -> None:
        version_6 = ip_address(host).version == 6
        self.address_family = socket.AF_INET6 if version_6 else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.place_of = places
        self.handle = RepositoryServer(f"http://{f'[{host}]' if version_6 else host}:{self.server_address[1]}")
        self.writing = threading.Lock()

    def accept_report(self, box: Path, device: str, report: dict[str, Any]) -> None:
        with self.writing:
            box.mkdir(parents=True, exist_ok=True)
            write_atomically(
                box / f"{device}.json", json.dumps(report, indent=1, sort_keys=True).encode(), mode=READABLE
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
            size = os.fstat(stream.fileno()).st_size
            part = _range(self.headers.get("Range", ""), size)
            if part is None:
                self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, length=0, said=f"bytes */{size}")
            elif len(part) == size:
                self._head(HTTPStatus.OK, length=size)
            else:
                said = f"bytes {part[0]}-{part[-1]}/{size}"
                self._head(HTTPStatus.PARTIAL_CONTENT, length=len(part), said=said)
            self._copy(stream, part or range(0))

    def do_POST(self) -> None:
        place = self.server.place_of(self.path)
        device = _device_in(place)
        length = self.headers.get("Content-Length", "")
        if place is None or device is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not length.isdigit():
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif int(length) > MAX_REPORT_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            report = _parse(self.rfile.read(int(length)))
            if report is not None:
                self.server.accept_report(place.reports, device, report)
            self._answer(HTTPStatus.BAD_REQUEST if report is None else HTTPStatus.NO_CONTENT)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Rooms print nothing; what devices do is in their reports."""

    def _file(self) -> Path | None:
        """The file that a path names; None where it names none of ours."""
        place = self.server.place_of(self.path)
        device = _device_in(place)
        if place and device is not None:
            return place.reports / f"{device}.json"
        match = _FILE.fullmatch(place.rest) if place else None
        if place is None or match is None or ".." in self.path:
            return None
        path = place.repository / match[1]
        # A link would let whoever writes the repository read the machine.
        return path if path.resolve() == path else None

    def _copy(self, stream: IO[bytes], part: range) -> None:
        stream.seek(part.start)
        for start in range(0, len(part), _PIECE_BYTES):
            self.wfile.write(stream.read(min(_PIECE_BYTES, len(part) - start)))

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer without having read the body, which ends the connection."""
        self.close_connection = True
        self._answer(status)

    def _answer(self, status: HTTPStatus) -> None:
        self._head(status, length=0)

    def _head(self, status: HTTPStatus, *, length: int, said: str = "") -> None:
        """`said`: which range of the file follows."""
        self.send_response(status)
        if said:
            self.send_header("Content-Range", said)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(length))
        self.end_headers()


def _device_in(place: Place | None) -> str | None:
    match = _REPORT.fullmatch(place.rest) if place else None
    return match[1] if match and DEVICE_ID.fullmatch(match[1]) else None


def _range(asked: str, size: int) -> range | None:
    """The bytes that a Range header asks for; all where it asks for none or several; None beyond the end (RFC 9110).

    >>> _range("bytes=2-3", 10), _range("bytes=8-", 10), _range("bytes=-3", 10), _range("", 10)
    (range(2, 4), range(8, 10), range(7, 10), range(0, 10))
    >>> _range("bytes=10-", 10) is None, _range("bytes=0-1,4-5", 10)
    (True, range(0, 10))
    """
    match = _RANGE.fullmatch(asked)
    first, last = match.groups() if match else ("", "")
    if not first and not last:
        return range(size)
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return range(size)  # not a range at all
    return range(start, end) if start < end else None


def _parse(payload: bytes) -> dict[str, Any] | None:
    try:
        report = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None
