"""Where a stage runs. A router is set by configuration (`EDGEWRIGHT_ROUTER`), never guessed.

`inline` runs the stage in the process that calls it: no server, no worker, the laptop's way. `pools` dispatches it to a
worker (`pools.py`).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edgewright.artifacts import sha256_bytes

if TYPE_CHECKING:
    from edgewright.artifacts import ArtifactRef
    from edgewright.recipe.section import Section
    from tasks.engine.session import Runnable, Session


@dataclass(frozen=True)
class Ran:
    """What a stage made, and where it was made: router, host, device, and what the router adds."""

    ref: ArtifactRef
    where: Mapping[str, str]


class Router(Protocol):
    """One way to have a stage done."""

    def run(self, stage: Runnable, config: Section, inputs: dict[str, Any], *, session: Session, key: str) -> Ran: ...
    def stop(self) -> None:
        """The run was interrupted: whoever waits in `run` ends."""


class InlineRouter:
    """Run the stage here."""

    def run(self, stage: Runnable, config: Section, inputs: dict[str, Any], *, session: Session, key: str) -> Ran:
        return Ran(stage.execute(config, inputs, session=session, key=key), here())

    def stop(self) -> None:
        pass


def router_of(name: str) -> Router:
    """By the name that the settings know it by; one a process."""
    if name not in _ROUTERS:
        from tasks.engine.pools import PoolsRouter  # which asks Prefect's client for much

        _ROUTERS[name] = PoolsRouter()
    return _ROUTERS[name]


_ROUTERS: dict[str, Router] = {"inline": InlineRouter()}


def here(*, ran: bool = True) -> dict[str, str]:
    """`{router, host, device}` of work done in this process; no device where nothing ran."""
    return {"router": "inline", "host": socket.gethostname(), "device": device_here() if ran else ""}


def attempt_key(flow_run: object) -> str:
    """What the store remembers a stage's flow run by: what it made, whether the stage is cached or not."""
    return sha256_bytes(f"flow run {flow_run}".encode())


def device_here() -> str:
    torch = sys.modules.get("torch")  # asked only where the stage has imported it
    return f"cuda: {torch.cuda.get_device_name(0)}" if torch is not None and torch.cuda.is_available() else "cpu"
