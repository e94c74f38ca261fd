"""The collector: where a fleet's devices are let in and tell what they have to tell, over TLS with both ends proven.

    GET  /authority    whom devices believe; a token names its digest, so the line may be blind
    POST /enroll       {secret, request, device}       => {certificate, root, device_id, server_url, channel, tier}
    POST /renew        {request}                       => {certificate}
    POST /events       {events: [{seq, kind, at, body}]} => {acknowledged, beyond}
    POST /frames       what is told of a hard frame         => {have, done}
    POST /frames/<sha256>?from=N    a piece of it           => {have, done}
    GET  /health       204

All but the first two and the last want a device's certificate. Decides nothing about devices: that is `register.py`'s.
Refuses, with its reason: bodies that are too long, too deep or of another shape, devices that are not enrolled or were
expelled. A certificate of another authority does not come to a question at all: TLS ends it.

    application = collector(writer, authority, roots=lambda project: b"…")
"""

from __future__ import annotations

import json
import time
from asyncio import wrap_future
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar

from sqlalchemy import Connection
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgewright.errors import InputError, StoreUnavailable
from edgewright.fleet.authority import Authority, key_in, sha256_of
from edgewright.fleet.figures import Figures
from edgewright.fleet.frames import FramesBox
from edgewright.fleet.questions import TooLong, bytes_of, peer_of
from edgewright.fleet.register import Accepted, Member, Refused, Told, accept, admitted, redeem
from edgewright.fleet.writer import Writer

MAX_BODY_BYTES = 1_000_000
FRAMES_PATH = "/frames/{sha256}"
MAX_EVENTS, MAX_DIGITS = 1_000, 12
Roots = Callable[[str], bytes]
"""Project => the first root of its releases. Raises InputError where it has none."""
Result = TypeVar("Result")


def collector(writer: Writer, authority: Authority, *, roots: Roots, figures: Figures, frames: FramesBox) -> Starlette:
    """The application. `scope["state"]["peer"]` must hold the client's certificate (DER), or nothing."""
    own = _Collector(writer, authority, roots, figures, frames)
    routes = [
        Route("/authority", own.authority),
        Route("/enroll", own.enroll, methods=["POST"]),
        Route("/renew", own.renew, methods=["POST"]),
        Route("/events", own.events, methods=["POST"]),
        Route("/frames", own.frame, methods=["POST"]),
        Route(FRAMES_PATH, own.piece, methods=["POST"]),
        Route("/health", own.health),
    ]
    refusals = {
        TooLong: own.ended,
        Refused: own.refused,
        InputError: own.not_understood,
        StoreUnavailable: own.away,
    }
    return Starlette(routes=routes, exception_handlers=refusals)  # type: ignore[arg-type]


