"""What a run may be told about workers; without any, nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgewright.recipe.section import Section


class RouteConfig(Section):
    start_timeout_s: float = Field(
        300.0, gt=0, le=86_400, description="Seconds that a stage waits for a worker to be online in its pool"
    )
    fallback: Literal["none", "control", "cpu", "gpu", "fpga", "edge"] = Field(
        "none", description="The pool that a stage goes to then, where it may run there; none: the run ends"
    )
