"""A server of the fleet that listens: TLS 1.2 or newer, by uvicorn in a thread, until the block ends.

Decides that a device's certificate may be absent, since one that enrolls has none, and that one of another authority
ends the connection before a word is said. Refuses a port that is taken. Any address will do: whoever cannot prove who
it is learns the authority's certificate, which is no secret.

    with listening(application, files, key_opened_by=word, host="127.0.0.1", port=0) as line:
        line.port
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgewright.fleet.authority import CERTIFICATE_FILE, COLLECTOR, files_of
from edgewright.fleet.threaded import bound, serving

MAX_CONNECTIONS = 2_000
_IDLE_S = 15
CONNECTION_S = 60.0
"""Of any connection, whatever it says: uvicorn waits for ever for the first question, and for the end of each."""


class _KnowsItsPeer(H11Protocol):
    """Uvicorn tells an application nothing of TLS: each request's `state` holds the client's certificate (DER)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self.app_state = {**self.app_state, "peer": tls.getpeercert(binary_form=True) if tls else None}
        self._over = self.loop.call_later(CONNECTION_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._over.cancel()
        super().connection_lost(exc)


@dataclass(frozen=True)
class Listening:
    """Attributes: renew: shows the certificate that lies in the folder now to whoever connects from now on."""

    port: int
    renew: Callable[[], None]


@contextmanager
def listening(
    application: Starlette, folder: Path, *, key_opened_by: str, host: str, port: int, of: str = COLLECTOR
) -> Iterator[Listening]:
    """Port 0 takes a free one. `folder`: of the authority; `of`: as `server_files` takes it.

    Raises StoreUnavailable: the port is taken.
    """
    key, certificate = files_of(folder, of)
    config = uvicorn.Config(
        application,
        http=_KnowsItsPeer,
        ws="none",
        lifespan="off",
        log_level="critical",
        access_log=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=5,
        server_header=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ssl_keyfile_password=key_opened_by,
        ssl_ca_certs=str(folder / CERTIFICATE_FILE),
        ssl_cert_reqs=ssl.CERT_OPTIONAL,
    )

    def renew() -> None:
        if config.ssl is not None:
            config.ssl.load_cert_chain(certificate, key, key_opened_by)

    with bound(host, port) as found, serving(config, found):
        yield Listening(int(found.getsockname()[1]), renew)
