"""Where a stage runs. A router is set by configuration (`EDGEWRIGHT_ROUTER`), never guessed.

`inline` runs the stage in the process that calls it: no server, no worker, the laptop's way.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewright.artifacts import ArtifactRef
    from edgewright.recipe.section import Section
    from tasks.engine.session import Runnable, Session


@dataclass(frozen=True)
class InlineRouter:
    """Run the stage here."""

    name: str = "inline"

    def run(
        self, stage: Runnable, config: Section, inputs: dict[str, Any], *, session: Session, key: str
    ) -> ArtifactRef:
        return stage.execute(config, inputs, session=session, key=key)


ROUTERS = {"inline": InlineRouter()}


def ran_on(router: str, *, ran: bool = True) -> dict[str, str]:
    """`{router, host, device}` of work done in this process; no device where nothing ran."""
    return {"router": router, "host": socket.gethostname(), "device": _device() if ran else ""}


def _device() -> str:
    torch = sys.modules.get("torch")  # asked only where the stage has imported it
    return f"cuda: {torch.cuda.get_device_name(0)}" if torch is not None and torch.cuda.is_available() else "cpu"
