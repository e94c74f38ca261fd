"""What a flow's calls become: Prefect tasks in a run, one after another or as their inputs allow; look-ups in a plan.

Decides it once, by the session, before there is a task: a flow is written the same for all of them. Where stages run on
workers, a call gives a future for the reference, and what does not depend on each other runs side by side. Where they
run in this process they run one after another: torch's threads and seeds belong to the process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture

from tasks.engine.session import current_session

if TYPE_CHECKING:
    from prefect import Task

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
        return cast("ArtifactRef", step.task(*inputs))

    def settle(self) -> None:
        """Nothing is left undone."""


class PrefectFutures:
    """A run whose stages are dispatched: every call gives the future of a reference, which further calls are given."""

    def __init__(self) -> None:
        self._called: list[PrefectFuture[Any]] = []

    def call(self, stage: Runnable, config: Section, inputs: Mapping[str, Any]) -> Any:
        session = current_session()
        if session is not None and (stage.name in session.excluded or any(value is None for value in inputs.values())):
            return None
        return self._submit(stage.task, config, **inputs)

    def look_up(self, step: Reader, inputs: Sequence[Any]) -> Any:
        return None if any(value is None for value in inputs) else self._submit(step.task, *inputs)

    def enforce(self, step: Step, inputs: Sequence[Any]) -> Any:
        return None if any(value is None for value in inputs) else self._submit(step.task, *inputs)

    def settle(self) -> None:
        """Wait for all of them. What was called first among what failed by itself is raised; what could not begin
        because an input failed has nothing to say."""
        called, self._called = self._called, []
        for future in called:
            future.wait()
        for future in called:
            if future.state.is_failed() or future.state.is_crashed() or future.state.is_cancelled():
                future.result()

    def _submit(self, task: Task[..., Any], *args: Any, **kwargs: Any) -> PrefectFuture[Any]:
        future: PrefectFuture[Any] = task.submit(*args, **kwargs)
        self._called.append(future)
        return future


def caller_for(router: str) -> Caller:
    """By the router that stages go through."""
    return PrefectTasks() if router == "inline" else PrefectFutures()


def current_caller() -> Caller:
    session = current_session()
    return session.caller if session is not None and session.caller is not None else PrefectTasks()
