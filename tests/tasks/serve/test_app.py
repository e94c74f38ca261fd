"""What the home's server says to a client that it cannot serve yet."""

from __future__ import annotations

import asyncio

import pytest

from tasks.serve.app import ASK_AGAIN_S, Application, AskAgainSoon, Message, Receive, Send


def answering(status: int, headers: dict[bytes, bytes]) -> Application:
    """An application that says one thing."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [*headers.items()]})
        await send({"type": "http.response.body", "body": b"busy"})

    return app


@pytest.mark.parametrize(
    ("status", "told", "retry_after"),
    [
        (503, {}, str(ASK_AGAIN_S).encode()),
        (503, {b"Retry-After": b"7"}, b"7"),
        (200, {}, None),
        (423, {}, None),
    ],
)
def test_a_busy_server_says_when_to_ask_again(status: int, told: dict[bytes, bytes], retry_after: bytes | None) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(AskAgainSoon(answering(status, told))({"type": "http"}, receive, send))
    head, body = sent
    assert {name.lower(): value for name, value in head["headers"]}.get(b"retry-after") == retry_after
    assert (head["status"], body["body"]) == (status, b"busy")
