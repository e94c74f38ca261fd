"""A larger model for the fleet's devices: a picture in, its boxes out, over TLS with both ends proven.

    POST /detect    a picture, MAX_PICTURE_BYTES at most    => {"model", "detections": [{"class", "score", "xyxy"}]}
    GET  /health    204

Decides that so many pictures are under way at once: whoever comes beyond that is told to come again (503, Retry-After),
because an answer that waited is late. One picture is looked at at a time: the network has the threads. Keeps none.
Refuses, with its reason: devices that `admit` does, bodies that are too long or come too slowly, and what is no picture
or takes too much memory.

    application = model_server(predict, name="belt:3f2a", classes=("nut",), admit=admit)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgewright.errors import InputError, StoreUnavailable
from edgewright.fleet.questions import TooLong, bytes_of, peer_of
from edgewright.fleet.register import Refused
from edgewright.runtime.pictures import decode_picture
from edgewright.runtime.session import Predictor

MAX_PICTURE_BYTES, MAX_MEMORY_BYTES = 4_000_000, 200_000_000
AT_ONCE, BODY_WITHIN_S, AGAIN_S = 16, 5.0, 1
Admit = Callable[[dict[str, str]], None]
"""Who its certificate says it is => nothing. Raises Refused where it is not heard, StoreUnavailable where it cannot be
known."""


def model_server(
    predict: Predictor, *, name: str, classes: Sequence[str], admit: Admit, at_once: int = AT_ONCE
) -> Starlette:
    """The application. `scope["state"]["peer"]` must hold the client's certificate (DER), or nothing."""
    own = _ModelServer(predict, name, tuple(classes), admit, at_once)
    routes = [Route("/detect", own.detect, methods=["POST"]), Route("/health", own.health)]
    refusals = {
        TooLong: _no(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"Connection": "close"}),
        Refused: _no(HTTPStatus.FORBIDDEN, {"Connection": "close"}),  # or the rest of its body is read
        InputError: _no(HTTPStatus.BAD_REQUEST),
        StoreUnavailable: _no(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(AGAIN_S), "Connection": "close"}),
    }
    return Starlette(routes=routes, exception_handlers=refusals)  # type: ignore[arg-type]


class _ModelServer:
    def __init__(self, predict: Predictor, name: str, classes: tuple[str, ...], admit: Admit, at_once: int) -> None:
        self._predict, self._name, self._classes, self._admit = predict, name, classes, admit
        self._at_once, self._under_way = at_once, 0
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def health(self, _: Request) -> Response:
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def detect(self, request: Request) -> Response:
        peer = peer_of(request)
        with self._room():
            await run_in_threadpool(self._admit, peer)
            try:
                payload = await asyncio.wait_for(bytes_of(request, at_most=MAX_PICTURE_BYTES), BODY_WITHIN_S)
            except TimeoutError as error:
                raise Refused(f"a picture that takes longer than {BODY_WITHIN_S:g} s to come") from error
            found = await asyncio.get_running_loop().run_in_executor(self._looking, self._detections, payload)
        return JSONResponse({"model": self._name, "detections": found})

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Raises StoreUnavailable where too many are under way."""
        if self._under_way >= self._at_once:
            raise StoreUnavailable("too many pictures at once")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def _detections(self, payload: bytes) -> list[dict[str, Any]]:
        """Px of the picture, upright. Raises InputError: it is none."""
        picture = decode_picture(payload, max_memory_bytes=MAX_MEMORY_BYTES)
        boxes = picture.to_file(self._predict(picture.pixels))
        rows = zip(boxes.xyxy.tolist(), boxes.class_id.tolist(), boxes.score.tolist(), strict=True)
        return [{"class": self._classes[kind], "score": score, "xyxy": xyxy} for xyxy, kind, score in rows]


def _no(status: HTTPStatus, headers: dict[str, str] | None = None) -> Callable[[Request, Exception], Response]:
    def answer(_: Request, error: Exception) -> Response:
        said = error.what if isinstance(error, StoreUnavailable) else str(error)  # without where it lies
        return JSONResponse({"why": said}, status_code=status, headers=headers)

    return answer
