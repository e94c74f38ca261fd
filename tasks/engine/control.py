"""`@control`: a step of a flow that only decides. It runs where its flow runs, is never dispatched and never cached.

    .fn     the plain function: a control flow calls it where it must be able to suspend, which no task can
    .task   a Prefect task tagged `pool:control`, so that the step stands in the graph

A plan does not take it: it passes its first input on.

`@look_up`: a step of a flow that only reads what stages depend on beside artifacts. A plan takes it too, since the keys
that follow depend on what it finds; so it writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, ParamSpec, TypeVar, cast

from prefect import Task
from prefect.cache_policies import NO_CACHE

from edgewright.artifacts import ArtifactRef
from tasks.engine.callers import current_caller

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Control(Generic[P]):
    """A step and its faces; made by `@control`."""

    fn: Callable[P, ArtifactRef]

    @property
    def name(self) -> str:
        return self.fn.__name__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ArtifactRef:
        """What a flow writes; after `--until` nothing is decided, and None stands for the reference."""
        inputs = [*args, *kwargs.values()]
        return cast(ArtifactRef, current_caller().enforce(self, cast(list[ArtifactRef | None], inputs)))

    @cached_property
    def task(self) -> Task[..., Any]:
        return _task_of(self.fn)


@dataclass(frozen=True)
class LookUp(Generic[P, R]):
    """A step that only reads, and its faces; made by `@look_up`."""

    fn: Callable[P, R]

    @property
    def name(self) -> str:
        return self.fn.__name__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What a flow writes; after `--until` nothing is read, and None stands for what would be found."""
        inputs = [*args, *kwargs.values()]
        return cast(R, current_caller().look_up(self, cast(list[ArtifactRef | None], inputs)))

    @cached_property
    def task(self) -> Task[..., Any]:
        return _task_of(self.fn)


def look_up(fn: Callable[P, R]) -> LookUp[P, R]:
    """Make a function a step that only reads."""
    return LookUp(fn)


def control(fn: Callable[P, ArtifactRef]) -> Control[P]:
    """Make a function a step that only decides."""
    return Control(fn)


def _task_of(fn: Callable[..., Any]) -> Task[..., Any]:
    return Task(
        fn,
        name=fn.__name__,
        task_run_name=fn.__name__,
        tags={"pool:control"},
        cache_policy=NO_CACHE,
        persist_result=False,
        log_prints=False,
    )
