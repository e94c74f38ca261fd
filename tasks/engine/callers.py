"""What a flow's calls become: Prefect tasks in a run, look-ups in a plan.

Decides it once, by the session, before there is a task: a flow is written the same for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.objects import State

from tasks.engine.session import current_session

if TYPE_CHECKING:
    from edgewright.artifacts import ArtifactRef
    from edgewright.recipe.section import Section
    from tasks.engine.session import Caller, Reader, Runnable, Step


class PrefectTasks:
    """A run: what is left out after `--until`, and what needs its result, is not called."""

    def call(self, stage: Runnable, config: Section, inputs: Mapping[str, Any]) -> ArtifactRef | None:
        """The reference itself, which Prefect knows as the task's result: edges are drawn where it is passed on."""
        session = current_session()
        if session is not None and (stage.name in session.excluded or any(value is None for value in inputs.values())):
            return None
        done = stage.task(config, **inputs)
        found: ArtifactRef = done.result() if isinstance(done, State) else done
        return found

    def look_up(self, step: Reader, inputs: Sequence[ArtifactRef | None]) -> Any:
        return None if any(value is None for value in inputs) else step.task(*inputs)

    def enforce(self, step: Step, inputs: Sequence[ArtifactRef | None]) -> ArtifactRef | None:
        if any(value is None for value in inputs):
            return None
        found: ArtifactRef = step.task(*inputs)
        return found


def current_caller() -> Caller:
    session = current_session()
    return session.caller if session is not None and session.caller is not None else PrefectTasks()