class _Collector:
    def __init__(self, writer: Writer, authority: Authority, roots: Roots, figures: Figures, frames: FramesBox) -> None:
        self._writer, self._authority, self._roots, self._figures = writer, authority, roots, figures
        self._frames = frames

    async def authority(self, _: Request) -> Response:
        return JSONResponse({"authority": self._authority.pem.decode()})

    async def health(self, _: Request) -> Response:
        await self._written(lambda connection: connection.exec_driver_sql("SELECT 1"))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def enroll(self, request: Request) -> Response:
        asked = await _body(request)
        signing = _text(asked, "request").encode()
        key = key_in(signing)
        secret, name, now = _text(asked, "secret"), str(asked.get("device") or ""), time.time()
        admission = await self._written(
            lambda connection: redeem(connection, secret, key_sha256=sha256_of(key), device=name, now=now)
        )
        self._figures.enrolled.inc()
        member = admission.member
        return JSONResponse(
            {
                "certificate": self._vouched(signing, member),
                "root": self._roots(member.project).decode(),
                "device_id": member.device,
                "server_url": admission.server_url,
                "channel": member.channel,
                "tier": member.tier,
            }
        )

    async def renew(self, request: Request) -> Response:
        asked, peer = await _body(request), peer_of(request)
        signing = _text(asked, "request").encode()
        if sha256_of(key_in(signing)) != peer["key_sha256"]:
            raise Refused("a certificate is renewed over the same key")
        member = await self._written(lambda connection: admitted(connection, **peer))
        return JSONResponse({"certificate": self._vouched(signing, member)})

    async def events(self, request: Request) -> Response:
        asked, peer = await _body(request), peer_of(request)
        began = time.perf_counter()
        accepted = await wrap_future(keep(self._writer, peer, told_in(asked)))
        self._figures.heard(accepted, seconds=time.perf_counter() - began)
        return JSONResponse({"acknowledged": accepted.acknowledged, "beyond": accepted.beyond})

    async def frame(self, request: Request) -> Response:
        facts, member = await _body(request), await self._member(request)
        have, done = await run_in_threadpool(self._frames.begin, member.project, member.device, facts)
        return JSONResponse({"have": have, "done": done})

    async def piece(self, request: Request) -> Response:
        piece, member = await bytes_of(request, at_most=MAX_BODY_BYTES), await self._member(request)
        sha256, first = request.path_params["sha256"], request.query_params.get("from", "")
        if not first.isdecimal() or len(first) > MAX_DIGITS:
            raise Refused("from where is no number")
        kept = await run_in_threadpool(self._frames.append, member.project, member.device, sha256, int(first), piece)
        self._figures.frames.inc(kept[1])
        return JSONResponse({"have": kept[0], "done": kept[1]})

    async def _member(self, request: Request) -> Member:
        peer = peer_of(request)
        return await self._written(lambda connection: admitted(connection, **peer))

    async def ended(self, request: Request, error: Exception) -> Response:
        # Or the server would go on and read it all, to find the next question.
        return self._no(request, error, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, headers={"Connection": "close"})

    async def refused(self, request: Request, error: Exception) -> Response:
        return self._no(request, error, HTTPStatus.FORBIDDEN)

    async def not_understood(self, request: Request, error: Exception) -> Response:
        return self._no(request, error, HTTPStatus.BAD_REQUEST)

    async def away(self, request: Request, error: Exception) -> Response:
        return self._no(request, error, HTTPStatus.SERVICE_UNAVAILABLE)

    def _no(
        self, request: Request, error: Exception, status: HTTPStatus, headers: dict[str, str] | None = None
    ) -> Response:
        self._figures.refused.labels(path=_asked_for(request)).inc()
        said = error.what if isinstance(error, StoreUnavailable) else str(error)  # without where it lies
        return JSONResponse({"why": said}, status_code=status, headers=headers)

    def _vouched(self, signing: bytes, member: Member) -> str:
        now = datetime.now(UTC)
        return self._authority.vouch_for(signing, project=member.project, device=member.device, now=now).decode()

    async def _written(self, work: Callable[[Connection], Result]) -> Result:
        return await wrap_future(self._writer.submit(work))


def told_in(asked: dict[str, Any]) -> list[Told]:
    """The events of a message. Raises Refused where they are none."""
    events = asked.get("events")
    if not isinstance(events, list) or len(events) > MAX_EVENTS:
        raise Refused(f"events are a list of at most {MAX_EVENTS}")
    return [Told.from_json(each) for each in events]


def keep(writer: Writer, peer: dict[str, str], told: Sequence[Told]) -> Future[Accepted]:
    """What a device told, by whatever line, where it is one that is heard; the future may hold Refused."""
    now = time.time()
    return writer.submit(lambda connection: accept(connection, admitted(connection, **peer), told, now=now))


def _asked_for(request: Request) -> str:
    """The path without what differs from question to question: each would be a figure of its own."""
    return FRAMES_PATH if request.url.path.startswith("/frames/") else request.url.path


async def _body(request: Request) -> dict[str, Any]:
    """Raises Refused where it is too long or no object."""
    return parsed(await bytes_of(request, at_most=MAX_BODY_BYTES))


def parsed(payload: bytes) -> dict[str, Any]:
    """Raises Refused where it is no object."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the body is no JSON: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise Refused("the body is no object")
    return value


def _text(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value or not value.isascii():
        raise Refused(f"{name} is missing, or no plain text")
    return value
