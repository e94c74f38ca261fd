"""What is deployed, as `prefect.yaml` says it: each stage on each of its pools; the life cycle, a deployment a preset.

Decides names, pools, defaults of the forms, and what happens where a second run is asked for while one is live. Written
to `prefect.yaml` by `deployments/write_prefect_yaml.py`; a test holds that both are equal.

>>> [entry["name"] for entry in entries() if entry["entrypoint"] == LIFECYCLE]
['demo', 'laptop', 'workstation', 'cluster']
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgewright.recipe import PRESET_NAMES, resolve
from edgewright.recipe.presets import SIMULATED
from flows.lifecycle import STAGES
from tasks.engine.stage import Stage

LIFECYCLE = "flows.lifecycle:lifecycle"
CONTROL = "control"
"""Parents wait here for their stages, which run elsewhere: in one pool they could wait for each other for ever."""
FILE = Path(__file__).parent / "prefect.yaml"

_ABOUT = {
    "demo": "The whole life cycle in minutes, on photographs that a simulated camera takes.",
    "laptop": "From a folder of labeled photographs to a released detector, in half an hour of two cores.",
    "workstation": "The same with larger generators and measured usefulness, for one machine with a GPU.",
    "cluster": "The same with the largest generators, for several machines.",
}


def entries() -> list[dict[str, Any]]:
    """One mapping a deployment, in the file's order."""
    return [*_lifecycles(), *(entry for stage in STAGES for entry in _of_stage(stage))]


def _lifecycles() -> Iterator[dict[str, Any]]:
    for preset in PRESET_NAMES:
        yield {
            "name": preset,
            "entrypoint": LIFECYCLE,
            "description": _ABOUT[preset],
            "tags": [f"pool:{CONTROL}", f"recipe:{preset}"],
            "parameters": {
                "recipe": resolve(preset).model_dump(mode="json"),
                **({"source": SIMULATED} if preset == "demo" else {}),
            },
            "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
            "work_pool": {"name": CONTROL},
        }


def _of_stage(stage: Stage[...]) -> Iterator[dict[str, Any]]:
    for pool in stage.pools:
        yield {
            "name": pool,
            "entrypoint": f"{stage.fn.__module__}:{stage.name}.flow",
            "tags": [f"pool:{pool}"],
            "work_pool": {"name": pool},
        }
