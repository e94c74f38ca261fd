"""`edgewright serve-collector`: devices are heard, rollouts are stepped by it, and people look on.

Decides what stands beside the collector: its pages and figures, on this machine alone. Refuses nothing of its own.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

from edgewright.errors import EdgewrightError
from edgewright.fleet.figures import Figures
from edgewright.fleet.operators import listening_here, operators
from edgewright.fleet.reports import SILENT_AFTER_S
from edgewright.settings import Settings
from tasks.serve.collector import Say, collector_served
from tasks.serve.fleet import fleet_of, page_of
from tasks.serve.releases import projects_of
from tasks.serve.rollouts import stepping

REFRESH_S = 30
CHANNEL = "stable"
"""Of the figures, and of a page that is asked for without `?channel=`."""


def serve_until_ended(settings: Settings, *, name: str, host: str, port: int, pages_port: int, say: Say) -> None:
    """Serve until Ctrl-C or SIGTERM.

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
        collector_served(settings, name=name, host=host, port=port, say=say, figures=figures),
        listening_here(shown, port=pages_port) as here,
    ):
        say(f"Pages     http://127.0.0.1:{here}, on this machine alone")
        say("Ctrl-C ends it")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            say("ending")


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
        figures.silent.labels(project=repository.name).set(len(told) - len(heard))
