"""What came of a stage that was done: its artifact, and where it was done."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewright.artifacts import sha256_bytes

if TYPE_CHECKING:
    from edgewright.artifacts import ArtifactRef


@dataclass(frozen=True)
class Ran:
    """What a stage made, and where it was made: router, host, device, and what the router adds."""

    ref: ArtifactRef
    where: Mapping[str, str]


def here(*, ran: bool = True) -> dict[str, str]:
    """`{router, host, device}` of work done in this process; no device where nothing ran."""
    return {"router": "inline", "host": socket.gethostname(), "device": device_here() if ran else ""}


def attempt_key(flow_run: object) -> str:
    """What the store remembers a stage's flow run by: what it made, whether the stage is cached or not."""
    return sha256_bytes(f"flow run {flow_run}".encode())


def device_here() -> str:
    torch = sys.modules.get("torch")  # asked only where the stage has imported it
    return f"cuda: {torch.cuda.get_device_name(0)}" if torch is not None and torch.cuda.is_available() else "cpu"
