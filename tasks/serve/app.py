"""The application that a home's Prefect server runs: Prefect's own, which says how soon to ask again.

Decides the `Retry-After` of its 503s. Over sqlite a transaction of Prefect that read before it wrote is refused at once
where another wrote in between (SQLITE_BUSY_SNAPSHOT, sqlite.org/isolation.html), the server answers 503, and a client
that is told nothing waits for two seconds: half of an unchanged run's time (docs/LOG.md, 2026-11-29).
Refuses to hold a request itself: who asks decides how often.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
"""ASGI 3, asgi.readthedocs.io: the first argument is the connection's scope."""

ASK_AGAIN_S = 0.25
"""Prefect's client reads fractions (RFC 9110 knows whole seconds only) and asks six times."""

_COLLECT_AFTER = (50_000, 20, 50)
"""Of the garbage collector: its defaults look through everything that Prefect imports, many times while it starts."""


class AskAgainSoon:
    """ASGI middleware: an answer of 503 without a `Retry-After` gets one."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.SERVICE_UNAVAILABLE:
                headers = list(message.get("headers", ()))
                if not any(name.lower() == b"retry-after" for name, _ in headers):
                    message = {**message, "headers": [*headers, (b"retry-after", str(ASK_AGAIN_S).encode())]}
            await send(message)

        await self._app(scope, receive, send_on)


def create_app() -> Any:
    """Prefect's FastAPI application, for `uvicorn --factory`. Settings come from the environment."""
    gc.set_threshold(*_COLLECT_AFTER)
    from prefect.server.api.server import create_app as create_prefect

    app = create_prefect()
    app.add_middleware(AskAgainSoon)
    return app
