"""Artifacts on Prefect's pages: what a result has to show, and how far a long stage is.

Decides when a stage is long, and how often it says how far it is. Each kind of page keeps its key from run to run, so
that Prefect shows its history. What cannot be shown ends nothing: a run is worth more than its pages; the log says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from uuid import UUID

import httpx
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import PrefectException

from edgewright.errors import EdgewrightError
from tasks.engine.links import mlflow_run
from tasks.engine.prefect_log import run_log

if TYPE_CHECKING:
    from edgewright.artifacts import ArtifactRef
    from tasks.engine.session import Session

LONG_S = 20.0
"""A stage that has run so long is long, and says how far it is as often."""


def show(ref: ArtifactRef, session: Session, *, tier: str = "") -> None:
    """The card of a result, with the way to its MLflow run, as an artifact of the task or flow that runs here.

    Args:
        tier: of devices that it is for, where it is not `full`: its page has a history of its own.
    """
    if not _listens():
        return
    from edgewright.report.cards import card_of

    with _not_worth_a_run("what it made"):
        card = card_of(session.store.open(ref))
        if card is not None:
            markdown = f"{card.markdown}\n\n[MLflow run]({_mlflow(session)})"
            said = ", ".join(filter(None, [card.title, session.link.project, tier]))
            create_markdown_artifact(markdown, key="-".join(filter(None, [card.key, tier])), description=said)


class StageProgress:
    """One stage's progress artifact; made when it turns out to be long."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._next = time.monotonic() + LONG_S
        self._made: UUID | None = None

    def report(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if total < 1 or now < self._next or not _listens():
            return
        self._next = now + LONG_S
        share, key = 100 * min(1.0, done / total), f"progress-{self._stage.replace('_', '-')}"
        with _not_worth_a_run("how far it is"):
            if self._made is None:
                made = create_progress_artifact(share, key=key, description=what)
                self._made = cast(UUID, made)
            else:
                update_progress_artifact(self._made, share, description=what)


def _listens() -> bool:
    return TaskRunContext.get() is not None or FlowRunContext.get() is not None


def _mlflow(session: Session) -> str:
    parent = session.link.mlflow_parent
    return mlflow_run(session.tracker.experiment_of(parent), parent, server=session.settings.shown_mlflow)


@contextmanager
def _not_worth_a_run(what: str) -> Iterator[None]:
    try:
        yield
    except (EdgewrightError, PrefectException, httpx.HTTPError, OSError) as error:
        run_log().warning("Prefect's pages do not show %s: %s", what, error)
