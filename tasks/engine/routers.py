"""Where a stage runs. A router is set by configuration (`EDGEWRIGHT_ROUTER`), never guessed.

`inline` runs the stage in the process that calls it: no server, no worker, the laptop's way. `pools` dispatches it to a
worker (`pools.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tasks.engine.ran import Ran, here

if TYPE_CHECKING:
    from edgewright.recipe.section import Section
    from tasks.engine.session import Runnable, Session


class Router(Protocol):
    """One way to have a stage done."""

    def run(self, stage: Runnable, config: Section, inputs: dict[str, Any], *, session: Session, key: str) -> Ran: ...
    def begin(self) -> None:
        """A run begins; one before it may have been interrupted."""

    def stop(self) -> None:
        """The run was interrupted: whoever waits in `run` ends, and nothing more is begun."""


class InlineRouter:
    """Run the stage here."""

    def run(self, stage: Runnable, config: Section, inputs: dict[str, Any], *, session: Session, key: str) -> Ran:
        return Ran(stage.execute(config, inputs, session=session, key=key), here())

    def begin(self) -> None:
        pass

    def stop(self) -> None:
        pass


def router_of(name: str) -> Router:
    """By the name that the settings know it by; one a process."""
    if name not in _ROUTERS:
        from tasks.engine.pools import PoolsRouter  # which asks Prefect's client for much

        _ROUTERS[name] = PoolsRouter()
    return _ROUTERS[name]


_ROUTERS: dict[str, Router] = {"inline": InlineRouter()}
