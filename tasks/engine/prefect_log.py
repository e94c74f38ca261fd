"""What Prefect's pages show of a run besides its graph: a name that says what it is, tags, and what stages have to say.

Decides that a stage's key lines are logged at INFO to the run that they belong to: begun, taken from the store, first
numbers, or what ended it with the next step. Outside a Prefect run nobody listens, and nothing is printed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

_MAX_NUMBERS = 8
_NOBODY = logging.getLogger("edgewright.unheard")
_NOBODY.addHandler(logging.NullHandler())
_NOBODY.propagate = False


def run_log() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """Of the Prefect task or flow that runs here."""
    try:
        return get_run_logger()
    except MissingContextError:
        return _NOBODY


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
