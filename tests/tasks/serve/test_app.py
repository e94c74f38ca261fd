"""What the home's server does for a client that its database is too busy for, and what it says in the end."""

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

    asyncio.run(AskAgainSoon(answering(status, told), hold_s=0)({"type": "http"}, receive, send))
    head, body = sent
    assert {name.lower(): value for name, value in head["headers"]}.get(b"retry-after") == retry_after
    assert (head["status"], body["body"]) == (status, b"busy")


class Busy:
    """An application that is busy for some requests, writes down what it is told, and raises as Starlette does."""

    def __init__(self, times: int) -> None:
        self.left, self.told = times, list[bytes]()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        scope["path_params"] = "left behind"
        parts = [await receive(), await receive()]
        self.told.append(b"".join(part["body"] for part in parts))
        self.left -= 1
        status = 503 if self.left >= 0 else 201
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"made"})
        if status == 503:
            raise RuntimeError("database is locked")


def asked(app: Busy, *, hold_s: float) -> list[Message]:
    """What a client is sent that asks once, in two parts."""
    sent: list[Message] = []
    said = [{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.request", "body": b"b"}]

    async def receive() -> Message:
        return said.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Message = {"type": "http"}
    asyncio.run(AskAgainSoon(app, hold_s=hold_s)(scope, receive, send))
    assert scope == {"type": "http"}
    return sent


def test_a_request_is_made_again_as_it_was() -> None:
    app = Busy(3)
    head, body = asked(app, hold_s=60)
    assert app.told == [b"ab"] * 4
    assert (head["status"], body["body"]) == (201, b"made")


def test_a_server_that_stays_busy_says_so_once() -> None:
    app, sent = Busy(10**6), list[Message]()
    with pytest.raises(RuntimeError, match="database is locked"):
        sent += asked(app, hold_s=0.1)
    assert len(app.told) > 1


def test_what_is_raised_before_an_answer_is_raised() -> None:
    async def broken(scope: Message, receive: Receive, send: Send) -> None:
        raise ValueError("a mistake")

    async def nothing() -> Message:
        return {"type": "http.request"}

    async def nobody(message: Message) -> None:
        raise AssertionError(message)

    with pytest.raises(ValueError, match="a mistake"):
        asyncio.run(AskAgainSoon(broken)({"type": "http"}, nothing, nobody))


def test_a_websocket_is_passed_on() -> None:
    seen: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def never() -> Message:
        raise AssertionError("it reads for itself")

    async def nobody(message: Message) -> None:
        raise AssertionError(message)

    asyncio.run(AskAgainSoon(app)({"type": "websocket"}, never, nobody))
    assert seen == ["websocket"]
