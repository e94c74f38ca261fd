"""The application that a home's Prefect server runs: Prefect's own, which asks its database again before it refuses.

Decides how long a request is held that the database was too busy for, and the `Retry-After` of the 503 that it gets
then. Over sqlite a transaction of Prefect that read before it wrote is refused at once where another wrote in between
(SQLITE_BUSY_SNAPSHOT, sqlite.org/isolation.html). Nothing of it is kept, the server answers 503, and its clients ask
again: after two seconds where they are told nothing, which was half of an unchanged run's time; a browser never, so
that a form was submitted and nothing happened (docs/LOG.md, 2026-11-29). Refuses to hold a request for longer than
HOLD_S.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
"""ASGI 3, asgi.readthedocs.io: the first argument is the connection's scope."""

ASK_AGAIN_S = 0.25
"""Prefect's client reads fractions (RFC 9110 knows whole seconds only) and asks six times."""
HOLD_S = 4.0
_PAUSES_S = (0.02, 0.2)
"""Between two attempts, drawn anew: who was refused together does not come again together."""

_COLLECT_AFTER = (50_000, 20, 50)
"""Of the garbage collector: its defaults look through everything that Prefect imports, many times while it starts."""


class AskAgainSoon:
    """ASGI middleware: a request that is answered with 503 is made again; where that is in vain, with a `Retry-After`.

    Args:
        hold_s: how long it is made again.
    """

    def __init__(self, app: Application, hold_s: float = HOLD_S) -> None:
        self._app, self._hold_s = app, hold_s

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = await _all_of(receive)
        until = time.monotonic() + self._hold_s
        while True:
            answer = _Answer(send)
            error = await self._attempt(dict(scope), _again(said, receive), answer)
            if not answer.refused:
                return
            if time.monotonic() > until:
                await answer.give()
                if error is not None:
                    raise error
                return
            await asyncio.sleep(random.uniform(*_PAUSES_S))

    async def _attempt(self, scope: Message, receive: Receive, answer: _Answer) -> Exception | None:
        """What was raised after a 503, as Starlette does for its log; anything else is raised."""
        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if not answer.refused:
                raise
            return error
        return None


class _Answer:
    """Passes an answer on, but for a 503, which it keeps."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._kept: list[Message] = []

    @property
    def refused(self) -> bool:
        return bool(self._kept)

    async def __call__(self, message: Message) -> None:
        busy = message["type"] == "http.response.start" and message["status"] == HTTPStatus.SERVICE_UNAVAILABLE
        if busy or self._kept:
            self._kept.append(message)
        else:
            await self._send(message)

    async def give(self) -> None:
        """What was kept, with the time after which to ask again."""
        head, *rest = self._kept
        headers = list(head.get("headers", ()))
        if not any(name.lower() == b"retry-after" for name, _ in headers):
            headers.append((b"retry-after", str(ASK_AGAIN_S).encode()))
        for message in ({**head, "headers": headers}, *rest):
            await self._send(message)


async def _all_of(receive: Receive) -> list[Message]:
    """The whole of a request."""
    said = [await receive()]
    while said[-1].get("more_body"):
        said.append(await receive())
    return said


def _again(said: Sequence[Message], receive: Receive) -> Receive:
    """The request once more; what comes after it, as that the client is gone, only once."""
    left = list(said)

    async def next_message() -> Message:
        return left.pop(0) if left else await receive()

    return next_message


def create_app() -> Any:
    """Prefect's FastAPI application, for `uvicorn --factory`. Settings come from the environment."""
    gc.set_threshold(*_COLLECT_AFTER)
    from prefect.server.api.server import create_app as create_prefect

    app = create_prefect()
    app.add_middleware(AskAgainSoon)
    return app
