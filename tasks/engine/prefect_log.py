"""What Prefect's pages show of a run besides its graph: a name that says what it is, tags, and what stages have to say.

Decides that a stage's key lines are logged at INFO to the run that they belong to: begun, taken from the store, first
numbers, or what ended it with the next step. Outside a Prefect run nobody listens, and nothing is printed. Refuses to
end where nobody reads what a console is told.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from rich.console import Console

_MAX_NUMBERS = 8
BEGUN_BY_PREFECT = "PREFECT__FLOW_RUN_ID" in os.environ
"""Whether this process was begun for a flow run, which is said to run only when its modules have been read."""
_NOBODY = logging.getLogger("edgewright.unheard")
_NOBODY.addHandler(logging.NullHandler())
_NOBODY.propagate = False


def run_log() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """Of the Prefect task or flow that runs here."""
    try:
        return get_run_logger()
    except MissingContextError:
        return _NOBODY


def outlive_console() -> None:
    """Go on where nobody reads what this process prints: a worker that is killed takes its end of the pipe with it, and
    rich, by which Prefect prints its log, would end the process (`Console.on_broken_pipe`)."""
    Console.on_broken_pipe = _print_no_more  # type: ignore[method-assign, assignment]


def _print_no_more(console: Console) -> None:
    console.quiet = True
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


if BEGUN_BY_PREFECT:  # before any of ours is called
    outlive_console()


def name_flow_run(title: str, *, tags: Iterable[str]) -> UUID | None:
    """Give the flow run around this call its name, and tags beside those that it has; its id, None outside of one."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    found = context.flow_run
    with get_client(sync_client=True) as client:
        client.update_flow_run(found.id, name=title, tags=sorted({*found.tags, *tags})).raise_for_status()
    return found.id


def first_numbers(metrics: Mapping[str, float]) -> str:
    """The least nested metrics, eight at most, on one line.

    >>> first_numbers({"images": 90.0, "splits/train/images": 54.0, "map50": 0.81234})
    'images 90, map50 0.8123'
    """
    depth = min((name.count("/") for name in metrics), default=0)
    chosen = [(name, value) for name, value in metrics.items() if name.count("/") == depth]
    return ", ".join(f"{name} {value:.4g}" for name, value in chosen[:_MAX_NUMBERS])
