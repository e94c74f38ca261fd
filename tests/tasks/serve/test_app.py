"""What the home's server says to a client that it cannot serve yet."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tasks.serve.app import ASK_AGAIN_S, AskAgainSoon


async def answered(request: Request) -> Response:
    headers = {"Retry-After": "7"} if "told" in request.query_params else {}
    return Response("", int(request.path_params["status"]), headers=headers)


@pytest.mark.parametrize(
    ("path", "retry_after"), [("/503", str(ASK_AGAIN_S)), ("/503?told", "7"), ("/200", None), ("/423", None)]
)
def test_a_busy_server_says_when_to_ask_again(path: str, retry_after: str | None) -> None:
    app = AskAgainSoon(Starlette(routes=[Route("/{status}", answered)]))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://home") as client:
            return await client.get(path)

    assert asyncio.run(ask()).headers.get("retry-after") == retry_after
