"""What is deployed, as `prefect.yaml` says it: each stage on each of its pools; the life cycle, a deployment a preset.

Decides names, pools, defaults of the forms, and what happens where a second run is asked for while one is live. Written
to `prefect.yaml` by `deployments/write_prefect_yaml.py`; a test holds that both are equal.

>>> [entry["name"] for entry in entries() if entry["entrypoint"] == LIFECYCLE]
['demo', 'laptop', 'workstation', 'cluster', 'retrain']
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgewright.experiment.plan import EfficiencyConfig
from edgewright.recipe import PRESET_NAMES, resolve
from edgewright.recipe.presets import SIMULATED
from flows.lifecycle import STAGES
from tasks.engine.events import DATASET_READY, DATASET_RESOURCE
from tasks.engine.stage import POOLS, Stage

LIFECYCLE = "flows.lifecycle:lifecycle"
CONTROL = "control"
"""Parents wait here for their stages, which run elsewhere: in one pool they could wait for each other for ever."""
FILE = Path(__file__).parent / "prefect.yaml"
ONE_AT_A_TIME = {"limit": 1, "collision_strategy": "ENQUEUE"}
"""A second run of the same deployment waits for its turn; nothing that somebody asked for is dropped."""
NIGHTLY = {"cron": "0 2 * * *", "timezone": "UTC", "active": False, "slug": "nightly"}
"""Off until somebody names a source and switches it on: it costs hours of a GPU."""

_ABOUT = {
    "demo": "The whole life cycle in minutes, on photographs that a simulated camera takes.",
    "laptop": "From a folder of labeled photographs to a released detector, in half an hour of two cores.",
    "workstation": "The same with larger generators and measured usefulness, for one machine with a GPU.",
    "cluster": "The same with the largest generators, for several machines.",
}


def entries() -> list[dict[str, Any]]:
    """One mapping a deployment, in the file's order."""
    stages = (entry for stage in STAGES for entry in _of_stage(stage))
    return [*_lifecycles(), _retrain(), _label_efficiency(), *_upkeep(), *_probes(), *stages]


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
            "schedules": [NIGHTLY],
            "concurrency_limit": ONE_AT_A_TIME,
            "work_pool": {"name": CONTROL},
        }


def _retrain() -> dict[str, Any]:
    """Begun by the event that reviewed labels give: the same life cycle on the data set that they made."""
    return {
        "name": "retrain",
        "entrypoint": LIFECYCLE,
        "description": "The life cycle on labels that a person has reviewed: `edgewright.dataset.ready` starts it.",
        "tags": [f"pool:{CONTROL}", "recipe:laptop"],
        "parameters": {"recipe": resolve("laptop").model_dump(mode="json")},
        "triggers": [
            {
                "type": "event",
                "enabled": True,
                "expect": [DATASET_READY],
                "match": {"prefect.resource.id": f"{DATASET_RESOURCE}*"},
                "parameters": {
                    "source": "dataset:{{ event.payload.digest }}",
                    "project": "{{ event.payload.project }}",
                },
            }
        ],
        "concurrency_limit": ONE_AT_A_TIME,
        "work_pool": {"name": CONTROL},
    }


def _label_efficiency() -> dict[str, Any]:
    return {
        "name": "weekly",
        "entrypoint": "flows.label_efficiency:label_efficiency",
        "description": "Does synthetic data save labels on these images? Hours; switched off until somebody wants it.",
        "tags": [f"pool:{CONTROL}"],
        "parameters": {
            "recipe": resolve("laptop").model_dump(mode="json"),
            "config": EfficiencyConfig().model_dump(mode="json"),
        },
        "schedules": [{"cron": "0 1 * * 6", "timezone": "UTC", "active": False, "slug": "saturdays"}],
        "concurrency_limit": ONE_AT_A_TIME,
        "work_pool": {"name": CONTROL},
    }


def _upkeep() -> Iterator[dict[str, Any]]:
    yield {
        "name": "daily",
        "entrypoint": "flows.upkeep:renew_metadata",
        "tags": [f"pool:{CONTROL}"],
        "schedules": [{"cron": "30 3 * * *", "timezone": "UTC", "active": True, "slug": "mornings"}],
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "work_pool": {"name": CONTROL},
    }
    yield {
        "name": "every-five-minutes",
        "entrypoint": "flows.rollout:step_rollouts",
        "tags": [f"pool:{CONTROL}"],
        "schedules": [{"cron": "*/5 * * * *", "timezone": "UTC", "active": False, "slug": "steps"}],
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "work_pool": {"name": CONTROL},
    }
    yield {
        "name": "weekly",
        "entrypoint": "flows.upkeep:collect_garbage",
        "tags": [f"pool:{CONTROL}"],
        "parameters": {"keep": 5, "remove": False},
        "schedules": [{"cron": "0 4 * * 0", "timezone": "UTC", "active": False, "slug": "sundays"}],
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "work_pool": {"name": CONTROL},
    }


def _probes() -> Iterator[dict[str, Any]]:
    for pool in POOLS:
        yield {
            "name": pool,
            "entrypoint": "flows.probe:probe",
            "tags": [f"pool:{pool}"],
            "work_pool": {"name": pool},
        }


def _of_stage(stage: Stage[...]) -> Iterator[dict[str, Any]]:
    for pool in stage.pools:
        yield {
            "name": pool,
            "entrypoint": f"{stage.fn.__module__}:{stage.name}.flow",
            "tags": [f"pool:{pool}"],
            "work_pool": {"name": pool},
        }
