"""Where a repository's files come from: a server, or a folder that was brought by hand.

Decides how long a server may take: SOCKET_TIMEOUT_S without a byte, DEADLINE_S for all that one update asks for, so
that one which drips, or says when to come again, holds no device up for days. Bytes are taken as they come: what a
server packed without being asked is not unpacked. Refuses nothing that a server says: that is TUF's.

    fetcher = FromServer("https://releases.example/belt")
    start, pieces = fetcher.beginning(url, 1_000)
"""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient import FetcherInterface
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher
from urllib3 import BaseHTTPResponse, Retry, Timeout
from urllib3.exceptions import HTTPError

from edgewright.addresses import shown
from edgewright.device.download import TooLate

SOCKET_TIMEOUT_S, DEADLINE_S = 30, 900.0
_AGENT = "edgewright-device"
_PIECE_BYTES, _MAX_DIGITS = 1 << 16, 16
_RETRIES = Retry(3, respect_retry_after_header=False)
"""Redirects among them. urllib3's own would sleep for as many hours as a server says."""
_ROLE_FILE = re.compile(r"(?:\d+\.)?(root|timestamp|snapshot|targets|rollout)\.json")


class Fetcher(FetcherInterface):
    """Keeps what it fetched last of each role, because an error does not say what had expired when.

    Attributes: base: of every address, with a slash at its end. where: as messages name it.
        received_bytes: that have come over a line so far, of whatever was asked for.
    """

    base: str
    where: str
    received_bytes: int = 0
    metadata: dict[str, bytes]

    def download_bytes(self, url: str, max_length: int) -> bytes:
        payload = super().download_bytes(url, max_length)
        if role := _ROLE_FILE.fullmatch(url.rpartition("/")[2]):
            self.metadata[role[1]] = payload
        return payload

    @abstractmethod
    def beginning(self, url: str, first: int) -> tuple[int, Iterator[bytes]]:
        """A file from byte `first` on, or whole: with which byte it begins, and the bytes. Raises DownloadError."""


class FromServer(Fetcher, Urllib3Fetcher):
    """TUF's own, which resumes, comes to an end, and calls a line that breaks what it is."""

    def __init__(self, server_url: str, *, deadline_s: float = DEADLINE_S) -> None:
        super().__init__(socket_timeout=SOCKET_TIMEOUT_S, app_user_agent=_AGENT)
        self.base, self.where, self.metadata = f"{server_url.rstrip('/')}/", shown(server_url), {}
        self._until = time.monotonic() + deadline_s

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self.beginning(url, 0)[1]

    def beginning(self, url: str, first: int) -> tuple[int, Iterator[bytes]]:
        if time.monotonic() > self._until:
            raise TooLate("the server takes too long")
        headers = {"User-Agent": _AGENT, **({"Range": f"bytes={first}-"} if first else {})}
        try:
            response = self._proxy_env.request(
                "GET",
                url,
                headers=headers,
                preload_content=False,
                decode_content=False,
                retries=_RETRIES,
                timeout=Timeout(self.socket_timeout),
            )
        except HTTPError as error:
            raise DownloadError(f"Failed to download {url}") from error
        if response.status >= HTTPStatus.BAD_REQUEST:
            response.close()
            raise DownloadHTTPError(f"HTTP error occurred with status {response.status}", response.status)
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {first}-")
        if response.status == HTTPStatus.PARTIAL_CONTENT and not resumed:
            response.close()
            raise DownloadError(f"{url}: another part than was asked for")
        return (first if response.status == HTTPStatus.PARTIAL_CONTENT else 0), self._pieces(response)

    def _pieces(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        """As they come: who waits for many of them does not see how long one that drips takes.

        They are counted here: http.client's `read1` waits for more after the last (Python up to 3.12).
        """
        length = response.headers.get("Content-Length", "")
        left = int(length) if length.isascii() and length.isdigit() and len(length) < _MAX_DIGITS else None
        try:
            while left != 0:
                piece = response.read1(_PIECE_BYTES if left is None else min(left, _PIECE_BYTES))
                if not piece and left is None:
                    return
                if not piece or (left is not None and len(piece) > left):
                    raise DownloadError("the line broke") from ConnectionResetError()
                left = None if left is None else left - len(piece)
                self.received_bytes += len(piece)
                yield piece
                if time.monotonic() > self._until:
                    raise TooLate("the server takes too long")
        except HTTPError as error:
            raise DownloadError("the line broke") from error
        finally:
            response.close()


class FromFolder(Fetcher):
    """A repository that was brought by hand: the same files, the same signatures, no network."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.where, self.metadata = folder.resolve(), str(folder), {}
        self.base = f"{self.folder.as_uri()}/"

    def beginning(self, url: str, first: int) -> tuple[int, Iterator[bytes]]:
        return first, self._from(url, first)

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._from(url, 0)

    def _from(self, url: str, first: int) -> Iterator[bytes]:
        path = self.folder / unquote(url.removeprefix(self.base))
        if not path.is_file():
            raise DownloadHTTPError("no such file", HTTPStatus.NOT_FOUND)
        with path.open("rb") as stream:
            stream.seek(first)
            while piece := stream.read(_PIECE_BYTES):
                yield piece
