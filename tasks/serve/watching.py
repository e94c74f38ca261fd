"""`edgewright serve-collector`, and in `edgewright up`: devices are heard, rollouts are stepped by it, people look on.

Decides what stands beside the collector: its pages and figures, on this machine alone; and that `up` serves it where it
is asked to, or where the home has a fleet already. Refuses nothing of its own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from edgewright.errors import EdgewrightError
from edgewright.fleet.figures import Figures
from edgewright.fleet.operators import listening_here, operators
from edgewright.fleet.reports import SILENT_AFTER_S
from edgewright.settings import Settings
from tasks.serve.collector import Say, Where, collector_served, has_fleet
from tasks.serve.fleet import fleet_of, page_of
from tasks.serve.hard_frames import announcing
from tasks.serve.releases import projects_of
from tasks.serve.repeated import wait_until_ended
from tasks.serve.rollouts import stepping

REFRESH_S = 30
CHANNEL = "stable"
"""Of the figures, and of a page that is asked for without `?channel=`."""


@dataclass(frozen=True)
class Watched:
    """Attributes: where: devices find the collector. pages: of the fleet, on this machine alone."""

    where: Where
    pages: str


def serve_until_ended(
    settings: Settings, *, name: str, host: str, port: int, pages_port: int, say: Say, broker: str = ""
) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises as `watched` does."""
    with watched(settings, name=name, host=host, port=port, broker=broker, pages_port=pages_port, say=say):
        wait_until_ended(say)


@contextmanager
def watched_beside(settings: Settings, *, wanted: bool, pages_port: int, say: Say) -> Iterator[Watched | None]:
    """The same beside something else, where it is `wanted` or the home has a fleet; None where it has none.

    What nobody asked for and cannot be served here is said, and the rest goes on. Raises as `watched` does, where it is
    wanted.
    """
    with ExitStack() as held:
        found = None
        if wanted or has_fleet(settings):
            try:
                found = held.enter_context(watched(settings, pages_port=pages_port, say=say))
            except EdgewrightError as error:
                if wanted:
                    raise
                say(f"Collector {error}")
        yield found


@contextmanager
def watched(
    settings: Settings, *, pages_port: int, say: Say, name: str = "", host: str = "", port: int = 0, broker: str = ""
) -> Iterator[Watched]:
    """Serve in this block; `name`, `host`, `port` and `broker`, where given, are the home's from now on.

    Raises:
        HomeBusy: another process serves it. StoreUnavailable: a port is taken, or the database cannot be had.
        InputError: it would listen to other machines under a name that is this one's alone.
    """
    figures = Figures()
    shown = operators(
        figures,
        pages=lambda project, channel: page_of(settings, project, channel or CHANNEL, refresh_s=REFRESH_S),
        projects=lambda: [path.name for path in projects_of(settings)],
        refresh=lambda gauges: set_gauges(gauges, settings),
    )
    with (
        stepping(settings, say),
        announcing(settings, say),
        collector_served(settings, name=name, host=host, port=port, broker=broker, say=say, figures=figures) as where,
        listening_here(shown, port=pages_port) as here,
    ):
        pages = f"http://127.0.0.1:{here}"
        say(f"Pages     {pages}, on this machine alone")
        yield Watched(where, pages)


def set_gauges(figures: Figures, settings: Settings) -> None:
    """How many devices run what, of every project."""
    figures.devices.clear()
    for repository in projects_of(settings):
        try:
            told = fleet_of(settings, repository.name, CHANNEL).told.values()
        except EdgewrightError:
            continue  # its page says why; the others' figures are told
        heard = [said for said in told if time.time() - said.at <= SILENT_AFTER_S]
        for release, count in Counter(said.release for said in heard).items():
            figures.devices.labels(project=repository.name, release=str(release)).set(count)
        figures.drifted.labels(project=repository.name).set(sum(bool(said.drift) for said in heard))
        figures.silent.labels(project=repository.name).set(len(told) - len(heard))
