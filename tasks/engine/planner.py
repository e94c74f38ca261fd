"""`--dry-run`: what a flow would do, stage by stage, told by the store alone.

Decides which stages would run, which are known and which are left out. Chosen before there is a Prefect task: the
flow's own function is called with a planner in place of tasks, so no server starts, nothing runs, nothing is written
(but a source on S3 is fetched into scratch: only its bytes say whether it is known). The registry is read where it is
there, for the champion.

    rows = plan_of(lifecycle.fn, recipe, source, session=session)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ParamSpec

from edgewright.artifacts import ArtifactRef
from edgewright.errors import StoreUnavailable
from edgewright.recipe.section import Section
from tasks.engine.first_call import first_call
from tasks.engine.session import Reader, Runnable, Session, Step, current_session, session_open
from tasks.engine.tracking import Tracker

P = ParamSpec("P")
Row = dict[str, Any]
"""`{name, pool, router, state: cached | to run | skipped, config}`"""


class Planner:
    """The caller of a plan: it looks results up. What is not known yet is None, and so is what depends on it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def call(self, stage: Runnable, config: Section, inputs: Mapping[str, Any]) -> ArtifactRef | None:
        session = current_session()
        if session is None:
            return None
        skipped = stage.name in session.excluded
        known = not skipped and all(value is not None for value in inputs.values())
        ref = stage.recall(stage.key(config, inputs, session=session), session=session) if known else None
        if known and ref is None:
            session.require_not_needed(stage.name)
        self.rows.append(
            {
                "name": stage.title,
                "pool": stage.pool,
                "router": session.settings.router,
                "state": "skipped" if skipped else "cached" if ref else "to run",
                "config": config.model_dump(mode="json"),
            }
        )
        return ref

    def look_up(self, step: Reader, inputs: Sequence[ArtifactRef | None]) -> Any:
        """What it reads is a part of the keys that follow. A server that does not answer leaves them unknown."""
        session = current_session()
        if session is None or any(value is None for value in inputs):
            return None
        if not session.tracker.has_begun:  # nothing is asked, and MLflow is not imported
            return step.fn(*inputs)
        try:
            return _asked_briefly(session.tracker, step, inputs)
        except StoreUnavailable:
            return None

    def enforce(self, step: Step, inputs: Sequence[ArtifactRef | None]) -> ArtifactRef | None:  # noqa: ARG002
        """Nothing is decided on a plan."""
        return inputs[0]

    def settle(self) -> None:
        """Nothing is left undone."""


@first_call
def _asked_briefly(tracker: Tracker, step: Reader, inputs: Sequence[ArtifactRef | None]) -> Any:  # noqa: ARG001
    """A plan waits seconds for MLflow, not minutes."""
    return step.fn(*inputs)


def plan_of(function: Callable[P, Any], /, session: Session, *args: P.args, **kwargs: P.kwargs) -> list[Row]:
    """The rows of a flow's own function."""
    planner = Planner()
    with session_open(replace(session, caller=planner)):
        function(*args, **kwargs)
    return planner.rows
