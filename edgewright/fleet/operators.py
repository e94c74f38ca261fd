"""For the people who look after a fleet, on this machine alone: its pages, and its figures for Prometheus.

    GET  /            the projects        GET  /<project>     the fleet's page, asked for again by itself
    GET  /metrics     Prometheus' text

Decides nothing. Refuses to listen anywhere but on loopback, since there is no authentication, and to answer under any
other name.

    with listening_here(operators(Figures(), pages=page_of, projects=projects), port=8473) as port:
        ...
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

import uvicorn
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from edgewright.errors import EdgewrightError
from edgewright.fleet.figures import Figures
from edgewright.fleet.threaded import bound, serving

LOOPBACK = "127.0.0.1"


def operators(
    figures: Figures,
    *,
    pages: Callable[[str, str], str],
    projects: Callable[[], Iterable[str]],
    refresh: Callable[[Figures], None],
) -> Starlette:
    """The application.

    Args:
        pages: project, channel ("": the usual one) => its page. Raises EdgewrightError where there is none.
        refresh: sets the gauges, before they are told.
    """

    async def index(_: Request) -> Response:
        names = await run_in_threadpool(lambda: sorted(projects()))
        rows = "".join(f'<li><a href="/{html.escape(name)}">{html.escape(name)}</a></li>' for name in names)
        return HTMLResponse(f"<!doctype html><title>edgewright: fleets</title><h1>Fleets</h1><ul>{rows}</ul>")

    async def metrics(_: Request) -> Response:
        await run_in_threadpool(refresh, figures)
        return Response(generate_latest(figures.registry), media_type=CONTENT_TYPE_LATEST)

    async def page(request: Request) -> Response:
        try:
            channel = request.query_params.get("channel", "")
            return HTMLResponse(await run_in_threadpool(pages, request.path_params["project"], channel))
        except EdgewrightError as error:
            return PlainTextResponse(str(error), status_code=HTTPStatus.NOT_FOUND)

    # A page elsewhere whose name is made to lead here would be read in the browser of somebody who sits here.
    own = Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"])
    routes = [Route("/", index), Route("/metrics", metrics), Route("/{project}", page)]
    return Starlette(routes=routes, middleware=[own])


@contextmanager
def listening_here(application: Starlette, *, port: int) -> Iterator[int]:
    """The port on loopback; 0 takes a free one. Raises StoreUnavailable: it is taken."""
    config = uvicorn.Config(application, lifespan="off", log_level="critical", access_log=False, ws="none")
    with bound(LOOPBACK, port) as found, serving(config, found):
        yield int(found.getsockname()[1])
