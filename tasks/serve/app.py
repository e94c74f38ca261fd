"""The application that a home's Prefect server runs: Prefect's own, which says how soon to ask again.

Decides the `Retry-After` of its 503s. Over sqlite a transaction of Prefect that read before it wrote is refused at once
where another wrote in between (SQLITE_BUSY_SNAPSHOT, sqlite.org/isolation.html), the server answers 503, and a client
that is told nothing waits for two seconds: half of an unchanged run's time (docs/LOG.md, 2026-11-29).
Refuses to hold a request itself: who asks decides how often.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ASK_AGAIN_S = 0.25
"""Prefect's client reads fractions (RFC 9110 knows whole seconds only) and asks six times."""


class AskAgainSoon:
    """ASGI middleware: an answer of 503 without a `Retry-After` gets one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.SERVICE_UNAVAILABLE:
                headers = list(message.get("headers", ()))
                if not any(name.lower() == b"retry-after" for name, _ in headers):
                    message = {**message, "headers": [*headers, (b"retry-after", str(ASK_AGAIN_S).encode())]}
            await send(message)

        await self._app(scope, receive, send_on)


def create_app() -> FastAPI:
    """For `uvicorn --factory`. Settings come from the environment, as Prefect's own server reads them."""
    from prefect.server.api.server import create_app as create_prefect

    app = create_prefect()
    app.add_middleware(AskAgainSoon)
    return app
